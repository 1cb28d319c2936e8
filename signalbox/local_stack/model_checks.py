"""What `doctor` looks at behind the model and the embedder: settings, packages, weights, and whether a server has what is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import httpx

from connectors.embedders import require_embedder
from signalbox.errors import ConfigurationError
from signalbox.local_stack.check import Check
from signalbox.settings import EmbedderSettings, ModelSettings

_OLLAMA_URL: Final = "http://127.0.0.1:11434"
_ANSWER_SECONDS: Final = 3.0
_Look = Callable[[], Check]


def model_check(model: ModelSettings) -> Check:
    """Look whether the model's server answers and has the model."""
    looks: dict[str, _Look] = {"ollama": lambda: _ollama(model), "openai": lambda: _openai(model)}
    if model.provider not in looks:
        return Check("model", True, "embedded: contracts, a local scorer and templates; no network")
    where = f"{model.provider} at {model.base_url or _OLLAMA_URL}"
    fix = (
        "start the server, correct SIGNALBOX_MODEL__BASE_URL, or SIGNALBOX_MODEL__PROVIDER=embedded"
    )
    return _answered("model", where, fix, looks[model.provider])


def embedder_check(embedder: EmbedderSettings) -> Check:
    """Look whether agents can be told apart by meaning: packages, the weights' digests, or the server's model."""
    try:
        found = require_embedder(embedder)
    except ConfigurationError as error:
        found, _, fix = str(error).partition("; ")
        return Check("embedder", False, found, fix)
    if embedder.provider == "ollama":
        url = embedder.base_url or _OLLAMA_URL
        fix = "start the server, correct SIGNALBOX_EMBEDDER__BASE_URL, or SIGNALBOX_EMBEDDER__PROVIDER=auto"
        look: _Look = lambda: _has(url, embedder.name or "", "embedder")  # noqa: E731
        return _answered("embedder", f"ollama at {url}", fix, look)
    is_less = embedder.provider == "auto" and found.startswith("words alone")
    return Check("embedder", True, found, "install signalbox[semantic]" if is_less else "")


def _answered(name: str, where: str, fix: str, look: _Look) -> Check:
    try:
        return look()
    except (
        httpx.HTTPError,
        OSError,
        ValueError,
        KeyError,
    ) as error:  # OSError: the file of the key
        return Check(name, False, f"{where}: {error}", fix)


def _ollama(model: ModelSettings) -> Check:
    url = model.base_url or _OLLAMA_URL
    if model.name is None:
        names = _names(url)
        fix = f"SIGNALBOX_MODEL__NAME={names[0] if names else 'llama3.2'}"
        return Check("model", False, f"ollama at {url}", fix)
    return _has(url, model.name, "model")


def _has(url: str, wanted: str, check: str) -> Check:
    names = _names(url)
    if any(name in {wanted, f"{wanted}:latest"} for name in names):
        return Check(check, True, f"ollama/{wanted} at {url}")
    found = f"ollama at {url} has {', '.join(names) or 'no model'}"
    return Check(check, False, found, f"`ollama pull {wanted}`")


def _names(url: str) -> list[str]:
    answer = httpx.get(f"{url.rstrip('/')}/api/tags", timeout=_ANSWER_SECONDS).raise_for_status()
    return [str(item["name"]) for item in answer.json()["models"]]


def _openai(model: ModelSettings) -> Check:
    url = model.base_url
    if url is None:
        return Check(
            "model",
            False,
            "openai without an address",
            "SIGNALBOX_MODEL__BASE_URL=http://127.0.0.1:8080/v1",
        )
    key = model.key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = httpx.get(f"{url.rstrip('/')}/models", headers=headers, timeout=_ANSWER_SECONDS)
    if answer.is_success:
        return Check("model", True, f"{model.name or 'openai'} at {url}")
    return Check(
        "model",
        False,
        f"{url} answers {answer.status_code}",
        "check SIGNALBOX_MODEL__API_KEY and SIGNALBOX_MODEL__BASE_URL",
    )
