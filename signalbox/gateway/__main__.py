"""`python -m signalbox.gateway`."""

import sys

from signalbox.gateway.server import main

sys.exit(main())
