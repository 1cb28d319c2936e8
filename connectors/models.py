"""Which chat model the settings name. Client libraries are imported only when their provider is chosen."""

from __future__ import annotations

from connectors.chat_model import ChatModel
from signalbox.errors import ConfigurationError
from signalbox.settings import EmbedderSettings, ModelSettings


def chat_model_from(settings: ModelSettings, embedder: EmbedderSettings | None = None) -> ChatModel:
    """Build the configured chat model; it opens no connection before its first call.

    Args:
        settings: which provider, and how it is reached.
        embedder: what agents are told apart with, by the embedded model or for any other's shortlist. None where no agents
            are chosen (an agent's own process): no weights are read then.

    Raises:
        ConfigurationError: a setting that the provider needs is missing, or an embedder's
            weights are not those that were meant.
    """
    if settings.provider == "embedded":
        return _embedded(embedder)
    model = _ollama(settings) if settings.provider == "ollama" else _openai(settings)
    if embedder is None:
        return model
    from connectors.embedders import matcher_from  # noqa: PLC0415 - see the docstring
    from connectors.shortlisting_model import ShortlistingChatModel  # noqa: PLC0415

    # The weights are read when there is a first crowd to choose from: most fleets never have one.
    return ShortlistingChatModel(model, lambda: matcher_from(embedder))


def require_model(settings: ModelSettings, embedder: EmbedderSettings) -> None:
    """Check what `chat_model_from` would refuse where agents are chosen; nothing is asked and nothing is kept.

    Raises:
        ConfigurationError: as `chat_model_from`.
    """
    from connectors.embedders import require_embedder  # noqa: PLC0415 - see the docstring

    try:
        # Without an embedder no weights are read, and a client opens no connection before its first call.
        chat_model_from(settings)
    except OSError as error:
        msg = (
            f"SIGNALBOX_MODEL__API_KEY_FILE {settings.api_key_file} cannot be read: {error.strerror}; "
            "name a file with the key that you may read, or unset it"
        )
        raise ConfigurationError(msg) from None
    require_embedder(embedder)


def _embedded(embedder: EmbedderSettings | None) -> ChatModel:
    from connectors.embedded_model import EmbeddedChatModel  # noqa: PLC0415 - see the docstring
    from connectors.embedders import matcher_from  # noqa: PLC0415

    if embedder is None:
        return EmbeddedChatModel()
    matcher = matcher_from(embedder)
    # By words alone there is a scorer of its own, which explains itself word by word.
    return EmbeddedChatModel(None if matcher.name == "lexical" else matcher)


def _ollama(settings: ModelSettings) -> ChatModel:
    from connectors.ollama_model import OllamaChatModel  # noqa: PLC0415 - see the docstring

    return OllamaChatModel(settings, model=_name_of(settings, "llama3.2"))


def _openai(settings: ModelSettings) -> ChatModel:
    name = _name_of(settings, "gpt-5-mini")
    if settings.base_url is None:
        msg = (
            "SIGNALBOX_MODEL__BASE_URL is not set; the openai provider needs its server's address, "
            "like http://127.0.0.1:8080/v1"
        )
        raise ConfigurationError(msg)
    from connectors.openai_model import OpenAIChatModel  # noqa: PLC0415 - see the docstring

    return OpenAIChatModel(settings, model=name, base_url=settings.base_url)


def _name_of(settings: ModelSettings, example: str) -> str:
    if settings.name is None:
        msg = (
            f"SIGNALBOX_MODEL__NAME is not set; the {settings.provider} provider needs a model's name, "
            f"like {example}"
        )
        raise ConfigurationError(msg)
    return settings.name
