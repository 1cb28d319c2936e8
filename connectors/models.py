"""Which chat model the settings name. Client libraries are imported only when their provider is chosen."""

from __future__ import annotations

from connectors.chat_model import ChatModel
from signalbox.errors import ConfigurationError
from signalbox.settings import ModelSettings


def chat_model_from(settings: ModelSettings) -> ChatModel:
    """Build the configured chat model; it opens no connection before its first call.

    Raises:
        ConfigurationError: a setting that the provider needs is missing, or its client is not installed.
    """
    if settings.provider == "ollama":
        from connectors.ollama_model import OllamaChatModel  # noqa: PLC0415 - see the docstring

        return OllamaChatModel(settings, model=_name_of(settings, "llama3.2"))
    if settings.provider == "openai":
        return _openai(settings)
    from connectors.embedded_model import EmbeddedChatModel  # noqa: PLC0415 - see the docstring

    return EmbeddedChatModel()


def _openai(settings: ModelSettings) -> ChatModel:
    name = _name_of(settings, "gpt-5-mini")
    if settings.base_url is None:
        msg = (
            "SIGNALBOX_MODEL__BASE_URL is not set; the openai provider needs its server's address, "
            "like http://127.0.0.1:8080/v1"
        )
        raise ConfigurationError(msg)
    try:
        from connectors.openai_model import OpenAIChatModel  # noqa: PLC0415 - see the docstring
    except ModuleNotFoundError as error:
        msg = f"the openai provider needs the package {error.name!r}; install signalbox[openai]"
        raise ConfigurationError(msg) from None
    return OpenAIChatModel(settings, model=name, base_url=settings.base_url)


def _name_of(settings: ModelSettings, example: str) -> str:
    if settings.name is None:
        msg = (
            f"SIGNALBOX_MODEL__NAME is not set; the {settings.provider} provider needs a model's name, "
            f"like {example}"
        )
        raise ConfigurationError(msg)
    return settings.name
