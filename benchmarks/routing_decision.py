"""What a decision among a thousand agents costs with the embedder, and what their index costs; no broker, no cluster, one core.

The agents are made up: each has a name, a description of five duties and three examples. Messages are one sentence. What a
decision adds to embedding the message alone is shown beside it, because the embedding is most of it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.figures import Result
from connectors.minilm import MiniLmEmbedder
from signalbox.definitions.specs import SemanticCalibration
from signalbox.matching.combine import choose
from signalbox.matching.scorer import Choices, Scorer

AGENTS: Final = 1000
DECISIONS: Final = 1000
P99_AIM_MS: Final = 12.0
BUILD_AIM_SECONDS: Final = 70.0
SIZE_AIM_MB: Final = 30.0

_VERBS: Final = (
    "books",
    "cancels",
    "explains",
    "changes",
    "checks",
    "reports",
    "orders",
    "repairs",
)
_THINGS: Final = (
    "flights", "hotel rooms", "invoices", "parcels", "salaries", "passports", "loans", "tyres", "recipes", "alarms",
    "concerts", "vaccinations", "contracts", "meetings", "taxes", "playlists", "routes", "refunds", "insurances", "batteries",
)  # fmt: skip
_PLACES: Final = (
    "in Lisbon", "for students", "by phone", "for families", "at night", "for companies", "on ships", "in hospitals",
    "for farmers", "in museums", "for cyclists", "in schools", "for lawyers", "at airports", "in theatres",
)  # fmt: skip


def measure() -> Result:
    """Index, size, one definition changed, and a thousand decisions."""
    result = Result(f"A decision among {AGENTS:,} agents")
    choices = _agents()
    embedder = MiniLmEmbedder()
    scorer = Scorer(embedder)
    started = time.process_time()
    scorer.index(choices)
    seconds = time.process_time() - started
    result.add("index built", seconds, "s of one core", BUILD_AIM_SECONDS)
    result.add("texts embedded for it", float(scorer.texts), "")
    result.add("size of the index", scorer.size_bytes / 1e6, "MB", SIZE_AIM_MB)
    changed = {**choices, "agent_0": (*choices["agent_0"], "and one example more")}
    started = time.process_time()
    scorer.index(changed)
    result.add("one definition changed", time.process_time() - started, "s of one core")
    decided = _milliseconds(lambda query: _decide(scorer, query, choices))
    embedded = _milliseconds(lambda query: embedder.embed([query]))
    result.add("a decision, p50", float(np.percentile(decided, 50)), "ms of one core")
    result.add("a decision, p99", float(np.percentile(decided, 99)), "ms of one core", P99_AIM_MS)
    result.add("embedding the message alone, p50", float(np.percentile(embedded, 50)), "ms")
    result.add("embedding the message alone, p99", float(np.percentile(embedded, 99)), "ms")
    return result


def _agents() -> Choices:
    kinds = list(itertools.product(_THINGS, _PLACES, _VERBS))
    choices: dict[str, tuple[str, ...]] = {}
    for number in range(AGENTS):
        duties = [kinds[(number * 5 + place) * 7 % len(kinds)] for place in range(5)]
        said = [f"{verb} {thing} {where}" for thing, where, verb in duties]
        examples = [f"who {one} please" for one in said[:3]]
        description = f"The desk that {', '.join(said[:4])} and {said[4]}."
        choices[f"agent_{number}"] = (description, "A request in free text.", *examples)
    return choices


def _decide(scorer: Scorer, query: str, choices: Choices) -> object:
    calibration = SemanticCalibration()
    found = scorer.place(query, choices)
    return choose(found.combined(calibration.lexical_weight), calibration)


def _milliseconds(step: Callable[[str], object]) -> list[float]:
    """Time `step` with messages that differ; the processor's time, so that other work on the machine counts little."""
    took = []
    for number in range(DECISIONS):
        thing, place = _THINGS[number % len(_THINGS)], _PLACES[number % len(_PLACES)]
        query = f"can you tell me number {number} who looks after {thing} {place}"
        started = time.process_time()
        step(query)
        took.append((time.process_time() - started) * 1000)
    return took
