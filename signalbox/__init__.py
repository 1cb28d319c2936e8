"""Signalbox: an orchestrator for teams of AI agents on Apache Flink and Kafka.

The package holds the vocabulary (`contracts`, `definitions`) and the decisions (`routing`), which are pure:
no Kafka, no Flink, no clock, no network. The edges live in `connectors`, the engine in `flink_jobs`.
"""

__version__ = "0.1.0"
