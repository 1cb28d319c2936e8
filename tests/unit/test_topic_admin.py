"""Topics of a large fleet: asked for in requests that a controller takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from kafka.errors import PolicyViolationError, TopicAlreadyExistsError

from connectors import topic_admin
from connectors.topic_admin import ensure_topics
from signalbox.errors import StackError

RECORDS_A_REQUEST = 10_000
"""What a KRaft controller takes; a topic is one, and so are each of its partitions and settings."""


class Admin:
    """The client's admin as far as it is used; refuses what a controller would refuse."""

    def __init__(self, **_: object) -> None:
        self.topics: dict[str, Any] = {}
        self.others_make: set[str] = set()

    def list_topics(self) -> list[str]:
        return list(self.topics)

    def create_topics(self, request: Mapping[str, Any], *, timeout_ms: int) -> None:
        records = sum(1 + t["num_partitions"] + len(t["configs"]) for t in request.values())
        if records > RECORDS_A_REQUEST:
            raise PolicyViolationError("Excessively large number of partitions per request. " * 999)
        self.topics.update(request)
        if self.others_make & request.keys():
            raise TopicAlreadyExistsError

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        return [
            {"name": name, "partitions": [{}] * self.topics[name]["num_partitions"]}
            for name in names
        ]

    def describe_configs(
        self, resources: list[Any], config_filter: str
    ) -> dict[str, dict[str, Any]]:
        broker = {"message.timestamp.type": "CreateTime"}
        return {
            "topic": {
                name: {
                    key: {"value": value}
                    for key, value in {**broker, **self.topics[name]["configs"]}.items()
                }
                for name in (resource.name for resource in resources)
            }
        }

    def wait_for_topics(self, names: list[str]) -> None:
        assert set(names) <= self.topics.keys()

    def close(self) -> None:
        pass


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    one = Admin()
    monkeypatch.setattr(topic_admin, "_AdminClient", lambda **_: one)
    return one


def test_topics_of_as_many_agents_as_can_be_active_are_made(admin: Admin) -> None:
    """Two thousand agents are more than one request may have; somebody else's being faster with one stops nothing."""
    admin.others_make = {"agent_tasks_a7"}

    made = ensure_topics("broker", agents=[f"a{n}" for n in range(2000)], fixed=False)

    assert len(made.created) == len(admin.topics) == 2000


def test_refusal_is_said_without_the_whole_request(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client repeats what it asked for, which for a large fleet is a megabyte."""
    monkeypatch.setattr(topic_admin, "MAX_TOPICS_A_REQUEST", 5000)

    with pytest.raises(StackError, match="PolicyViolationError") as refused:
        ensure_topics("broker", agents=[f"a{n}" for n in range(2000)], fixed=False)

    assert len(str(refused.value)) < 1000


def test_topics_count_by_the_brokers_clock_and_those_that_do_not_are_told_in_one_sentence(
    admin: Admin,
) -> None:
    """A sender's wrong clock is no reason to be refused or to lose what it wrote; topics of an older version are compared."""
    ensure_topics("broker", agents=["a", "b"])
    assert ensure_topics("broker", agents=["a", "b"]).warnings == ()
    for name in ("agent_tasks_a", "agent_messages"):
        del admin.topics[name]["configs"]["message.timestamp.type"]

    (warning,) = ensure_topics("broker", agents=["a", "b"]).warnings

    assert warning.startswith("2 topics have message.timestamp.type=CreateTime")
    assert "agent_messages, agent_tasks_a;" in warning
