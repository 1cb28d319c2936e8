"""Topics are made on the Kafka that the settings name, whoever asks: also on one that wants a password."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from connectors import topic_admin
from signalbox.kafka_settings import KafkaSecuritySettings, KafkaSettings


def test_topics_of_settings_are_made_with_their_servers_prefix_and_security(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The admin client gets the login of the settings, and the names carry their prefix."""
    options: dict[str, Any] = {}
    asked: list[str] = []

    def client(**given: Any) -> Any:
        options.update(given)
        return SimpleNamespace(close=lambda: None)

    def ensure(_: Any, specs: dict[str, Any]) -> topic_admin.TopicReport:
        asked.extend(specs)
        return topic_admin.TopicReport((), tuple(specs), ())

    monkeypatch.setattr(topic_admin, "_AdminClient", client)
    monkeypatch.setattr(topic_admin, "_ensure", ensure)
    security = KafkaSecuritySettings(
        protocol="SASL_PLAINTEXT",
        mechanism="SCRAM-SHA-256",
        username="u",
        password=SecretStr("canary"),
    )
    settings = KafkaSettings(bootstrap_servers="h:1", topic_prefix="p.", security=security)

    topic_admin.ensure_topics_of(settings, ["writer"], fixed=False)

    assert options["bootstrap_servers"] == "h:1"
    assert options["security_protocol"] == "SASL_PLAINTEXT"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("u", "canary")
    assert asked == ["p.agent_tasks_writer"]
