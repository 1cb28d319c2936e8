"""What is asked of a chat model and what comes back; the same for Ollama, an OpenAI-compatible server and the embedded scorer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ChatImage:
    """A picture beside the words of a question: the file as it is, and what it is (`image/png`)."""

    data: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One structured question.

    `schema` bounds every string, because a grammar does not stop a string without `maxLength` (seen with Ollama).
    `choices` maps each answer a local scorer may give to the texts that describe it, and `query` is the text to place;
    providers that read prompts ignore both.
    """

    system: str
    user: str
    schema: Mapping[str, Any]
    schema_name: str
    query: str = ""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    """What a local scorer needs to say NONE: `definitions.specs.Calibration` as a mapping."""
    cache_key: str | None = None
    """Equal keys may share one answer; None is never cached."""
    narrow: Callable[[tuple[str, ...]], ChatRequest] | None = field(
        default=None, compare=False, repr=False
    )
    """Asks the same of fewer choices; given where there are so many that a model that reads is asked of the nearest only."""
    images: tuple[ChatImage, ...] = ()
    """Pictures that belong to `user`. A model that sees none refuses the question (`ImagesRefusedError`) instead of guessing."""


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What the model said, unvalidated. `scores` is filled by scorers only: choice → score in [0, 1].

    The order of `scores` says who is nearer where scores are equal. `shortlist` has the choices the model was asked of, nearest
    first, where it was not asked of all; `calibration` is the name of what a scorer decided by. `is_provisional` says that another
    time the answer would be a better one: it is not cached.
    """

    text: str
    model: str
    tokens_in: int = 0
    tokens_out: int = 0
    latency_ms: int = 0
    cached: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    shortlist: tuple[str, ...] = ()
    calibration: str | None = None
    is_provisional: bool = False
