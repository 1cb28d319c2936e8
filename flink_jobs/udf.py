"""The functions that SQL calls: `route(envelope)`, `route_explained(envelope)`, `task(envelope, agent)`.

Plain scalar functions over the same core as the operator (`signalbox.routing`). Not `AsyncScalarFunction`: in Flink 2.3.0
it returns wrong rows without a word (FLINK-39532), and beside a plain one it swaps columns.
"""

from __future__ import annotations

import time
from typing import Any

from pyflink.table import DataTypes, FunctionContext, ScalarFunction
from pyflink.table.udf import udf

from connectors.caching_model import CachingChatModel
from connectors.kafka import KafkaBroker
from connectors.models import chat_model_from
from connectors.registry import read_active_set
from flink_jobs.previewer import Previewer, to_json
from flink_jobs.sql_files import BROKER_PARAMETER, PREFIX_PARAMETER
from signalbox.definitions.fleet import ActiveSet
from signalbox.engine import engine_policy
from signalbox.settings import Settings


def previewer_of(settings: Settings, servers: str, topic_prefix: str) -> Previewer:
    """Return a previewer on the registry of this broker, started.

    Args:
        settings: the model and the broker's login, from this process's environment: a secret never travels with a query.
        servers: the broker whose tables the query reads.
        topic_prefix: of those tables' topics.

    Raises:
        BrokerError: the broker does not answer, or has no registry.
    """
    broker = KafkaBroker(servers, settings.kafka.security)

    def read() -> ActiveSet | None:
        return read_active_set(broker, topic_prefix=topic_prefix)

    model = CachingChatModel(chat_model_from(settings.model, settings.embedder))
    previewer = Previewer(read, model, engine_policy(settings), time.time)
    previewer.start()
    return previewer


class _Previewing(ScalarFunction):
    """A function with a previewer, made where it runs; what is pickled into the job is empty."""

    previewer: Previewer

    def open(self, function_context: FunctionContext) -> None:
        """Read the definitions from the broker that the session's tables name, else the settings' own."""
        settings = Settings()
        parameter = function_context.get_job_parameter
        self.previewer = previewer_of(
            settings,
            parameter(BROKER_PARAMETER, settings.kafka.servers),
            parameter(PREFIX_PARAMETER, settings.kafka.topic_prefix),
        )

    def close(self) -> None:
        """Close the model's connections."""
        self.previewer.close()

    def is_deterministic(self) -> bool:
        """Say no: definitions change, and a model may answer otherwise."""
        return False


class Route(_Previewing):
    """`route(envelope)`: the agent, `NONE`, `INVALID`; NULL where nobody can say."""

    def eval(self, envelope: bytes | str | None) -> str | None:
        """Decide one value of `agent_messages`."""
        return self.previewer.agent(envelope)


class RouteExplained(_Previewing):
    """`route_explained(envelope)`: JSON with `agent`, `path`, `reason`, `candidates`, `model`."""

    def eval(self, envelope: bytes | str | None) -> str | None:
        """Decide one value of `agent_messages` and say why."""
        return to_json(self.previewer.explain(envelope))


class Task(_Previewing):
    """`task(envelope, agent)`: the task for `agent`, as it goes to the agent's topic."""

    def eval(self, envelope: bytes | str | None, agent: str | None) -> bytes | None:
        """Wrap one value of `agent_messages` as a task."""
        return self.previewer.task(envelope, agent)


route: Any = udf(Route(), result_type=DataTypes.STRING())
route_explained: Any = udf(RouteExplained(), result_type=DataTypes.STRING())
task: Any = udf(Task(), result_type=DataTypes.BYTES())
