"""`send`: what is sent, what is refused, and that nothing of a bad file goes out."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from connectors.memory import MemoryBroker
from connectors.topic_reader import read_topic
from signalbox.cli import session
from signalbox.cli.main import app
from signalbox.cli.send_lines import Defaults, parse
from signalbox.contracts.envelope import Envelope
from signalbox.errors import UsageError

runner = CliRunner()
LEAD = {"name": "Ada", "email": "ada@engines.example"}
ENVELOPE = {
    "specversion": "1.0",
    "id": "m-1",
    "source": "gateway",
    "type": "lead.replied",
    "time": "2026-01-01T00:00:00Z",
    "subject": "ada",
    "data": {"reply": {"text": "yes"}},
}


def defaults(conversation: str | None = None, kind: str = "lead.submitted") -> Defaults:
    return Defaults(
        kind, conversation, lambda prefix: f"{prefix}-1", datetime(2026, 1, 1, tzinfo=UTC)
    )


@pytest.fixture
def broker(monkeypatch) -> MemoryBroker:
    """The broker that `send` finds."""
    made = MemoryBroker()
    made.create_topic("agent_messages", 2)
    made.create_topic("incoming_leads", 2)
    monkeypatch.setattr(session, "open_broker", lambda _: made)
    return made


def messages(broker: MemoryBroker) -> list[Envelope]:
    return [Envelope.from_json(r.value or b"") for r in read_topic(broker, "agent_messages")]


def lines(*values: object) -> str:
    return "\n".join(json.dumps(value) for value in values)


def test_envelope_is_sent_as_it_is_with_its_conversation_as_key(broker):
    """A line with specversion keeps its id, its source and its unknown attributes."""
    sent = {**ENVELOPE, "tenant": "north"}

    result = runner.invoke(app, ["send", "-"], input=lines(sent))

    record = next(iter(read_topic(broker, "agent_messages")))
    assert result.stdout == "m-1\n"
    assert record.key == b"ada"
    assert record.headers["ce_id"] == b"m-1"
    assert json.loads(record.value or b"")["tenant"] == "north"


def test_bare_payload_gets_an_envelope_and_a_conversation_of_its_own(broker):
    """Two payloads are two conversations, and their ids are printed in order."""
    result = runner.invoke(app, ["send", "-"], input=lines({"lead": LEAD}, {"lead": LEAD}))

    first, second = sorted(messages(broker), key=lambda m: result.stdout.index(m.id))
    assert first.subject != second.subject
    assert first.source == "cli"
    assert first.type == "lead.submitted"
    assert first.data == {"lead": LEAD}


def test_bare_lead_is_wrapped_as_the_sql_statement_wraps_it(broker):
    """A lead by itself becomes data.lead."""
    runner.invoke(app, ["send", "-"], input=lines(LEAD))

    assert messages(broker)[0].data == {"lead": LEAD}


def test_payload_of_another_type_is_left_as_it_is(broker):
    """Only leads are wrapped; `--type` and `--conversation` are what a payload does not say."""
    options = ["--type", "order.placed", "--conversation", "order-7"]

    runner.invoke(app, ["send", "-", *options], input=lines({"sku": 1}))

    message = messages(broker)[0]
    assert (message.type, message.subject, message.data) == ("order.placed", "order-7", {"sku": 1})


def test_raw_lead_goes_to_incoming_leads_untouched(broker):
    """With --topic incoming_leads the value is the line; the key is its conversation."""
    result = runner.invoke(
        app, ["send", "-", "--topic", "incoming_leads", "--json"], input=lines(LEAD)
    )

    record = next(iter(read_topic(broker, "incoming_leads")))
    assert json.loads(record.value or b"") == LEAD
    assert json.loads(result.stdout)["sent"][0]["conversation"] == record.key_text


def test_file_with_bad_lines_is_refused_whole_and_each_line_is_named(broker):
    """Nothing is sent, exit code 2, and every bad line has its number and its reason."""
    bad = {"specversion": "1.0", "id": "x"}
    text = lines({"lead": LEAD}) + "\n{oops\n\n" + lines([1], bad, {**ENVELOPE, "source": "me"})

    result = runner.invoke(app, ["send", "-"], input=text)

    assert result.exit_code == 2
    assert messages(broker) == []
    for words in ("line 2: not JSON", "line 4: a JSON object", "line 5: source", "line 6: source"):
        assert words in result.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"null", "null"),
        (b'{"a": "\xff"}', "not JSON"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper"),
        (b'{"a": "' + b"x" * 300_000 + b'"}', "at most 262144"),
        (json.dumps({**ENVELOPE, "source": "orchestrator"}).encode(), "orchestrator"),
        (json.dumps({**ENVELOPE, "subject": "a\x00b"}).encode(), "subject"),
    ],
)
def test_line_that_admission_would_refuse_is_refused_here(line, words):
    """The same code judges a line before sending and a message on arrival."""
    with pytest.raises(UsageError, match=words):
        parse([line], "agent_messages", defaults())


def test_envelope_is_refused_as_a_raw_lead():
    """An envelope on incoming_leads would be wrapped a second time."""
    with pytest.raises(UsageError, match="leave out --topic"):
        parse([json.dumps(ENVELOPE).encode()], "incoming_leads", defaults())


def test_missing_file_is_misuse(broker):
    """The path is named."""
    result = runner.invoke(app, ["send", "/nowhere/leads.jsonl"])

    assert result.exit_code == 2
    assert "/nowhere/leads.jsonl" in result.stderr


def test_missing_topic_says_how_to_start_the_stack(monkeypatch):
    """A broker that does not take the record is an answer of no, with the next step."""
    monkeypatch.setattr(session, "open_broker", lambda _: MemoryBroker())

    result = runner.invoke(app, ["send", "-"], input=lines({"lead": LEAD}))

    assert result.exit_code == 1
    assert "signalbox up" in result.stderr


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(json_values | st.binary(max_size=20), max_size=5))
def test_any_lines_are_sent_as_valid_envelopes_or_refused(values):
    """Whatever stands in a file, the answer is records that admission takes, or a UsageError; never another exception."""
    raw = [v if isinstance(v, bytes) else json.dumps(v).encode() for v in values]

    try:
        parsed = parse(raw, "agent_messages", defaults(kind="order.placed"))
    except UsageError:
        return

    assert all(Envelope.from_json(line.value).subject == line.key for line in parsed)
