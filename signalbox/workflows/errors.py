"""What can be wrong with a mapping: the mapping itself, found when it is compiled, or the values that should fill it."""

from __future__ import annotations


class TemplateProblem(ValueError):
    """A definition's mapping or expression that cannot be used; `path` leads to it inside the mapping, `hint` says what is right."""

    def __init__(self, message: str, hint: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.path = path

    def below(self, *path: str | int) -> TemplateProblem:
        """Return the problem as seen from further up."""
        return TemplateProblem(str(self), self.hint, (*path, *self.path))


class MappingError(ValueError):
    """A mapping that the values at hand cannot fill.

    `step` is whose mapping it is (empty outside a workflow), `field` the place in it, `problem` what is missing or wrong.
    """

    def __init__(self, problem: str, *, field: str = "", step: str = "") -> None:
        super().__init__(": ".join(part for part in (step, field, problem) if part))
        self.step = step
        self.field = field
        self.problem = problem
