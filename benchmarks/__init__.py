"""Figures of the running system beside references; `python -m benchmarks.run`, `make bench`."""

import os

# Before numpy is imported: figures are of one core, and threads that wait for each other would be counted, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
