"""Asks whether an Ollama answers on this machine's default port, and which models it has."""

from __future__ import annotations

import http.client
import json
from typing import Final

OLLAMA_PORT: Final = 11434
_TIMEOUT_SECONDS: Final = 0.5


def local_models(host: str = "127.0.0.1", port: int = OLLAMA_PORT) -> tuple[str, ...]:
    """Return the names of the models of the Ollama at `host:port`; empty when none answers in half a second."""
    # Not through a proxy: the question is what runs here.
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/api/tags")
        body = json.loads(connection.getresponse().read(1_000_000))
        return tuple(str(model["name"]) for model in body["models"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return ()
    finally:
        connection.close()
