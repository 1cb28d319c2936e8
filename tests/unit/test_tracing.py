"""Conversations as OpenTelemetry traces: from what the topics say to what a collector reads."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from connectors.broker import CommittedOffset, Partition
from signalbox.cli.facts import Fact, facts_of
from signalbox.cli.trace_view import Trace, trace_of
from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.ids import dispatch_id
from signalbox.errors import ConfigurationError
from signalbox.gateway.readmodel.queries import NotReadyError
from signalbox.local_stack import traces
from signalbox.settings import Settings
from signalbox.tracing.exporter import GROUP, Exporter
from signalbox.tracing.ids import context_of, span_id
from signalbox.tracing.otlp import AT_ONCE, MAX_TEXT_CHARS, OtlpSink
from signalbox.tracing.spans import Span, spans_of
from tests.support.collector import Collector, Received
from tests.support.fleets import agent, message, rulebook
from tests.support.story import T0, Story

CLIENT_TRACE, CLIENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def story(*, traceparent: str | None = None) -> Story:
    """A lead, a model that chooses who writes, and a sender."""
    rules = rulebook(
        agent("research", ["lead"], answers="lead.enriched"),
        agent("outreach", ["lead", "report"], answers="mail.written"),
        agent("nurture", ["lead", "report"], answers="mail.written"),
        agent("send", ["mail"], answers="mail.sent", handoffs=[]),
        policy={"completes_on": ["mail.sent"]},
    )
    told = Story(rules)
    sent = message("m-1", {"lead": "Ada"}, conversation="ada", traceparent=traceparent)
    told.arrives(sent, at=0, decided_at=12)
    told.answers("research", {"lead": "Ada", "report": "…"}, at=40, kind="lead.enriched", id="m-2")
    answer = '{"agent": "outreach", "reason": "She asks for a call.", "confidence": 0.8}'
    said = ChatAnswer(text=answer, model="ollama/llama3.2", tokens_in=300, tokens_out=20)
    told.model_says(said, at=360)
    return told


def completed(**more: str) -> Story:
    """The same to its end."""
    told = story(**more)
    told.answers("outreach", {"mail": "Dear Ada"}, at=1500, kind="mail.written", id="m-3")
    told.answers("send", {"sent": True}, at=1600, kind="mail.sent", id="m-4")
    return told


def trace(told: Story, conversation: str = "ada") -> Trace:
    found = trace_of(conversation, facts_of(told.records(), ""))
    assert found is not None
    return found


def exported(told: Story) -> tuple[Span, ...]:
    """The spans of the conversation's first episode."""
    whole = trace(told)
    return spans_of(whole, whole.outcomes[0][1].episode)


def by_name(spans: Iterable[Span]) -> dict[str, Span]:
    return {span.name: span for span in spans}


def times(span: Span) -> tuple[int, int]:
    return span.start_ms - T0, span.end_ms - T0


def test_one_trace_has_the_way_in_each_decision_and_each_task() -> None:
    """One trace id, one root, and every other span below the one that caused it."""
    spans = exported(completed())
    found = by_name(spans)

    assert len({span.trace_id for span in spans}) == 1
    assert sorted(found) == sorted(
        [
            "conversation lead.submitted",
            "publish lead.submitted",
            *(f"decide {name}" for name in ("research", "outreach", "send", "NONE")),
            *(f"handle {name}" for name in ("research", "outreach", "send")),
        ]
    )
    parents = {span.id: span.name for span in spans}
    assert {span.name: parents.get(span.parent or 0) for span in spans} == {
        "conversation lead.submitted": None,
        "publish lead.submitted": "conversation lead.submitted",
        "decide research": "publish lead.submitted",
        "handle research": "decide research",
        "decide outreach": "handle research",
        "handle outreach": "decide outreach",
        "decide send": "handle outreach",
        "handle send": "decide send",
        "decide NONE": "handle send",
    }


def test_spans_last_as_long_as_what_they_are_of() -> None:
    """From record to record, as `signalbox trace` counts: the queue and the model are the decision's, the topic the agent's."""
    found = by_name(exported(completed()))

    assert times(found["conversation lead.submitted"]) == (0, 1605)
    assert times(found["decide research"]) == (0, 12)
    assert times(found["handle research"]) == (12, 40)
    assert times(found["decide outreach"]) == (40, 360)
    assert times(found["handle outreach"]) == (360, 1500)
    assert times(found["handle send"]) == (1505, 1600)


def test_a_decision_by_model_says_which_and_what_it_took() -> None:
    """By OpenTelemetry's names for models; a decision by contract has none of them."""
    found = by_name(exported(completed()))

    asked, not_asked = found["decide outreach"].attributes, found["decide research"].attributes
    assert asked["gen_ai.request.model"] == "ollama/llama3.2"
    assert asked["gen_ai.usage.input_tokens"] == 300
    assert asked["signalbox.path"] == "model"
    assert not_asked["signalbox.path"] == "contract"
    assert not [name for name in not_asked if name.startswith("gen_ai.")]


def test_a_clients_traceparent_is_continued() -> None:
    """Its trace id, and the root below its span."""
    told = completed(traceparent=f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01")
    spans = exported(told)

    assert {f"{span.trace_id:032x}" for span in spans} == {CLIENT_TRACE}
    (root,) = [span for span in spans if span.name.startswith("conversation")]
    assert f"{root.parent:016x}" == CLIENT_SPAN


def test_a_client_that_does_not_sample_is_left_out() -> None:
    """Its flag says that the trace is kept nowhere; half of one would be worse than none."""
    told = completed(traceparent=f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-00")

    assert exported(told) == ()


@pytest.mark.parametrize(
    "invalid",
    [
        f"ff-{CLIENT_TRACE}-{CLIENT_SPAN}-01",
        f"00-{'0' * 32}-{CLIENT_SPAN}-01",
        f"00-{CLIENT_TRACE}-{'0' * 16}-01",
    ],
)
def test_an_invalid_traceparent_counts_as_none(invalid: str) -> None:
    """As Trace Context says: a trace of our own begins."""
    assert context_of("ada", invalid) == context_of("ada", None)


def test_equal_facts_give_equal_spans_and_others_give_other_ids() -> None:
    """Ids follow from what a span is of, so an export that is repeated changes nothing."""
    once, again = exported(completed()), exported(completed())

    assert once == again
    assert len({span.id for span in once}) == len(once)
    assert span_id("a", "bc") != span_id("ab", "c")


def test_an_agent_that_gives_up_is_an_error_with_its_reason() -> None:
    """The span of its task, and the conversation's."""
    told = story()
    told.fails("outreach", "no words", at=900)
    told.time_passes("ada", at=10**9)
    found = by_name(exported(told))

    assert found["handle outreach"].error == "no words"
    assert found["handle research"].error is None
    assert found["conversation lead.submitted"].error is not None


def test_a_task_that_nobody_answered_ends_with_the_conversation() -> None:
    """A crash leaves no hole: the span is there, with what is missing."""
    told = story()
    told.time_passes("ada", at=10**9)
    found = by_name(exported(told))

    assert found["handle outreach"].error == "no answer before the conversation ended"
    assert found["handle outreach"].end_ms == found["conversation lead.submitted"].end_ms


def test_statuses_of_a_task_are_events_of_its_span() -> None:
    """How far it said it was, and when."""
    told = story()
    task = told.tasks["outreach"]
    told.answers("outreach", {"status": "half done"}, at=700, kind="task.status", id="s-1")
    told.tasks["outreach"] = task
    told.answers("outreach", {"mail": "Dear Ada"}, at=1500, kind="mail.written", id="m-3")
    told.answers("send", {"sent": True}, at=1600, kind="mail.sent", id="m-4")

    (event,) = by_name(exported(told))["handle outreach"].events
    assert (event.name, event.at_ms - T0) == ("half done", 700)


def test_a_second_episode_is_more_of_the_same_trace_and_not_the_first_again() -> None:
    """Each outcome exports what came since the last one."""
    told = completed()
    told.arrives(
        message("m-9", {"lead": "Ada again"}, conversation="ada"), at=5000, decided_at=5010
    )
    told.time_passes("ada", at=10**9)
    whole = trace(told)
    first, second = (spans_of(whole, outcome.episode) for _, outcome in whole.outcomes)

    assert {span.trace_id for span in first} == {span.trace_id for span in second}
    assert not {span.id for span in first} & {span.id for span in second}
    assert by_name(second)["handle research"].start_ms == T0 + 5010


class Stage:
    """An exporter over a story's broker and a collector; it is stopped by itself once nothing is left to do."""

    def __init__(
        self,
        told: Story,
        collector: Collector,
        facts: Callable[[str], Sequence[Fact]] | None = None,
        group: str = "x.",
        read_to: Callable[[Partition], int] = lambda _: 10**9,
    ) -> None:
        self.told = told
        self.collector = collector
        self.slept = 0
        self._group = group
        self._read_to = read_to
        self.on_sleep: Callable[[], None] = lambda: None
        self._facts = facts or (lambda _: facts_of(told.records(), ""))
        self.stopped = threading.Event()

    def sleep(self, seconds: float) -> None:
        self.slept += 1
        self.on_sleep()

    def run(self, until: Callable[[], bool]) -> None:
        sink = OtlpSink(self.collector.endpoint)
        exporter = Exporter(
            self.told.broker,
            "",
            self._group,
            facts=self._facts,
            read_to=self._read_to,
            sink=sink,
            is_stopped=lambda: self.stopped.is_set() or until(),
            sleep=self.sleep,
        )
        exporter.run()
        sink.close()

    def committed(self) -> int:
        """How many outcomes are done with."""
        partitions = self.told.broker.log_reader().partitions("agent_outcomes")
        found = (
            self.told.broker.committed(f"{self._group}{GROUP}", Partition(*one))
            for one in partitions
        )
        return sum(one.offset for one in found if isinstance(one, CommittedOffset))


def names(received: Iterable[Received]) -> list[str]:
    return sorted(one.name for one in received)


def test_a_collector_gets_the_whole_trace() -> None:
    """Over HTTP in OpenTelemetry's own encoding: ids, times, services, parents."""
    with Collector() as collector:
        stage = Stage(completed(), collector)
        stage.run(lambda: stage.committed() == 1)

    expected = exported(stage.told)
    assert names(collector.spans) == sorted(span.name for span in expected)
    for span, got in zip(
        sorted(expected, key=lambda one: one.id),
        sorted(collector.spans, key=lambda one: one.id),
        strict=True,
    ):
        assert (got.name, got.service) == (span.name, span.service)
        assert got.trace_id == f"{span.trace_id:032x}"
        assert got.id == f"{span.id:016x}"
        assert got.parent == ("" if span.parent is None else f"{span.parent:016x}")
        assert (got.start_ms, got.end_ms) == (span.start_ms, span.end_ms)
        assert got.attributes == span.attributes
    assert {one.service for one in collector.spans} == {
        "signalbox-orchestrator",
        "signalbox-cli",
        "agent-research",
        "agent-outreach",
        "agent-send",
    }


def test_a_collector_that_is_away_costs_nothing_but_time() -> None:
    """The offset stays until it took the spans."""
    with Collector() as collector:
        collector.status = 404  # one that OpenTelemetry's exporter does not try again by itself
        stage = Stage(completed(), collector)
        offsets: list[int] = []

        def back() -> None:
            offsets.append(stage.committed())
            collector.status = 200

        stage.on_sleep = back
        stage.run(lambda: stage.committed() == 1)

    assert offsets == [0]
    assert collector.refused == 1
    assert len(collector.spans) == 9


def test_a_read_model_that_is_behind_is_waited_for() -> None:
    """The outcome is there before its records are: nothing is exported until it knows them."""
    told = completed()
    looks = itertools.count()
    every = facts_of(told.records(), "")

    def facts(conversation: str) -> Sequence[Fact]:
        return every if next(looks) >= 1000 else every[:4]

    with Collector() as collector:
        stage = Stage(told, collector, facts, read_to=lambda _: 0)
        stage.run(lambda: stage.committed() == 1)

    assert stage.slept == 1000
    assert len(collector.spans) == 9


def test_a_read_model_that_is_away_is_waited_for_however_long() -> None:
    """Its consumer is started later, or its tables are made anew: no trace is given up meanwhile."""
    told = completed()
    looks = itertools.count()

    def facts(conversation: str) -> Sequence[Fact]:
        if next(looks) < 1000:
            raise NotReadyError("not there yet")
        return facts_of(told.records(), "")

    with Collector() as collector:
        stage = Stage(told, collector, facts)
        stage.run(lambda: stage.committed() == 1)

    assert len(collector.spans) == 9


def test_what_the_read_model_has_read_and_does_not_know_is_passed_over() -> None:
    """Its records were forgotten with their time: there is nothing to wait for."""
    told = completed()
    with Collector() as collector:
        stage = Stage(told, collector, lambda _: ())
        stage.run(lambda: stage.committed() == 1)

    assert (stage.slept, collector.spans) == (0, [])


def test_spans_that_a_collector_refuses_are_passed_over() -> None:
    """What it says of these alone it would say for ever, and every later trace would wait behind them."""
    told = completed()
    told.arrives(
        message("m-9", {"lead": "Ada again"}, conversation="ada"), at=5000, decided_at=5010
    )
    told.time_passes("ada", at=10**9)
    with Collector() as collector:
        collector.status_of = lambda _: 400 if collector.refused == 0 else 200
        stage = Stage(told, collector)
        stage.run(lambda: stage.committed() == 2)

    assert collector.refused == 1
    assert {one.attributes.get("signalbox.episode") for one in collector.spans} == {None, 2}


def test_a_long_conversation_is_sent_in_parts_of_a_size_that_is_taken() -> None:
    """Each request has so many spans at most, and fewer where the collector takes less."""
    spans = [
        dataclasses.replace(span, id=number)
        for number, span in enumerate(exported(completed()) * 60, 1)
    ]
    with Collector() as collector, closing(OtlpSink(collector.endpoint)) as sink:
        assert sink.send(spans) == "taken"
        sizes = list(collector.sizes)
        collector.status_of = lambda count: 200 if count <= 30 else 413
        assert sink.send(spans) == "taken"

    assert max(sizes) <= AT_ONCE
    assert sorted(one.id for one in collector.spans) == sorted(2 * [f"{s.id:016x}" for s in spans])


def test_numbers_and_texts_that_otlp_cannot_say_block_nothing() -> None:
    """A record may have them; a span that cannot be written would be tried for ever."""
    (first, *_) = exported(completed())
    span = dataclasses.replace(
        first,
        start_ms=-1,
        end_ms=2**63,
        attributes={"many": 2**70, "few": -(2**70), "long": "x" * 10**6, "fine": 7},
        error="y" * 10**6,
    )
    with Collector() as collector, closing(OtlpSink(collector.endpoint)) as sink:
        assert sink.send([span]) == "taken"

    (got,) = collector.spans
    assert got.attributes == {
        "many": str(2**70),
        "few": str(-(2**70)),
        "long": "x" * MAX_TEXT_CHARS,
        "fine": 7,
    }


def test_an_exporter_that_is_killed_before_its_commit_repeats_the_same_spans() -> None:
    """At least once, under equal ids: a backend has each span once."""
    told = completed()
    with Collector() as collector:
        for group in ("x.", "y."):  # the second knows nothing of the first one's commit
            stage = Stage(told, collector, group=group)
            stage.run(lambda stage=stage: stage.committed() == 1)  # type: ignore[misc]

    ids = [(one.trace_id, one.id) for one in collector.spans]
    assert len(ids) == 2 * len(set(ids))


def test_an_exporter_that_is_stopped_leaves_what_it_has_not_sent() -> None:
    """Its offset is not committed, so the next one begins there."""
    with Collector() as collector:
        collector.status = 404
        stage = Stage(completed(), collector)
        stage.on_sleep = stage.stopped.set
        stage.run(lambda: False)
        assert stage.committed() == 0

        collector.status = 200
        following = Stage(stage.told, collector)
        following.run(lambda: following.committed() == 1)

    assert len(collector.spans) == 9


def settings(folder: Path, **more: object) -> Settings:
    return Settings(_env_file=None, home=folder, **more)  # type: ignore[call-arg, arg-type]


def test_without_the_extra_up_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is started; without an endpoint nobody is asked."""
    monkeypatch.setattr(traces, "has_exporter", lambda: False)
    traces.require_traces(settings(tmp_path))

    with pytest.raises(ConfigurationError, match=r"signalbox\[otel\]"):
        traces.require_traces(settings(tmp_path, traces={"endpoint": "http://127.0.0.1:4318"}))


def test_without_the_gateway_there_is_nothing_to_make_traces_of(tmp_path: Path) -> None:
    """The read model is the gateway's; the error names both settings."""
    made = settings(
        tmp_path, traces={"endpoint": "http://127.0.0.1:4318"}, gateway={"enabled": False}
    )

    with pytest.raises(ConfigurationError, match="SIGNALBOX_GATEWAY__ENABLED"):
        traces.require_traces(made)


def test_dispatch_ids_tell_which_decision_a_task_is_of() -> None:
    """What spans of decisions and tasks are matched by."""
    whole = trace(completed())
    for step in whole.steps:
        given = {dispatch_id(one.message_id, one.slot) for one in step.decisions}
        assert {task.id for task in step.tasks} <= given
