"""The OpenAPI document: the framework's, with what it cannot know: bodies that we read ourselves, keys, and problem+json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from signalbox import __version__
from signalbox.gateway.shapes import Problem

_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ALWAYS: Final = {
    "401": "No API key, or an unknown one.",
    "403": "The key lacks the scope, or a page of another site asks.",
    "429": "Too many requests; wait as `Retry-After` says.",
    "503": "The broker is away, or the read model is not there yet; wait as `Retry-After` says.",
}
_OF_A_BODY: Final = {
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "415": "The media type is not taken.",
    "422": "The request is not valid.",
}
_OF_A_THING: Final = {"404": "Nothing of this name is known."}
_CONFLICT: Final = {"409": "It is in no state in which this can be done."}
_PUBLIC: Final = "/health"

_EVENT_HEADERS: Final = {
    "ce-id": "The message's id; sent again it is the same message.",
    "idempotency-key": "The same, where `ce-id` is not sent.",
    "ce-type": "Its type; `lead.submitted` without.",
    "ce-subject": "Its conversation.",
    "ce-source": "`gateway`, `cli` or `connector/<name>`.",
    "ce-target": "Agents that skip the decision.",
    "ce-priority": "1 (first) to 10, or low, medium, high, urgent.",
}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of `app`."""
    made = get_openapi(
        title="Signalbox",
        version=__version__,
        description="Messages in, what became of them out. See docs/gateway.md; codes are in docs/errors.md.",
        routes=app.routes,
    )
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    made["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return made


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    responses.pop("422", None)
    if path == _PUBLIC:
        responses["503"] = {**responses["200"], "description": "The broker is away."}
        return
    # Where the settings let a caller in without a key, the empty one is enough.
    operation["security"] = [{}, {"bearer": []}, {"apiKey": []}]
    _with_raw_body(path, operation)
    problems = {**_ALWAYS}
    if method == "post":
        problems |= _OF_A_BODY
    if operation.get("parameters"):
        problems["422"] = _OF_A_BODY["422"]
    if "{" in path:
        problems |= _OF_A_THING
    if method == "post" and path not in {"/events", "/leads"}:
        problems |= _CONFLICT
    if path == "/ask":
        problems["504"] = "No outcome in time; the conversation goes on."
    for status, what in problems.items():
        responses[status] = {"description": what, "content": _PROBLEM}


def _with_raw_body(path: str, operation: dict[str, Any]) -> None:
    if path == "/events":
        operation["requestBody"] = _body(
            {
                "application/cloudevents+json": _ENVELOPE,
                "application/json": {"type": "object", "additionalProperties": True},
            }
        )
        operation["parameters"] = [
            {
                "name": name,
                "in": "header",
                "required": False,
                "description": f"Of a bare payload. {what}",
                "schema": {"type": "string"},
            }
            for name, what in _EVENT_HEADERS.items()
        ]
    elif path == "/leads":
        operation["requestBody"] = _body({"application/json": {"type": "object"}})
    elif path == "/agents/{name}/register":
        definition = {"type": "object", "description": "docs/schemas/agent_definition.schema.json"}
        operation["requestBody"] = _body(
            {"application/json": definition, "application/yaml": {"type": "string"}}
        )


def _body(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "required": True,
        "content": {kind: {"schema": schema} for kind, schema in content.items()},
    }


_ENVELOPE: Final = {
    "type": "object",
    "description": "CloudEvents 1.0; docs/schemas/envelope.schema.json. What is missing is filled in.",
    "required": ["specversion", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 256},
        "type": {
            "type": "string",
            "pattern": r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$",
            "maxLength": 128,
        },
        "source": {"type": "string"},
        "subject": {"type": "string", "minLength": 1, "maxLength": 256},
        "time": {"type": "string", "format": "date-time"},
        "data": {"type": "object"},
    },
}
