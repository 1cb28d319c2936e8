"""How an agent process ends, for whoever keeps it running."""

from __future__ import annotations

from typing import Final

EXIT_DRAINED: Final = 0
"""Asked to end, or removed with nothing left to do."""
EXIT_ERROR: Final = 1
EXIT_FENCED: Final = 3
"""Another process has this instance's id now."""
EXIT_RENEWED: Final = 4
"""The definition changed and runs code: start the process again at once, which reads the code anew."""
