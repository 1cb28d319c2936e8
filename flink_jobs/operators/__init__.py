"""The operators of the job `orchestrate`, one idea a module. Flink's own types appear only in `decode`, `pulse`, `route` and `output`."""
