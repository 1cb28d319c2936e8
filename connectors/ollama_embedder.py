"""Embeddings from an Ollama server, many texts a call. Source: Ollama API, POST /api/embed.

Called from the matching threads, never on an event loop: the client is the synchronous one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import httpx
import numpy as np
import ollama
from pydantic import ValidationError

from signalbox.errors import ConfigurationError, RetryableError, TerminalError
from signalbox.matching.embedder import Vectors, clean, unit
from signalbox.settings import EmbedderSettings

DEFAULT_BASE_URL: Final = "http://127.0.0.1:11434"
_CONNECT_SECONDS: Final = 5.0
_CHARS_PER_TOKEN: Final = 8
_REFUSED: Final = range(400, 500)
_MAY_PASS: Final = frozenset({408, 429})


class OllamaEmbedder:
    """One model on one server; `dimension` is 0 until the first text was embedded."""

    dimension = 0

    def __init__(self, settings: EmbedderSettings) -> None:
        if not settings.name:
            msg = (
                "SIGNALBOX_EMBEDDER__NAME is not set; the ollama embedder needs a model's name, "
                "like nomic-embed-text"
            )
            raise ConfigurationError(msg)
        self.name = f"ollama/{settings.name}"
        self._model = settings.name
        self._address = settings.base_url or DEFAULT_BASE_URL
        self._max_chars = settings.max_tokens * _CHARS_PER_TOKEN
        self._client = ollama.Client(
            host=self._address,
            timeout=httpx.Timeout(settings.timeout_seconds, connect=_CONNECT_SECONDS),
            follow_redirects=False,
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`. The server cuts a long text; here it is cut roughly, so that a call stays small."""
        # A server refuses an empty text or gives it a vector, as it likes; here it has none.
        asked = [clean(text, self._max_chars) for text in texts if text.strip()]
        found = iter(self._ask(asked) if asked else np.zeros((0, self.dimension), np.float32))
        rows = [next(found) if text.strip() else None for text in texts]
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for number, row in enumerate(rows):
            if row is not None:
                vectors[number] = row
        return unit(vectors)

    def _ask(self, texts: list[str]) -> Vectors:
        try:
            response = self._client.embed(model=self._model, input=texts, truncate=True)
            vectors = np.array(response.embeddings, np.float32)
        except (httpx.HTTPError, ConnectionError) as error:
            msg = f"{self.name} at {self._address} cannot be reached: {type(error).__name__}"
            raise RetryableError(msg) from None
        except ollama.ResponseError as error:
            raise self._refusal(error) from None
        except (ValidationError, ValueError):
            msg = (
                f"{self.name} at {self._address} answered something that is not Ollama's /api/embed"
            )
            raise RetryableError(msg) from None
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            msg = f"{self.name} at {self._address} answered {vectors.shape} numbers for {len(texts)} texts"
            raise RetryableError(msg)
        if self.dimension not in {0, vectors.shape[1]}:
            msg = (
                f"{self.name} answered {vectors.shape[1]} numbers a text, before it were {self.dimension}: "
                "another model has its name now; restart what asks it"
            )
            raise TerminalError(msg, reason="model_failed")
        self.dimension = vectors.shape[1]
        return vectors

    def _refusal(self, error: ollama.ResponseError) -> RetryableError | TerminalError:
        msg = (
            f"{self.name} at {self._address} refused with {error.status_code}: {error.error[:200]}"
        )
        if error.status_code in _REFUSED and error.status_code not in _MAY_PASS:
            advice = (
                f"`ollama pull {self._model}`, or set SIGNALBOX_EMBEDDER__NAME to what is there"
            )
            return TerminalError(f"{msg}; {advice}", reason="model_failed")
        return RetryableError(msg)
