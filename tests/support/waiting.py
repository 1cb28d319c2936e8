"""Messages that come to a person: anybody could take them, and nobody is sure enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signalbox.contracts.chat import ChatAnswer
from tests.support.fleets import message
from tests.support.live_story import LiveStory


def parked(
    story: LiveStory, conversation: str = "lead-1", data: Mapping[str, Any] | None = None
) -> None:
    """Let `p-<conversation>` wait in its conversation; the model was not sure of `cyd`."""
    story.at += 100
    one = message(f"p-{conversation}", dict(data or {"z": 1}), conversation=conversation)
    story.arrives(one, at=story.at)
    said = '{"agent": "cyd", "reason": "perhaps", "confidence": 0.2}'
    story.model_says(ChatAnswer(text=said, model="m"), at=story.at + 5)
    story.at += 5
