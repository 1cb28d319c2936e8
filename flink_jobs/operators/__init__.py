"""The operators of the job `orchestrate`, one idea a module.

Flink's own types appear only in `decode`, `route` and `output`; the rest is plain Python and tested as such.
"""
