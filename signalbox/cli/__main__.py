"""`python -m signalbox.cli`: the same as `signalbox`."""

from signalbox.cli.main import main

main()
