"""Rule `thin-description`: too few words of its own to route by.

A model and the embedded scorer read the description; short words and those of the name say nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from signalbox.lint.finding import Finding
from signalbox.lint.subject import Subject

RULE: Final = "thin-description"
ENOUGH_WORDS: Final = 5
_TELLING: Final = re.compile(r"[^\W\d_]{4,}")


def descriptions(subject: Subject) -> Iterator[Finding]:
    """Warn of descriptions with fewer than five telling words beside the agent's name."""
    for name, agent in subject.agents.items():
        own = set(_TELLING.findall(agent.description.lower())) - set(name.split("_"))
        if len(own) < ENOUGH_WORDS:
            said = ", ".join(sorted(own)) or "nothing"
            yield subject.finding(
                RULE,
                "warning",
                name,
                ("description",),
                f"the description of {name} has {len(own)} telling words ({said})",
                f"say in at least {ENOUGH_WORDS} what the agent does, for what, and what it is not for",
            )
