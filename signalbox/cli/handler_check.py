"""Whether the Python functions that a fleet's handlers name are there, before anything is applied."""

from __future__ import annotations

from pathlib import Path

from signalbox.definitions.fleet import Fleet
from signalbox.definitions.specs import AgentDefinition
from signalbox.errors import ConfigurationError, DefinitionError


def handler_problems(folder: Path, fleet: Fleet) -> list[DefinitionError]:
    """Return, with its place in `folder`, each function of a handler that cannot be imported here."""
    from agents.handlers import python_handler  # noqa: PLC0415 (slow to import)

    found = []
    for name, definition in fleet.agents.items():
        reference = _function_of(definition)
        if reference is None:
            continue
        try:
            python_handler(reference)
        except ConfigurationError as error:
            path, line, column = _place(folder, name, reference)
            hint = "mend it, or say --code-elsewhere where only the agents' machines have the code"
            found.append(DefinitionError(path, line, column, str(error), hint))
    return found


def _function_of(definition: AgentDefinition) -> str | None:
    handler = definition.handler
    return handler.prompt.embedded if handler.prompt is not None else handler.python


def _place(folder: Path, agent: str, reference: str) -> tuple[Path, int, int]:
    candidates = [folder / f"{agent}.yaml", *sorted(folder.glob("*.yaml"))]
    for path in candidates:
        if path.is_file():
            for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
                if reference in line:
                    return path, number, line.index(reference) + 1
    return folder, 1, 1
