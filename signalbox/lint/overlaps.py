"""Rule `overlap`: two agents accept the same data, and their texts hardly tell which of them should have it.

Contracts may overlap where the text must decide; then each agent needs examples, and a description of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from signalbox.lint.finding import Finding, some
from signalbox.lint.likeness import Likeness
from signalbox.lint.subject import Subject

RULE: Final = "overlap"
ENOUGH_EXAMPLES: Final = 3


def overlaps(subject: Subject, likeness: Likeness) -> Iterator[Finding]:
    """Warn of agents that a message cannot choose between: by contract they both take it, by text they look alike."""
    untold: dict[str, list[str]] = defaultdict(list)
    alike: dict[str, list[tuple[float, str]]] = defaultdict(list)
    telling = {name: _has_examples(subject, name) for name in subject.agents}
    for one, other in subject.overlapping():
        if _are_colleagues(subject, one, other):
            continue  # meant to: whoever of them is drawn, it is right
        score = likeness.of(one, other)
        if score >= likeness.alike:
            alike[other].append((score, one))
        elif not (telling[one] and telling[other]):
            untold[other].append(one)
    for name, near in alike.items():
        score = max(near)[0]
        others = some([other for _, other in near])
        yield subject.finding(
            RULE,
            "warning",
            name,
            ("description",),
            f"{name} accepts the same data as {others} and reads like it (up to {score:.2f} of 1 by {likeness.name})",
            "merge them, tell the contracts apart by a required key or a `const`, or say in each what only it does",
        )
    for name, untellable in untold.items():
        yield subject.finding(
            RULE,
            "warning",
            name,
            ("input", "schema"),
            f"{name} accepts the same data as {some(untellable)}, so a model must choose by text",
            f"tell the contracts apart (a required key, a `const`), or give both at least {ENOUGH_EXAMPLES} `examples`",
        )


def _are_colleagues(subject: Subject, one: str, other: str) -> bool:
    capability = subject.agents[one].capability
    return capability is not None and capability == subject.agents[other].capability


def _has_examples(subject: Subject, agent: str) -> bool:
    return len(subject.agents[agent].examples) >= ENOUGH_EXAMPLES
