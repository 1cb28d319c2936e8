"""A handler that is a prompt: two templates, the output schema, the chat model. One repair attempt, then it gives up.

With the embedded model, which writes nothing, the function named by `embedded:` answers instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.answer_schema import asked_schema, fill
from agents.asking import ask, is_embedded
from agents.result import HandlerResult, Reply, Terminal
from agents.task import Context, Handler, Task
from agents.templates import render
from signalbox.contracts.chat import ChatRequest
from signalbox.definitions.contract import Contract
from signalbox.definitions.specs import AgentDefinition, PromptSpec


class PromptHandler:
    """Asks the context's chat model for the definition's output; what must not be asked is filled in by code."""

    def __init__(
        self, definition: AgentDefinition, prompt: PromptSpec, embedded: Handler | None
    ) -> None:
        """Prepare the question of `definition`; `embedded` answers where there is no model."""
        self._name = definition.name
        self._prompt = prompt
        self._embedded = embedded
        self._schema = definition.output.json_schema
        self._asked = asked_schema(self._schema)
        self._contract = Contract(self._asked)

    async def __call__(self, task: Task, context: Context) -> HandlerResult:
        """Answer `task`.

        Raises:
            RetryableError, TerminalError: what the model call raised, or a template that cannot be rendered.
        """
        if is_embedded(context):
            if self._embedded is None:
                return Terminal(
                    "model_failed",
                    f"{self._name} has no `embedded:` function and no model is configured; "
                    "set SIGNALBOX_MODEL__PROVIDER to ollama or openai",
                )
            return await self._embedded(task, context)
        return await self._ask(task, context)

    async def _ask(self, task: Task, context: Context) -> HandlerResult:
        request = ChatRequest(
            system=render(self._prompt.system, data=task.data),
            user=render(self._prompt.user, data=task.data),
            schema=self._asked,
            schema_name=self._name,
        )
        asked = await ask(context, request, self._contract.violations)
        if isinstance(asked, Terminal):
            return asked
        data = fill(self._schema, asked.fields, _known(task, context))
        return Reply(data=data, tokens_used=asked.tokens_used)


def _known(task: Task, context: Context) -> Mapping[str, Any]:
    return {
        "data": task.data,
        "task": {
            "id": task.id,
            "cause": task.envelope.causationid or task.id,
            "conversation": task.conversation_id,
        },
        "model": context.chat_model.name,
    }
