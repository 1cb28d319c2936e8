r"""Reference: PyFlink's own asynchronous operator asks the model, as its documentation shows it. No state, no contracts, no retry.

    PYTHONPATH=$PWD flink run -py benchmarks/references/async_datastream.py \
        --bootstrap-servers HOST:PORT --topic-in A --topic-out B --model-url URL/v1

Every value of A is put to an OpenAI-compatible server; a record with the same key and the model's text goes to B. Input,
output, bundles and checkpoints are those of the job `orchestrate`, so that only the operator differs.
Delivery: at least once. A failed call fails the job, as Flink's default does.
"""

from __future__ import annotations

import argparse
import asyncio

import cloudpickle
import httpx
from pyflink.common import Row, Time, Types
from pyflink.datastream import AsyncDataStream
from pyflink.datastream.functions import AsyncFunction, RuntimeContext
from pyflink.table import StreamTableEnvironment

from benchmarks.references import job
from flink_jobs.environment import stream_environment
from signalbox.settings import Settings

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
OUTPUT = Types.ROW_NAMED(["key", "value"], [Types.STRING(), BYTES])


class AskModel(AsyncFunction):  # type: ignore[type-arg]
    """One HTTP call a record; the client keeps as many connections as there are calls."""

    def __init__(self, model_url: str, capacity: int) -> None:
        self._model_url = model_url
        self._capacity = capacity

    def open(self, runtime_context: RuntimeContext) -> None:
        """Make the client where it is used."""
        limits = httpx.Limits(
            max_connections=self._capacity, max_keepalive_connections=self._capacity
        )
        self._client = httpx.AsyncClient(
            base_url=self._model_url, limits=limits, timeout=None, trust_env=False
        )

    def close(self) -> None:
        """Drop the connections."""
        asyncio.run(self._client.aclose())

    async def async_invoke(self, value: Row) -> list[Row]:
        """Ask once and return the model's text under the same key."""
        key, text = value[0], bytes(value[1]).decode("utf-8", "replace")
        response = await self._client.post("/chat/completions", json=job.chat_request(text))
        response.raise_for_status()
        answer = response.json()["choices"][0]["message"]["content"]
        return [Row(key, answer.encode())]  # type: ignore[no-untyped-call]


def main(arguments: argparse.Namespace) -> None:
    """Build the job and submit it."""
    # The workers need not have this folder on their path.
    cloudpickle.register_pickle_by_value(job)  # type: ignore[no-untyped-call]
    settings = Settings()
    # Tried with workers as processes, which is where PyFlink runs Python by default.
    flink = settings.flink.model_copy(update={"python_execution_mode": "process"})
    env = stream_environment(settings.model_copy(update={"flink": flink}))
    tables = StreamTableEnvironment.create(env)
    job.declare(tables, arguments)
    read = tables.to_data_stream(tables.sql_query("SELECT `key`, `value` FROM records_in"))
    asked = AsyncDataStream.unordered_wait(
        read,
        AskModel(arguments.model_url, arguments.capacity),
        Time.seconds(arguments.timeout_seconds),
        arguments.capacity,
        OUTPUT,
    )
    statements = tables.create_statement_set()
    statements.add_insert("records_out", tables.from_data_stream(asked))
    statements.attach_as_datastream()  # type: ignore[no-untyped-call]
    env.execute("reference_async_datastream")


if __name__ == "__main__":
    options = job.parser(__doc__)
    options.add_argument("--capacity", type=int, default=256, help="calls in flight a subtask")
    options.add_argument("--timeout-seconds", type=int, default=120)
    main(options.parse_args())
