"""Which model the settings give, what they must name, and what refusals of servers mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.model_errors import error_for_status, retry_after_seconds
from connectors.models import chat_model_from
from signalbox.errors import ConfigurationError, RetryableError, TerminalError
from signalbox.settings import ModelSettings

NOW = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (ModelSettings(), "embedded:lexical"),
        (ModelSettings(provider="ollama", name="llama3.2"), "ollama/llama3.2"),
        (
            ModelSettings(provider="openai", name="m", base_url="http://127.0.0.1:1/v1"),
            "openai/m",
        ),
    ],
)
def test_settings_choose_the_model(settings: ModelSettings, name: str) -> None:
    """Provider and name stand in the model's name, and so in every record."""
    assert chat_model_from(settings).name == name


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (ModelSettings(provider="ollama"), "SIGNALBOX_MODEL__NAME"),
        (ModelSettings(provider="openai", base_url="http://127.0.0.1:1"), "SIGNALBOX_MODEL__NAME"),
        (ModelSettings(provider="openai", name="m"), "SIGNALBOX_MODEL__BASE_URL"),
    ],
)
def test_missing_setting_is_named(settings: ModelSettings, missing: str) -> None:
    """What is missing is named by the variable that sets it."""
    with pytest.raises(ConfigurationError, match=missing):
        chat_model_from(settings)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("999999", 600.0),
        ("nan", None),
        ("soon", None),
        ("Thu, 15 Jan 2026 09:00:30 GMT", 30.0),
        ("Thu, 15 Jan 2026 08:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(header: str | None, seconds: float | None) -> None:
    """Both forms of the header count, nonsense does not, and no server makes us wait for ever."""
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_refusal_that_passes_is_retryable(status: int) -> None:
    """Overload and a server's own trouble may pass."""
    assert isinstance(error_for_status("m", status, retry_after=None, body=""), RetryableError)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "again"),
        (401, "API_KEY"),
        (403, "API_KEY"),
        (404, "MODEL__NAME"),
        (422, "again"),
        (301, "again"),
    ],
)
def test_refusal_that_stays_is_terminal_with_advice(status: int, advice: str) -> None:
    """A wrong request, key or name stays wrong until somebody changes it."""
    error = error_for_status("m", status, retry_after=None, body="because")

    assert isinstance(error, TerminalError)
    assert error.reason == "model_failed"
    assert advice in str(error)
    assert "because" in str(error)
