"""A row and what became of it: right or wrong, and whether the message took an edge that the definitions permit."""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.contracts.decision import NONE
from signalbox.evaluation.rows import LabelledRow
from signalbox.evaluation.trial import Prediction
from signalbox.routing.candidates import handoffs_of
from signalbox.routing.rules import Rulebook


@dataclass(frozen=True, slots=True)
class Result:
    """A row with its prediction. A row that got no answer is never right."""

    row: LabelledRow
    prediction: Prediction

    @property
    def is_right(self) -> bool:
        """Whether the answer is one of those allowed."""
        return self.prediction.error is None and self.prediction.agent in self.row.expected

    @property
    def truth(self) -> str:
        """The label to count under: the answer where it is allowed, else the best of those allowed."""
        return self.prediction.agent if self.is_right else self.row.expected[0]

    @property
    def is_in_scope(self) -> bool:
        """Whether an agent should act."""
        return self.truth != NONE


def forbidden_edge(result: Result, rulebook: Rulebook) -> str | None:
    """Say why the chosen agent must not have got the message; None where the edge is permitted.

    Looks at the definitions alone, not at how the decision was made, so that it can contradict it.
    """
    agent, row = result.prediction.agent, result.row
    rules = rulebook.current
    if agent == NONE or rules is None:
        return None
    if agent not in rules.agents:
        return f"no agent {agent!r} is defined"
    allowed = handoffs_of(row.sender, rulebook)
    if allowed is not None and agent not in allowed:
        return f"{row.sender} may not hand off to {agent}"
    violations = rules.agents[agent].contract.violations(row.data)
    return f"{agent} does not accept the data: {', '.join(violations)}" if violations else None
