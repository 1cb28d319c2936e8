r"""Reference: Kafka → Flink → Kafka in one SQL statement, nothing in between. What the engine itself costs.

    PYTHONPATH=$PWD flink run -py benchmarks/references/pass_through.py \
        --bootstrap-servers HOST:PORT --topic-in A --topic-out B

Keys and values go from A to B as they are. Options are those of the job `orchestrate`, and so is the delivery:
SIGNALBOX_DELIVERY, at least once by default.
"""

from __future__ import annotations

import argparse

from pyflink.table import StreamTableEnvironment

from benchmarks.references.job import declare, parser
from flink_jobs.environment import stream_environment
from signalbox.settings import Settings


def main(arguments: argparse.Namespace) -> None:
    """Build the job and submit it."""
    settings = Settings()
    tables = StreamTableEnvironment.create(stream_environment(settings))
    tables.get_config().set("pipeline.name", "reference_pass_through")
    declare(tables, arguments, settings.delivery)
    tables.execute_sql("INSERT INTO records_out SELECT `key`, `value` FROM records_in")


if __name__ == "__main__":
    main(parser(__doc__).parse_args())
