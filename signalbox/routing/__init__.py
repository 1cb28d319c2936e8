"""The decisions: a pure reducer `reduce(state, tick, now, rulebook) -> (state, [command])` and what it needs.

No Kafka, no Flink, no clock, no network: unit tests, `eval`, what-if replay and the SQL function call the very same code.
"""
