"""What `sql/22_ml_predict.sql` is generated from: the active definitions and the model settings, and nothing else.

The prompt is the operator's own (`signalbox.routing.prompt`), the names are those of the definitions, so neither is written
twice. Flink's OpenAI provider knows no JSON Schema, so the schema of the answer stands in the prompt as well.
"""

from __future__ import annotations

import math
from typing import Any, Final

import orjson

from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import ConfigurationError
from signalbox.routing.prompt import MAX_DATA_CHARS, answer_schema, system_prompt
from signalbox.settings import ModelSettings

NAME: Final = "22_ml_predict"
SCHEMA_INTRODUCTION: Final = "Answer with one JSON object and nothing else, of this JSON Schema:"

_OLLAMA: Final = "http://127.0.0.1:11434"


def template_values(
    model: ModelSettings, active: ActiveSet, *, api_key: str | None = None
) -> dict[str, Any]:
    """Return the variables of the template.

    Args:
        model: whose server, name and token limit are used; without a server it is an Ollama on its default port.
        active: the definitions whose agents are offered, all of them.
        api_key: only for a statement that is run at once; a file that people see is rendered without it.
    """
    names = tuple(sorted(active.agents))
    values: dict[str, Any] = {
        "agents": names,
        "model_endpoint": endpoint(model),
        "max_tokens": model.max_tokens,
        "retries": model.max_attempts - 1,
        "answer_seconds": math.ceil(model.timeout_seconds * model.max_attempts),
        "max_data_chars": MAX_DATA_CHARS,
        "system_prompt": _prompt(active, names),
    }
    if model.name:
        values["model_name"] = model.name
    if api_key:
        values["model_api_key"] = api_key
    return values


def endpoint(model: ModelSettings) -> str:
    """Return the address of the chat completions; Ollama has them below `/v1`."""
    if model.provider == "openai":
        return f"{(model.base_url or _OLLAMA + '/v1').rstrip('/')}/chat/completions"
    return f"{(model.base_url or _OLLAMA).rstrip('/')}/v1/chat/completions"


def require_server(model: ModelSettings) -> None:
    """Check that there is a server to ask.

    Raises:
        ConfigurationError: the provider is the embedded scorer, which Flink cannot call, or the model has no name.
    """
    if model.provider == "embedded":
        msg = (
            "SIGNALBOX_MODEL__PROVIDER=embedded has no server that Flink could ask; "
            "set ollama or openai, or run the job orchestrate"
        )
        raise ConfigurationError(msg)
    if not model.name:
        msg = "SIGNALBOX_MODEL__NAME is not set; ML_PREDICT needs a model's name, like llama3.2"
        raise ConfigurationError(msg)


def _prompt(active: ActiveSet, names: tuple[str, ...]) -> str:
    schema = orjson.dumps(answer_schema(names)).decode()
    definitions = [active.agents[name] for name in names]
    return f"{system_prompt(definitions)}\n{SCHEMA_INTRODUCTION}\n{schema}\n"
