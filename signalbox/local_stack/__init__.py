"""The local stack: a real Kafka broker, a real Flink cluster, the jobs and the agents, as supervised processes.

`broker.py` and `flink_cluster.py` know how one process is started; `supervisor.py` keeps all of them running;
`api.py` is what the command line calls.
"""
