"""The report of an evaluation as one JSON-able object. Its names are a contract: programs read them (docs/evaluation.md)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from signalbox.contracts.decision import NONE
from signalbox.contracts.ids import canonical_json
from signalbox.evaluation.metrics import (
    SHORTLIST_SIZES,
    confusions,
    macro_f1,
    per_class,
    scope_at,
    share,
    shortlist_recall,
)
from signalbox.evaluation.reliability import reliability
from signalbox.evaluation.results import Result, forbidden_edge
from signalbox.routing.prompt import query_text
from signalbox.routing.rules import Rulebook

_TEXT_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """By whom and with what the rows were decided; it stands in the report as it is."""

    definitions: str
    messages: str
    provider: str
    model: str
    policy: str
    calibration: Mapping[str, Any]
    is_fitted: bool = False


def report(results: Sequence[Result], rulebook: Rulebook, asked: Asked) -> dict[str, Any]:
    """Return every figure of `results`, shares in [0, 1], None where there is nothing to measure."""
    right = sum(result.is_right for result in results)
    inside = [result for result in results if result.is_in_scope]
    refused = sum(result.prediction.agent == NONE for result in inside)
    given = [result for result in results if result.prediction.agent != NONE]
    classes = per_class(results)
    none = classes.get(NONE)
    scope = scope_at(results)
    return {
        "definitions": asked.definitions,
        "definitions_digest": rulebook.current.digest if rulebook.current else None,
        "messages": asked.messages,
        "policy": asked.policy,
        "fitted": asked.is_fitted,
        "calibration_used": dict(asked.calibration),
        "rows": len(results),
        "in_scope": len(inside),
        "out_of_scope": len(results) - len(inside),
        "right": right,
        "accuracy": share(right, len(results)),
        "in_scope_accuracy": share(sum(result.is_right for result in inside), len(inside)),
        "macro_f1": macro_f1(classes),
        "none_precision": none.precision if none else None,
        "none_recall": none.recall if none else None,
        "in_scope_answered_none": share(refused, len(inside)),
        "wrong_among_answered": share(sum(not result.is_right for result in given), len(given)),
        "none_recall_at_5_percent_refused": scope.none_recall,
        "score_at_5_percent_refused": scope.threshold,
        "shortlist_recall": {
            str(size): shortlist_recall(results, size) for size in SHORTLIST_SIZES
        },
        "agents": {
            name: {
                "precision": one.precision,
                "recall": one.recall,
                "f1": one.f1,
                "expected": one.support,
                "answered": one.answered,
                "right": one.right,
            }
            for name, one in classes.items()
        },
        "confused": [
            {
                "expected": pair.expected,
                "answered": pair.answered,
                "count": pair.count,
                "examples": [_example(result) for result in pair.examples],
            }
            for pair in confusions(results)
        ],
        "calibration": _calibration(results),
        "paths": dict(sorted(Counter(result.prediction.path for result in results).items())),
        "kinds": _kinds(results),
        "forbidden_edges": _forbidden(results, rulebook),
        "unanswered": [
            {"id": result.row.id, "error": result.prediction.error}
            for result in results
            if result.prediction.error is not None
        ],
        "model": _model(results, asked),
        "decision_ms": _times(results),
    }


def _example(result: Result) -> dict[str, Any]:
    row, said = result.row, result.prediction
    # What a scorer reads of a message tells two rows apart better than the first fields of their JSON.
    text = query_text(row.data) or canonical_json(row.data).decode()
    return {
        "id": row.id,
        "text": text if len(text) <= _TEXT_CHARS else text[: _TEXT_CHARS - 1] + "…",
        "score": round(said.score, 4),
        "reason": said.reason,
    }


def _calibration(results: Sequence[Result]) -> dict[str, Any]:
    found = reliability(results)
    return {
        "rows": found.rows,
        "ece": found.ece,
        "bins": [
            {
                "from": one.low,
                "to": one.high,
                "rows": one.count,
                "confidence": one.confidence,
                "accuracy": one.accuracy,
            }
            for one in found.bins
        ],
    }


def _kinds(results: Sequence[Result]) -> dict[str, Any]:
    """Figures by the rows' `kind`; empty where no row has one."""
    members: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.row.kind is not None:
            members[result.row.kind].append(result)
    return {
        kind: {
            "rows": len(found),
            "right": sum(result.is_right for result in found),
            "accuracy": share(sum(result.is_right for result in found), len(found)),
        }
        for kind, found in sorted(members.items())
    }


def _forbidden(results: Sequence[Result], rulebook: Rulebook) -> list[dict[str, Any]]:
    found = ((result, forbidden_edge(result, rulebook)) for result in results)
    return [
        {"id": result.row.id, "agent": result.prediction.agent, "why": why}
        for result, why in found
        if why is not None
    ]


def _model(results: Sequence[Result], asked: Asked) -> dict[str, Any]:
    said = [result.prediction for result in results]
    calls = sum(one.model_calls for one in said)
    return {
        "provider": asked.provider,
        "name": asked.model,
        "calls": calls,
        "calls_per_row": share(calls, len(said)),
        "cached": sum(one.cached for one in said),
        "tokens_in": sum(one.tokens_in for one in said),
        "tokens_out": sum(one.tokens_out for one in said),
    }


def _times(results: Sequence[Result]) -> dict[str, float | None]:
    ordered = sorted(result.prediction.decision_ms for result in results)
    if not ordered:
        return {"p50": None, "p99": None, "max": None}

    def at(part: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 3)

    return {"p50": at(0.5), "p99": at(0.99), "max": at(1.0)}


def predictions(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one object a row, in the rows' order: `{id, agent, score, shortlist}`, and how it was decided."""
    return [
        {
            "id": result.row.id,
            "agent": result.prediction.agent,
            "score": round(result.prediction.score, 6),
            "shortlist": list(result.prediction.shortlist),
            "path": result.prediction.path,
            "confidence": result.prediction.confidence,
            "reason": result.prediction.reason,
        }
        for result in results
    ]
