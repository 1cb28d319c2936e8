"""What judges plans under faults, judged on a history that the reducer and the harness' own handlers made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from signalbox.definitions.fleet import ActiveSet
from signalbox.workflows.check import problems_of
from tests.faults.bureau import BUREAU, Requests, bureau
from tests.faults.effects import effects_in
from tests.faults.fleet import fault_fleet_and
from tests.faults.history import Stored
from tests.faults.ledger import Ledger
from tests.faults.stand import HANDLERS
from tests.faults.test_workflows import PLAN
from tests.faults.verdict import Report
from tests.faults.work import slots_of
from tests.support.played_work import Played


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The history of one run, which no test changes."""
    outbox = tmp_path_factory.mktemp("bureau") / "outbox"
    outbox.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HANDLERS)
        yield Played(Requests("run", 1, 10), bureau(seconds=0), outbox)


def judged(played: Played, records: list[Stored]) -> Report:
    """The ledger's verdict on `records`, with the effects that there were."""
    effects = effects_in(played.outbox)
    return Ledger(records, played.sent, effects=effects, acts=BUREAU.agents.keys()).judge()


def is_refused(played: Played, records: list[Stored]) -> bool:
    """Whether the ledger or the judge of the requests finds something wrong."""
    try:
        played.work.judge(records, played.outbox)
    except AssertionError:
        return True
    return not judged(played, records).is_good


def test_the_bureau_s_workflow_is_one_that_validate_accepts() -> None:
    """It is applied to the stand without a folder, so it is checked here; its fleet stands beside the harness' own."""
    (workflow,) = BUREAU.workflows.values()

    assert problems_of(workflow, BUREAU.agents) == ()
    assert isinstance(fault_fleet_and(BUREAU), ActiveSet)


def test_ledger_and_requests_agree_on_a_history_of_the_reducer(played: Played) -> None:
    """Both judge it good, each request ended as its number says, and the watched one went through every step."""
    report = judged(played, played.records)
    statuses = played.work.judge(played.records, played.outbox)

    assert report.is_good, str(report)
    assert statuses == {"completed": 8, "failed": 2}
    assert set(PLAN.steps) <= slots_of(played.records, played.work.watched).keys()


def test_any_record_of_a_plan_dropped_or_doubled_is_refused(played: Played) -> None:
    """A plan, its refusal, a task, an answer, an outcome: whichever is missing or there twice, somebody notices."""
    started = {one.id for one in played.sent}
    for number, record in enumerate(played.records):
        others = [*played.records[:number], *played.records[number + 1 :]]
        again = replace(record, offset=9999)

        assert is_refused(played, others), record
        if (record.fields or {}).get("id") not in started:  # a sender may write one id twice
            assert is_refused(played, [*played.records, again]), record


@pytest.mark.parametrize(
    ("topic", "old", "new"),
    [
        ("agent_tasks_joiner", b'"find1 of run-w0', b'"find1 of run-w6'),
        ("agent_tasks_teller", b'"done","result":{', b'"skipped","result":{'),
        ("agent_tasks_teller", b"find2 of run-w0", b"find9 of run-w0"),
        ("agent_outcomes", b"last of run-w0", b"lost of run-w0"),
        ("agent_outcomes", b'"completed"', b'"failed"'),
    ],
)
def test_results_that_were_not_made_for_whom_they_are_given_to_are_refused(
    played: Played, topic: str, old: bytes, new: bytes
) -> None:
    """Another request's result, a status that is not its own, a changed text, an answer that the plan does not give."""
    number = next(
        number
        for number, one in enumerate(played.records)
        if one.topic == topic and old in (one.value or b"")
    )
    spoiled = list(played.records)
    value = spoiled[number].value or b""
    spoiled[number] = replace(spoiled[number], value=value.replace(old, new))

    with pytest.raises(AssertionError):
        played.work.judge(spoiled, played.outbox)


def test_an_effect_missing_or_of_a_task_that_failed_is_refused(
    played: Played, tmp_path: Path
) -> None:
    """The watched request's task that failed once acted once; an effect of its first attempt is one too many."""
    first = next(
        one.fields
        for one in played.records
        if one.topic.startswith("agent_tasks_")
        and one.fields
        and one.fields["subject"] == played.work.watched
        and one.fields["data"].get("task") == "find2"
    )
    copy = tmp_path / "outbox"
    shutil.copytree(played.outbox.parent, tmp_path, dirs_exist_ok=True)
    extra = copy / "extra.d"
    extra.mkdir()
    (extra / "one.json").write_text(json.dumps({"task": first["id"]}))
    with pytest.raises(AssertionError, match="find2"):
        played.work.judge(played.records, copy)

    (extra / "one.json").unlink()
    shutil.rmtree(next(path for path in copy.iterdir() if played.work.watched in path.name))
    (tmp_path / "effects.log").unlink()
    with pytest.raises(AssertionError):
        played.work.judge(played.records, copy)
