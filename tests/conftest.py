"""Fixtures for every test: a real broker and a real cluster, one of each per session, started when first asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporaryBroker]:
    """A real Kafka broker on a free port, every fixed topic created; use a `topic_prefix` of your own."""
    with TemporaryBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporaryCluster]:
    """A real Flink JobManager and TaskManager on free ports, without jobs."""
    with TemporaryCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


# A property is about values; how long one example takes on a busy machine says nothing.
settings.register_profile("signalbox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("signalbox")
