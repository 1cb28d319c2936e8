"""Settings: from the environment, with documented names and defaults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from signalbox.settings import Settings

REPOSITORY = Path(__file__).parents[2]


def variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from variables(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def test_every_setting_is_documented_and_nothing_else():
    """The table in docs/configuration.md lists exactly the variables that exist."""
    page = (REPOSITORY / "docs" / "configuration.md").read_text()
    documented = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}

    assert documented == set(variables(Settings, "SIGNALBOX_"))


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    """Names are prefixed and nested by a double underscore; fleets are a comma-separated list."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGNALBOX_KAFKA__PORT", "19092")
    monkeypatch.setenv("SIGNALBOX_FLEETS", "sdr, orders")
    monkeypatch.setenv("SIGNALBOX_MODEL__API_KEY", "canary-secret")

    settings = Settings()

    assert settings.kafka.servers == "127.0.0.1:19092"
    assert settings.fleets == ("sdr", "orders")
    assert "canary-secret" not in repr(settings)


def test_outside_broker_wins_over_the_port(monkeypatch, tmp_path):
    """With bootstrap servers set, those are used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS", "kafka.example:9093")

    assert Settings().kafka.servers == "kafka.example:9093"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIGNALBOX_KAFKA__PORT", "0"),
        ("SIGNALBOX_DELIVERY", "maybe"),
        ("SIGNALBOX_KAFKA__TOPIC_PREFIX", "../"),
        ("SIGNALBOX_CHECKPOINT_INTERVAL_MS", "1"),
    ],
)
def test_wrong_setting_is_refused(monkeypatch, tmp_path, name, value):
    """A value out of range is an error, not a surprise later."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError):
        Settings()
