"""What travels in the job graph: the pickled operator, without any secret."""

from __future__ import annotations

from typing import Any

import cloudpickle
from pydantic import SecretStr

from flink_jobs.operators.route import Route
from signalbox.settings import ModelSettings, Settings

# What PyFlink writes the job graph with; it has no types.
PICKLER: Any = cloudpickle
CANARY = "canary-b3f1"


def test_route_pickled_with_an_api_key_holds_no_secret() -> None:
    """The key is not in the job graph, nor so in checkpoints or on the web page: the worker reads its own environment."""
    settings = Settings(model=ModelSettings(api_key=SecretStr(CANARY), name="a-model"))
    pickled: bytes = PICKLER.dumps(Route(settings))

    assert CANARY.encode() not in pickled
    assert b"a-model" in pickled
