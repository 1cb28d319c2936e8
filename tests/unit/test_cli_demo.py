"""The demo: its leads, its fold over the topics, its summary; on the memory twin, no Kafka."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from signalbox.cli import session
from signalbox.cli.demo import DEFINITIONS
from signalbox.cli.demo_leads import Seed, in_proportion, load_seeds
from signalbox.cli.demo_progress import REVIEW, Progress, percentile, unexpected
from signalbox.cli.demo_run import run
from signalbox.cli.demo_view import Surroundings, event_line, summary, table, trail
from signalbox.cli.facts import Fact, facts_of
from signalbox.cli.main import app
from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.envelope import Envelope
from signalbox.definitions.loader import load_fleet
from signalbox.errors import UsageError
from signalbox.local_stack import api
from signalbox.topics import AGENT_MESSAGES, INCOMING_LEADS
from tests.support.fleets import agent, message, rulebook
from tests.support.story import T0, Story

AT = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = {"ada": "Ada, Engines (Webinar)", "bob": "Bob: “who are you?”"}


def told(**policy: object) -> Story:
    """Ada passes two agents by contract; Bob's reply is placed by the embedded scorer as NONE."""
    rules = rulebook(
        agent("research", ["lead"]),
        agent("send", ["mail"], handoffs=[]),
        agent("talk", ["reply"]),
        agent("wait", ["reply"]),
        policy={"completes_on": ["mail.sent"], **policy},
    )
    story = Story(rules)
    story.arrives(message("a-1", {"lead": 1}, conversation="ada"), at=0, decided_at=10)
    story.arrives(message("b-1", {"reply": 1}, conversation="bob"), at=5)
    said = '{"agent": "NONE", "reason": "an automatic reply", "confidence": 0.9}'
    story.model_says(ChatAnswer(text=said, model="embedded"), at=8)
    story.answers("research", {"mail": 1}, at=40)
    story.answers("send", {"sent": 1}, at=100, kind="mail.sent")
    story.arrives(message("z-1", {"lead": 1}, conversation="somebody-else"), at=6)
    return story


FACTS = facts_of(told().records(), "")


def fold(facts: Sequence[Fact]) -> Progress:
    progress = Progress(LABELS)
    for fact in facts:
        progress.see(fact)
    return progress


def test_progress_ends_with_every_outcome_path_and_hop():
    """The last line's numbers are those of the records, and other conversations are left out."""
    value = fold(FACTS).as_json(seconds=1.23456)

    assert value == {
        "leads": 2,
        "outcomes": {"completed": 1, "none": 1},
        "decisions": {"contract": 3, "model": 1},
        "dead_letters": 0,
        "reviews": 0,
        "seconds": 1.235,
        "hop_p50_ms": 5,
        "hop_p99_ms": 10,
    }


@settings(deadline=None)  # a busy machine is not a failure
@given(st.permutations(FACTS))
def test_progress_does_not_depend_on_the_order_of_reading(facts):
    """Topics are read side by side, so any order of the same facts gives the same end."""
    progress, expected = fold(facts), fold(FACTS)

    assert progress.as_json(seconds=1) == expected.as_json(seconds=1)
    assert [row.agents for row in progress.rows.values()] == [["research", "send"], []]
    assert [row.where for row in progress.rows.values()] == ["completed", "none"]


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(st.sampled_from(FACTS)))
def test_progress_counts_a_fact_once_however_often_it_is_read(again):
    """At-least-once reading changes no number."""
    assert fold([*FACTS, *again]).as_json(seconds=1) == fold(FACTS).as_json(seconds=1)


@settings(deadline=None)  # a busy machine is not a failure
@given(st.permutations([fact for fact in FACTS if fact.at_ms < T0 + 40]))
def test_progress_before_the_end_says_where_a_lead_is(early):
    """A lead is with the agent of its newest task until that agent answers, in whatever order that was read."""
    progress = fold(early)

    assert progress.rows["ada"].where == "research"
    assert not progress.is_settled


def test_progress_with_a_review_is_settled_but_not_ended():
    """A lead that waits for a person needs nothing more of the demo."""
    progress = fold(facts_of(told(review={"on_none": True}).records(), ""))

    assert progress.rows["bob"].where == REVIEW
    assert (progress.is_settled, progress.ended, progress.reviews) == (True, 1, 1)


def test_deciders_tell_the_embedded_scorer_from_an_llm():
    """The summary never calls the local scorer an LLM."""
    progress = fold(FACTS)

    assert dict(progress.deciders) == {"contract": 3, "the embedded scorer": 1}


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(st.integers(0, 10_000), min_size=1), st.integers(1, 100))
def test_percentile_is_a_value_that_enough_others_do_not_exceed(values, percent):
    """At least `percent` % of the values are at or below it, and it is one of them."""
    ordered = sorted(values)

    found = percentile(ordered, percent)

    assert found in ordered
    assert sum(value <= found for value in values) * 100 >= percent * len(values)


@settings(deadline=None)  # a busy machine is not a failure
@given(st.integers(1, 12), st.integers(1, 12))
def test_in_proportion_keeps_everything_and_its_order(first, second):
    """Merging loses nothing, and every beginning has both kinds in proportion, within one."""
    a, b = [("a", n) for n in range(first)], [("b", n) for n in range(second)]

    merged = in_proportion(a, b)

    assert [x for x in merged if x[0] == "a"] == a
    assert [x for x in merged if x[0] == "b"] == b
    for end in range(1, len(merged) + 1):
        seen = sum(kind == "a" for kind, _ in merged[:end])
        assert abs(seen - end * first / (first + second)) <= 1


def test_demo_leads_of_the_sdr_fleet_cover_every_source_and_go_to_their_topics():
    """All five sources are there as raw leads, replies are envelopes, and invented companies are on example domains."""
    seeds = load_seeds(DEFINITIONS / "sdr" / "demo", 19, run="r1", at=AT)

    leads = [json.loads(seed.value) for seed in seeds if seed.topic == INCOMING_LEADS]
    replies = [Envelope.from_json(seed.value) for seed in seeds if seed.topic == AGENT_MESSAGES]
    assert {lead["lead_source"] for lead in leads} == {
        "Demo Request", "Whitepaper", "Webinar", "Case Study", "Newsletter",
    }  # fmt: skip
    assert len(replies) == 7
    assert all(reply.subject == seed.conversation for reply, seed in zip(
        replies, [s for s in seeds if s.topic == AGENT_MESSAGES], strict=True))  # fmt: skip
    free_mail = ("gmail.com", "yahoo.com", "outlook.com", "hotmail.com")
    assert all(lead["email"].endswith((".example", *free_mail)) for lead in leads)


def test_demo_conversations_are_new_in_every_run_and_never_shared():
    """More leads than the files hold come round again, each in a conversation of its own."""
    folder = DEFINITIONS / "sdr" / "demo"
    first = load_seeds(folder, 50, run="r1", at=AT)
    second = load_seeds(folder, 50, run="r2", at=AT)

    assert len({seed.conversation for seed in (*first, *second)}) == 100


def test_demo_of_a_fleet_without_leads_is_misuse(tmp_path):
    """The message names the files that would make one."""
    with pytest.raises(UsageError, match=r"leads\.jsonl"):
        load_seeds(tmp_path, 1, run="r1", at=AT)


def test_demo_of_orders_is_new_each_time_and_knows_how_each_order_must_end():
    """Every order's id is its conversation's, its workflow takes it, and the file says what is to come of it."""
    folder = DEFINITIONS / "orders"
    order = load_fleet(folder).workflows["fulfil_order"].input.contract
    seeds = load_seeds(folder / "demo", 10, run="r1", at=AT)

    for seed in seeds:
        data = json.loads(seed.value)["data"]
        assert order.accepts(data)
        assert data["order_id"] == seed.conversation
    assert len({seed.conversation for seed in seeds}) == 10
    assert {seed.expect for seed in seeds} == {"completed", "compensated", "failed"}


def test_demo_says_which_conversation_ended_otherwise_than_its_file_says():
    """What ended wrongly is named with what was expected; what has not ended, or has no expectation, is not."""
    progress = Progress({"ada": "Ada", "bob": "Bob", "cyd": "Cyd"})
    progress.rows["ada"].status, progress.rows["ada"].detail = "failed", "no card"
    progress.rows["bob"].status = "none"
    seeds = [
        Seed(AGENT_MESSAGES, name, name, name, b"{}", {}, expect)
        for name, expect in (("ada", "completed"), ("bob", None), ("cyd", "completed"))
    ]

    assert unexpected(seeds, progress) == ["ada ended as failed, completed was expected: no card"]


def test_demo_says_which_result_does_not_say_what_its_file_expects():
    """The status alone is not enough where the file names words; what has not ended is not judged."""
    progress = Progress({"ada": "Ada", "bob": "Bob", "cyd": "Cyd"})
    for name, result in (("ada", {"answer": "Berlin has 3.7"}), ("bob", None)):
        progress.rows[name].status, progress.rows[name].result = "completed", result
    seeds = [
        Seed(AGENT_MESSAGES, name, name, name, b"{}", {}, "completed", ("Berlin", "Köln"))
        for name in ("ada", "bob", "cyd")
    ]

    assert unexpected(seeds, progress) == [
        "ada: its result does not say Köln",
        "bob: its result does not say Berlin, Köln",
    ]


def test_run_sends_every_seed_to_its_topic_and_stops_when_it_is_over():
    """Seeds are on their topics with their conversations as keys, and the loop ends by the caller's word."""
    story = told()
    story.broker.create_topic("p.incoming_leads")
    for topic in story.records():
        story.broker.create_topic(f"p.{topic.topic}")
    for name in ("agent_outcomes", "agent_review", "agent_messages_dlq", "agent_tasks_send"):
        story.broker.create_topic(f"p.{name}")
    seeds = [
        Seed(INCOMING_LEADS, "ada", "Ada", "Ada", b"{}", {}),
        Seed(
            AGENT_MESSAGES, "bob", "Bob", "Bob", message("b", {}, conversation="bob").to_json(), {}
        ),
    ]

    steps = list(
        run(story.broker, seeds, ["send"], prefix="p.", is_over=lambda p: p.rows["bob"].where != "")
    )

    progress, facts = steps[0]
    assert [fact.conversation_id for fact in facts] == ["bob"]
    assert progress.rows["bob"].where == "deciding"
    assert [r.key for r in story.records("p.incoming_leads")] == [b"ada"]


def rendered(progress: Progress, width: int) -> str:
    console = Console(width=width, file=None, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(table(progress, seconds=1.5, width=width))
    return capture.get()


def test_table_shows_each_lead_its_path_and_its_end():
    """A person sees who, by which agents, how it ended, and the totals."""
    text = rendered(fold(FACTS), 140)

    assert "Ada, Engines" in text
    assert "research › send" in text
    assert "completed" in text
    assert "2 of 2 ended · decisions: 3 contract, 1 model · hop p50 5 ms, p99 10 ms · 1.5 s" in text


def test_table_on_a_narrow_terminal_fits_and_counts_the_agents_instead():
    """No line is wider than the terminal."""
    text = rendered(fold(FACTS), 80)

    assert all(len(line) <= 80 for line in text.splitlines())
    assert "2 hops › send" in text


def test_trail_of_a_fresh_lead_is_empty():
    """Before the first task there is nothing to show."""
    assert trail(Progress(LABELS).rows["ada"], is_wide=False) == ""


def test_event_line_tells_decisions_and_outcomes_only():
    """Without a terminal, a lead's story is its decisions and its end."""
    lines = [event_line(fact, "Ada", 5) for fact in FACTS if fact.conversation_id == "ada"]

    assert [line.split("Ada ")[1] for line in lines if line] == [
        "→ research by contract: only research accepts the data",
        "→ send by contract: only send accepts the data",
        "■ completed after 2 hops",
    ]


def around(**changes: object) -> Surroundings:
    values = {
        "what": "leads",
        "model": "embedded",
        "is_embedded": True,
        "ollama_models": (),
        "mails": 3,
        "outbox": ".signalbox/outbox",
        "pages_url": "http://127.0.0.1:8000/",
        "flink_url": "http://127.0.0.1:8081",
        "is_other_model": False,
    }
    return Surroundings(**{**values, **changes})


def test_summary_of_another_fleet_speaks_of_conversations():
    """Orders and prompts are no leads."""
    first = next(iter(summary(fold(FACTS), around(what="conversations"), seconds=2)))

    assert first.text == "2 of 2 conversations ended in 2.0 s: 1 completed, 1 none"


def test_summary_says_who_decided_and_what_to_do_next():
    """Outcomes, deciders, mails, the pages, Flink's page, an LLM of one's own, and how to stop."""
    text = "\n".join(line.text for line in summary(fold(FACTS), around(), seconds=2))

    for words in (
        "2 of 2 leads ended in 2.0 s: 1 completed, 1 none",
        "3 by contract, 1 by the embedded scorer, 0 by an LLM; 1 of them said that nobody should act",
        "3 .eml files in .signalbox/outbox",
        "http://127.0.0.1:8000/",
        "http://127.0.0.1:8081",
        "make demo MODEL=llama3.2",
        "signalbox trace ada",
        "make down",
    ):
        assert words in text


def test_summary_without_a_gateway_names_no_page():
    """Nobody is sent to a page that is not there."""
    lines = summary(fold(FACTS), around(pages_url=None), seconds=2)

    assert not any(line.text.startswith("pages") for line in lines)


def test_summary_offers_an_ollama_that_answers():
    """A model that is there is offered by its own name."""
    lines = summary(fold(FACTS), around(ollama_models=("qwen3:8b", "llama3.2")), seconds=2)

    assert any("make demo MODEL=qwen3:8b" in line.text for line in lines)


def test_summary_of_a_lead_that_did_not_end_says_where_to_look():
    """What is open is said, with the next command."""
    text = "\n".join(line.text for line in summary(Progress(LABELS), around(), seconds=9))

    assert "0 of 2 leads ended" in text
    assert "signalbox status" in text


@pytest.mark.parametrize(("was_started", "stopped"), [(True, 1), (False, 0)])
def test_ctrl_c_stops_the_stack_only_if_the_demo_started_it(monkeypatch, was_started, stopped):
    """What ran before goes on running; the exit code is the shell's for an interrupt."""
    downs: list[object] = []

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "up", lambda *_, **__: was_started)
    monkeypatch.setattr(api, "down", lambda *_, **__: downs.append(1))
    monkeypatch.setattr(session, "read_active", interrupted)

    result = CliRunner().invoke(app, ["demo", "--json"])

    assert result.exit_code == 130
    assert len(downs) == stopped
    assert result.stdout == ""
