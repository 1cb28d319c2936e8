"""How many model calls decisions cost: contracts and the cache, beside a router that asks a model about every message.

10,000 messages in shuffled order, each in a conversation of its own; 30 % repeat the data of another one, 40 % are taken
by one contract only. They go through the reducer and the cache, one at a time. The model knows the right answers and
gives a wrong one for 1 in 25 texts, the same ones in every run; no network is in it, because only calls are counted.
The baseline asks about every message (policy `model_always`, a cache of no entries), as a router without contracts does.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import Any, Final

from benchmarks.figures import Result
from benchmarks.lab import taker
from connectors.scripted_model import ScriptedChatModel
from signalbox.cli.eval_run import CACHED_ANSWERS, Evaluation
from signalbox.contracts.chat import ChatRequest
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.evaluation.results import Result as Decided
from signalbox.evaluation.rows import LabelledRow
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules

COUNT: Final = 10_000
REPEATED: Final = 3_000
DECIDABLE_SHARE: Final = 0.4
WRONG_ONE_IN: Final = 25
AIM: Final = 0.45
_BY_CONTRACT: Final = ("orders", "invoices")
_BY_MODEL: Final = ("sales", "support", "billing")


def measure() -> Result:
    """The baseline, contracts alone, the cache alone, both."""
    result = Result(
        "Model calls per decision",
        notes=(__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip(),
    )
    rows = _rows()
    base_calls, base_right = _run(rows, by_contract=False, cached_answers=0)
    contract_calls, _ = _run(rows, by_contract=True, cached_answers=0)
    cache_calls, _ = _run(rows, by_contract=False, cached_answers=CACHED_ANSWERS)
    calls, right = _run(rows, by_contract=True, cached_answers=CACHED_ANSWERS)
    result.add("a call per message: calls per decision", base_calls / COUNT, "")
    result.add("contracts alone: calls per decision", contract_calls / COUNT, "")
    result.add("the cache alone: calls per decision", cache_calls / COUNT, "")
    result.add("signalbox: calls per decision", calls / COUNT, "")
    result.add("signalbox ÷ a call per message", calls / base_calls, "×", AIM)
    result.add("a call per message: accuracy", base_right / COUNT, "")
    result.add("signalbox: accuracy", right / COUNT, "", base_right / COUNT, at_least=True)
    return result


def _rows() -> list[LabelledRow]:
    """Distinct messages and their repeats, with the right answers, in one shuffled order."""
    chance = random.Random(5)
    distinct = COUNT - REPEATED
    contents = [_content(number, distinct) for number in range(distinct)]
    # Repeats are drawn alike from both sorts, so the share that contracts decide stays what it is.
    decidable = int(distinct * DECIDABLE_SHARE)
    again = int(REPEATED * DECIDABLE_SHARE)
    contents += chance.sample(contents[:decidable], again)
    contents += chance.sample(contents[decidable:distinct], REPEATED - again)
    chance.shuffle(contents)
    return [
        LabelledRow(number, number, (agent,), data, is_text=False)
        for number, (agent, data) in enumerate(contents)
    ]


def _content(number: int, distinct: int) -> tuple[str, dict[str, Any]]:
    if number < distinct * DECIDABLE_SHARE:
        agent = _BY_CONTRACT[number % len(_BY_CONTRACT)]
        return agent, {agent: {"number": number}}
    agent = _BY_MODEL[number % len(_BY_MODEL)]
    return agent, {"text": f"message {number} for {agent}"}


def _run(rows: list[LabelledRow], *, by_contract: bool, cached_answers: int) -> tuple[int, int]:
    """Decide every row; return how many calls the model saw and how many rows went right."""
    model = ScriptedChatModel(_answer)
    evaluation = Evaluation(
        _rulebook(by_contract=by_contract), model, at_once=1, cached_answers=cached_answers
    )
    decided: list[Decided] = asyncio.run(evaluation.run(rows, lambda _: None))
    return len(model.requests), sum(one.is_right for one in decided)


def _rulebook(*, by_contract: bool) -> Rulebook:
    agents = [taker(name, name) for name in _BY_CONTRACT] + [
        taker(name, "text") for name in _BY_MODEL
    ]
    fleet = Fleet(FleetPolicy(name="bench"), {agent.name: agent for agent in agents})
    engine = EnginePolicy(policy="contract_first" if by_contract else "model_always")
    return Rulebook(Rules.compile(ActiveSet.of([fleet]), engine))


def _answer(request: ChatRequest) -> dict[str, Any]:
    """The right agent, which the message names; for 1 in 25 messages another candidate, or NONE where there is none."""
    names = list(request.choices)
    right = next(
        name for name in names if f'"{name}"' in request.user or f"for {name}" in request.user
    )
    message = request.user.partition("<message>")[2]
    if int(hashlib.sha256(message.encode()).hexdigest(), 16) % WRONG_ONE_IN == 0:
        right = (names[names.index(right) + 1 :] + names)[0] if len(names) > 1 else "NONE"
    return {"agent": right, "reason": "known", "confidence": 1.0}
