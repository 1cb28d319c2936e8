"""The Flink jobs: `orchestrate.py` routes messages; its operators are one per file in `operators/`."""
