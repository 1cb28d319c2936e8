"""Builds the handler that a definition names: a Python function, a prompt or an HTTP endpoint.

Comes from a definition, goes to the runner. A definition may have travelled over a topic, so a function is imported
only from allowed packages and only where it is defined: `os:system` is refused before anything is imported.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Final

from agents.http_handler import HttpHandler
from agents.prompt_handler import PromptHandler
from agents.result import Escalate, HandlerResult, Reply, Retry, Terminal
from agents.task import Context, Handler, Task
from signalbox.definitions.specs import AgentDefinition
from signalbox.errors import ConfigurationError

ALLOWED_PACKAGES: Final = ("agents", "examples")


def handler_from(
    definition: AgentDefinition, *, packages: tuple[str, ...] = ALLOWED_PACKAGES
) -> Handler:
    """Build the handler of `definition`.

    Args:
        definition: the agent.
        packages: top-level packages that functions may come from.

    Raises:
        ConfigurationError: the function is outside `packages`, does not exist, or a header's variable is not set.
    """
    spec = definition.handler
    if spec.python is not None:
        return python_handler(spec.python, packages=packages)
    if spec.prompt is not None:
        reference = spec.prompt.embedded
        embedded = None if reference is None else python_handler(reference, packages=packages)
        return PromptHandler(definition, spec.prompt, embedded)
    if spec.http is not None:
        return HttpHandler(spec.http, timeout_seconds=definition.limits.timeout_seconds)
    msg = f"agent {definition.name!r} has no handler; give it `python:`, `prompt:` or `http:`"
    raise ConfigurationError(msg)


def runs_code(definition: AgentDefinition) -> bool:
    """Say whether the handler is, or may call, a Python function."""
    spec = definition.handler
    return spec.python is not None or (spec.prompt is not None and spec.prompt.embedded is not None)


def python_handler(reference: str, *, packages: tuple[str, ...] = ALLOWED_PACKAGES) -> Handler:
    """Import `package.module:function` and make a handler of it.

    The function takes `(task, context)` and returns a `HandlerResult`, or a mapping, which is a `Reply` of that data.
    An ordinary function runs in a thread, so that it may block; an `async` one runs on the loop.

    Raises:
        ConfigurationError: outside `packages`, not importable, or not a function defined in them.
    """
    module_name, _, function_name = reference.partition(":")
    if module_name.split(".")[0] not in packages:
        msg = f"handler {reference!r} is outside the allowed packages; move it under one of {', '.join(packages)}"
        raise ConfigurationError(msg)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a module of somebody's raises while it is read
        msg = f"handler {reference!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigurationError(msg) from error
    function = getattr(module, function_name, None)
    if not inspect.isfunction(function) or function.__module__.split(".")[0] not in packages:
        msg = f"handler {reference!r} is not a function of that module; write 'package.module:function'"
        raise ConfigurationError(msg)
    is_async = inspect.iscoroutinefunction(function)

    async def handle(task: Task, context: Context) -> HandlerResult:
        answered = (
            await function(task, context)
            if is_async
            else await asyncio.to_thread(function, task, context)
        )
        return _as_result(reference, answered)

    return handle


def _as_result(reference: str, answered: Any) -> HandlerResult:
    if isinstance(answered, Reply | Retry | Terminal | Escalate):
        return answered
    if isinstance(answered, Mapping):
        return Reply(data=answered)
    return Terminal(
        "handler_failed",
        f"{reference} returned {type(answered).__name__}; return Reply, Retry, Terminal, Escalate or a mapping",
    )
