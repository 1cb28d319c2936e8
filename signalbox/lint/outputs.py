"""Rules `dead-output` and `never-completes`: an answer that nobody takes and no outcome expects, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from signalbox.lint.finding import Finding, some
from signalbox.lint.subject import Subject

DEAD: Final = "dead-output"
NEVER: Final = "never-completes"


def outputs(subject: Subject) -> Iterator[Finding]:
    """Warn of answers after which the conversation ends as `none`, and of completing types that nobody answers with."""
    completing = {kind for one in subject.folders for kind in one.fleet.policy.completes_on}
    for name, agent in subject.agents.items():
        is_used = agent.output.type in completing or name in subject.in_workflows
        if is_used or subject.flow[name]:
            continue
        if agent.subscribe is not None and agent.subscribe.role == "listener":
            continue  # its answers are meant to end there
        barred = subject.fits[name]
        why = (
            f"its handoffs keep it from {some(barred)}"
            if barred
            else "no input contract accepts it"
        )
        yield subject.finding(
            DEAD,
            "warning",
            name,
            ("output", "type"),
            f"nobody acts on {agent.output.type} of {name}: {why}, and no fleet completes on it, so the conversation ends as `none`",
            "add it to `completes_on` in fleet.yaml, or let an agent accept it",
        )
    heard = [one for name in subject.agents for one in subject.heard_types(name) or ()]
    answers = {agent.output.type for agent in subject.agents.values()}
    for folder in subject.folders:
        for number, kind in enumerate(folder.fleet.policy.completes_on):
            if kind not in answers and not any(one.accepts(kind) for one in heard):
                what = f"completes_on names {kind!r}, but no agent answers with it"
                remedy = f"agents answer with {some(sorted(answers))}"
                place = ("completes_on", number)
                yield subject.finding_in_fleet(NEVER, "warning", folder, place, what, remedy)
