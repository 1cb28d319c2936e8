"""Rule `overlap`: two agents accept the same data, and their texts hardly tell which of them should have it.

Contracts may overlap where the text must decide; then each agent needs examples, and a description of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from signalbox.lint.finding import Finding, some
from signalbox.lint.subject import Subject

RULE: Final = "overlap"
ENOUGH_EXAMPLES: Final = 3
ALIKE: Final = 0.6
"""From here on two descriptions are taken for the same."""

Likeness = Callable[[str, str], float]
"""How alike the descriptions of two agents are, by their names: 0 (nothing in common) to 1 (the same)."""


def overlaps(subject: Subject, likeness: Likeness) -> Iterator[Finding]:
    """Warn of agents that a message cannot choose between: by contract they both take it, by text they look alike."""
    untold: dict[str, list[str]] = defaultdict(list)
    alike: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for one, other in subject.overlapping():
        score = likeness(one, other)
        if score >= ALIKE:
            alike[other].append((score, one))
        elif not (_has_examples(subject, one) and _has_examples(subject, other)):
            untold[other].append(one)
    for name, near in alike.items():
        score = max(near)[0]
        yield subject.finding(
            RULE,
            "warning",
            name,
            ("description",),
            f"{name} accepts the same data as {some([other for _, other in near])} and reads like it (up to {score:.2f} of 1)",
            "merge them, tell the contracts apart by a required key or a `const`, or say in each what only it does",
        )
    for name, others in untold.items():
        yield subject.finding(
            RULE,
            "warning",
            name,
            ("input", "schema"),
            f"{name} accepts the same data as {some(others)}, so a model must choose by text",
            f"tell the contracts apart (a required key, a `const`), or give both at least {ENOUGH_EXAMPLES} `examples`",
        )


def _has_examples(subject: Subject, agent: str) -> bool:
    return len(subject.agents[agent].examples) >= ENOUGH_EXAMPLES
