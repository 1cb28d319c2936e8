"""Every error Signalbox raises on purpose, and what the runtime does with each.

A message says what was wrong, the value, what a right one looks like, and where useful the next step.
`RetryableError` is tried again; `TerminalError` becomes a dead letter with its reason; the others end a command.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from signalbox.contracts.dead_letter import DeadLetterReason


class SignalboxError(Exception):
    """The base of every error of ours. `code` is stable and documented in docs/errors.md."""

    code: ClassVar[str] = "SB-000"


class RetryableError(SignalboxError):
    """The same call may succeed later. `retry_after_seconds` is the other side's wish, where it stated one."""

    code = "SB-010"

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TerminalError(SignalboxError):
    """Trying again cannot help: the message becomes a dead letter with `reason`."""

    code = "SB-011"

    def __init__(self, message: str, *, reason: DeadLetterReason) -> None:
        super().__init__(message)
        self.reason = reason


class ImagesRefusedError(TerminalError):
    """The model was given a picture and takes none, or not this one. Asking again changes nothing; asking without it may."""

    code = "SB-012"

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="model_failed")


class DefinitionError(SignalboxError):
    """A definition file is wrong at a place a person can open. Renders as `path:line:column: problem; hint`."""

    code = "SB-020"

    def __init__(self, path: Path | str, line: int, column: int, problem: str, hint: str) -> None:
        super().__init__(
            f"{path}:{line}:{column}: {problem}; {hint}"
            if hint
            else f"{path}:{line}:{column}: {problem}"
        )
        self.path = path
        self.line = line
        self.column = column
        self.problem = problem
        self.hint = hint


class ConfigurationError(SignalboxError):
    """A setting is missing or contradicts another one; the message names the setting and a right value."""

    code = "SB-030"


class UsageError(SignalboxError):
    """A command was called with input it cannot take; exit code 2."""

    code = "SB-031"


class StackError(SignalboxError):
    """A process of the local stack could not be started, reached or stopped; the message names its log."""

    code = "SB-040"
