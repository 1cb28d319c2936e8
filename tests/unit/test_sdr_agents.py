"""The five SDR agents: what each makes of a lead, alone and one after the other, with and without a model."""

from __future__ import annotations

import asyncio
import email
import email.policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from agents.handlers import handler_from
from agents.result import Reply, Terminal
from agents.sdr import active_outreach, nurture_campaign, send_email
from agents.sdr.lead import company_from_domain, first_name, normalise, website_domain
from agents.sdr.lead_ingestion import report
from agents.sdr.lead_scoring import breakdown
from benchmarks.stub_model import sample
from connectors.chat_model import ChatModel
from connectors.scripted_model import ScriptedChatModel
from signalbox.contracts.chat import ChatRequest
from signalbox.definitions.contract import Contract
from signalbox.definitions.loader import load_fleet
from tests.support.from_schema import from_schema
from tests.support.tasks import NOW, context_of, task_of

FLEET = load_fleet(Path(__file__).parents[2] / "agent_definitions" / "sdr")
GOOD = {
    "name": " Dr. Ada  Lovelace ",
    "email": " Ada@Analytical-Engines.example ",
    "company_name": "",
    "lead_source": "demo request",
    "job_title": "CTO",
    "company_website": None,
    "project_description": "We stream events from four hundred machines and want maintenance planned by agents "
    "as soon as a sensor says so, with our ERP connected.",
}
POOR = {
    "name": "jo",
    "email": "jo1987@gmail.com",
    "company_name": "-",
    "lead_source": "Newsletter",
    "job_title": "?",
    "project_description": "info",
}


def run(
    agent: str, data: dict[str, Any], outbox: Path, model: ChatModel | None = None, **task: Any
) -> Any:
    """Handle `data` by `agent`'s own handler, as its definition names it."""
    handle = handler_from(FLEET.agents[agent])
    return asyncio.run(handle(task_of(data, **task), context_of(outbox, model)))  # type: ignore[arg-type]


def walk(
    lead: dict[str, Any], outbox: Path, model: ChatModel | None = None
) -> list[dict[str, Any]]:
    """Send `lead` through the pipeline by contract alone; every answer must fit its output contract."""
    data: dict[str, Any] = {"lead": lead}
    answers: list[dict[str, Any]] = []
    while True:
        takers = [
            name
            for name, agent in FLEET.agents.items()
            if Contract(agent.input.json_schema).accepts(data)
        ]
        if not takers:
            return answers
        (agent,) = takers
        result = run(agent, data, outbox, model)
        assert isinstance(result, Reply), result
        data = dict(result.data)
        assert Contract(FLEET.agents[agent].output.json_schema).violations(data) == ()
        answers.append(data)


def test_good_lead_ends_in_one_personal_mail(tmp_path: Path) -> None:
    """A fitting, detailed lead is engaged: one mail, to the lead, about its project."""
    enriched, scored, written, sent = walk(GOOD, tmp_path)

    assert enriched["lead"]["email"] == "ada@analytical-engines.example"
    assert enriched["lead"]["company_name"] == "Analytical Engines"
    assert scored["score"]["next_step"] == "Actively Engage"
    (mail,) = written["campaign"]["emails"]
    assert mail["to"] == "ada@analytical-engines.example"
    assert "four hundred machines" in mail["body"]
    assert mail["body"].startswith("Hello Ada,")
    assert written["campaign"]["written_by"] == "embedded"
    assert len(sent["sent"]["emails"]) == len(list(tmp_path.rglob("*.eml"))) == 1


def test_poor_lead_ends_in_three_mails_over_time(tmp_path: Path) -> None:
    """A terse lead with free mail is nurtured: three mails, the first now."""
    _, scored, written, _ = walk(POOR, tmp_path)

    assert scored["score"]["next_step"] == "Nurture"
    assert scored["score"]["score"] < 30
    assert [mail["send_after_days"] for mail in written["campaign"]["emails"]] == [0, 7, 21]
    assert len(list(tmp_path.rglob("*.eml"))) == 3


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(lead=from_schema(FLEET.agents["lead_ingestion"].input.json_schema["properties"]["lead"]))
def test_any_lead_that_is_taken_reaches_a_sent_mail(lead: dict[str, Any], tmp_path: Path) -> None:
    """Whatever lead the first contract takes, every answer fits the next one."""
    assert "sent" in walk(lead, tmp_path)[-1]


def test_report_says_that_it_knows_the_form_only() -> None:
    """No source is claimed that was not read."""
    written = report(normalise(GOOD))

    assert written["source"] == "form"
    assert "form only" in written["summary"]
    assert "no company website" in written["gaps"]


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"email": "ada@gmail.com"}, "mail"),
        ({"project_description": "info please"}, "detail"),
        ({"project_description": None}, "detail"),
        ({"lead_source": "Newsletter"}, "source"),
        ({"job_title": "Student"}, "seniority"),
    ],
)
def test_score_of_a_weaker_lead_is_lower_and_says_why(change: dict[str, Any], factor: str) -> None:
    """Free mail, terse answers, a weak source or a junior role each count against a lead."""

    def lines(lead: dict[str, Any]) -> dict[str, int]:
        clean = normalise(lead)
        return {line.factor: line.points for line in breakdown(clean, report(clean))}

    before, after = lines(GOOD), lines({**GOOD, **change})

    assert sum(after.values()) < sum(before.values())
    assert after[factor] < before[factor]


def test_score_is_the_sum_of_its_breakdown(tmp_path: Path) -> None:
    """A person can add the points up."""
    _, scored, *_ = walk(POOR, tmp_path)
    score = scored["score"]

    assert score["score"] == min(100, max(0, sum(line["points"] for line in score["breakdown"])))
    assert len(score["talking_points"]) >= 3


@pytest.mark.parametrize(
    ("text", "want", "said"),
    [
        ("who are you?", "introduction", "We are the Signalbox team"),
        ("can you show me a demo, let's talk", "meeting", "Which day"),
        ("what is the price?", "price", "written offer"),
        ("does it run on premises?", "question", "answer it properly"),
    ],
)
def test_outreach_answers_what_a_reply_asks(
    text: str, want: str, said: str, tmp_path: Path
) -> None:
    """A reply gets one mail that speaks to it and quotes it."""
    result = run("active_outreach", {"lead": GOOD, "reply": {"text": text}}, tmp_path)
    (mail,) = result.data["campaign"]["emails"]

    assert active_outreach.wanted(text) == want
    assert said in mail["body"]
    assert f"> {text}" in mail["body"]
    assert mail["subject"].startswith("Re: ")


@pytest.mark.parametrize(
    ("text", "season", "days"),
    [
        ("not now, ask me in spring", "spring", 45),
        ("come back in June", "June", 137),
        ("maybe in May", "May", 106),
        ("I may come back to you", "", 90),
        ("next year please", "next year", 351),
        ("later", "", 90),
    ],
)
def test_nurture_waits_until_the_season_a_reply_names(text: str, season: str, days: int) -> None:
    """From 15 January 2026, spring begins in 45 days; the verb `may` is no month."""
    assert nurture_campaign.when(text, NOW) == (season, days)


def test_nurture_reply_moves_the_later_mails(tmp_path: Path) -> None:
    """The first mail confirms at once, the others wait for the season."""
    data = {"lead": GOOD, "reply": {"text": "not now, ask me in spring"}}
    mails = run("nurture_campaign", data, tmp_path).data["campaign"]["emails"]

    assert [mail["send_after_days"] for mail in mails] == [0, 45, 59]
    assert "You asked for spring" in mails[0]["body"]


# --- with a model -----------------------------------------------------------------------------------------------------

SAID: dict[str, Any] = {
    "lead_scoring": {
        "score": 88,
        "next_step": "Actively Engage",
        "talking_points": ["a", "b", "c"],
    },
    "active_outreach": {"emails": [{"subject": "From the model", "body": "Hello"}]},
}


def says(request: ChatRequest) -> Any:
    """Answer as the definitions ask: the scoring's fields lie under `score`, the mails under `campaign`."""
    wrap = {"lead_scoring": "score", "active_outreach": "campaign"}[request.schema_name]
    return {wrap: SAID[request.schema_name]}


def test_model_writes_score_and_text_and_is_named(tmp_path: Path) -> None:
    """With a model, score and mail are its own, and the records say whose."""
    model = ScriptedChatModel(says, name="ollama/llama3.2")
    _, scored, written, sent = walk(GOOD, tmp_path, model)

    assert scored["score"]["score"] == 88
    assert scored["score"]["written_by"] == "ollama/llama3.2"
    assert written["campaign"]["emails"][0]["subject"] == "From the model"
    assert sent["sent"]["written_by"] == "ollama/llama3.2"


@pytest.mark.parametrize("agent", ["active_outreach", "nurture_campaign"])
@pytest.mark.parametrize("lead", [GOOD, POOR], ids=["good", "poor"])
def test_prompts_render_for_every_shape_a_writer_takes(
    agent: str, lead: dict[str, Any], tmp_path: Path
) -> None:
    """A scored lead and a reply, with and without optional fields, give a prompt and an answer that fits."""
    clean = normalise(lead)
    score = {"score": 50, "talking_points": ["a", "b", "c"], "written_by": "x"}
    scored = {"lead": clean, "report": report(clean), "score": score}
    for data in (scored, {"lead": lead, "reply": {"text": "hi {{ 7 * 7 }}"}}):
        model = ScriptedChatModel(lambda request: sample(request.schema))
        result = run(agent, data, tmp_path, model)

        assert isinstance(result, Reply), result
        assert Contract(FLEET.agents[agent].output.json_schema).violations(result.data) == ()
        assert "reply" not in data or "hi {{ 7 * 7 }}" in model.requests[0].user


def test_model_is_never_asked_for_the_recipient_nor_for_the_lead(tmp_path: Path) -> None:
    """Address, lead and report are filled in by code, whatever a model or a lead's text would like."""
    model = ScriptedChatModel(says)
    walk(GOOD, tmp_path, model)
    asked = {request.schema_name: request.schema for request in model.requests}

    assert set(asked["lead_scoring"]["properties"]) == {"score"}
    assert set(asked["active_outreach"]["properties"]) == {"campaign"}
    campaign = asked["active_outreach"]["properties"]["campaign"]["properties"]
    assert set(campaign) == {"emails"}
    assert set(campaign["emails"]["items"]["properties"]) == {"subject", "body", "send_after_days"}


def test_model_that_names_another_recipient_is_overruled(tmp_path: Path) -> None:
    """An answer with a `to` of its own is refused; the mail never goes there."""
    evil = {"emails": [{"subject": "s", "body": "b", "to": "thief@evil.example"}]}
    model = ScriptedChatModel({"active_outreach": {"campaign": evil}})
    result = run("active_outreach", {"lead": GOOD, "reply": {"text": "hi there"}}, tmp_path, model)

    assert isinstance(result, Terminal)
    assert result.reason == "output_contract_violated"


# --- sending ----------------------------------------------------------------------------------------------------------


def campaign(**changes: Any) -> dict[str, Any]:
    """A campaign of one mail, ready to be sent."""
    mail = {"to": "ada@example.com", "subject": "Hello", "body": "Text"}
    return {
        "campaign_type": "Actively Engage",
        "emails": [{**mail, **changes.pop("mail", {})}],
        "cause": "message-1",
        "written_by": "embedded",
        **changes,
    }


def sent_mail(outbox: Path, written: dict[str, Any]) -> EmailMessage:
    """Send `written` and read the file back."""
    result = run("send_email", {"lead": GOOD, "campaign": written}, outbox)
    path = outbox / result.data["sent"]["emails"][0]["file"]
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_same_campaign_handled_twice_is_sent_once(tmp_path: Path) -> None:
    """A redelivered task finds its mail sent."""
    first = run("send_email", {"lead": GOOD, "campaign": campaign()}, tmp_path, attempt=1)
    again = run("send_email", {"lead": GOOD, "campaign": campaign()}, tmp_path, attempt=2)

    assert [mail["is_new"] for mail in first.data["sent"]["emails"]] == [True]
    assert [mail["is_new"] for mail in again.data["sent"]["emails"]] == [False]
    assert len(list(tmp_path.rglob("*.eml"))) == 1


def test_steps_differ_by_reply_and_stay_with_the_same_reply() -> None:
    """The first campaign, each reply's and each type's first are different steps; one reply is one step."""
    first = send_email.step_of(campaign())
    nurture = send_email.step_of(campaign(campaign_type="Nurture"))
    one = send_email.step_of(campaign(answers={"text": "hi"}, cause="reply-1"))
    other = send_email.step_of(campaign(answers={"text": "hi"}, cause="reply-2"))
    same = send_email.step_of(campaign(answers={"text": "hi"}, cause="reply-1"))

    assert len({first, nurture, one, other}) == 4
    assert same == one


@pytest.mark.parametrize(
    "subject",
    [
        "Hello\r\nBcc: thief@evil.example",
        "Hello\nBcc: thief@evil.example",
        "Hi\x00\x0b\u2028Bcc: x@y.example",
    ],
)
def test_line_break_in_a_subject_makes_no_header(subject: str, tmp_path: Path) -> None:
    """A subject stays one header, whatever it holds."""
    message = sent_mail(tmp_path, campaign(mail={"subject": subject}))

    assert message["Bcc"] is None
    assert "Bcc:" in message["Subject"]


@pytest.mark.parametrize(
    "to", ["nobody", "a@b.example, c@d.example", "a@b.example\r\nBcc: c@d.example", "@", ""]
)
def test_recipient_that_is_no_single_address_is_terminal(to: str, tmp_path: Path) -> None:
    """Nothing is written for a recipient that is not one address."""
    result = run("send_email", {"lead": GOOD, "campaign": campaign(mail={"to": to})}, tmp_path)

    assert isinstance(result, Terminal)
    assert list(tmp_path.rglob("*.eml")) == []


def test_mail_in_any_script_is_read_back_as_written(tmp_path: Path) -> None:
    """Text outside ASCII survives the file."""
    text = {"subject": "Grüße aus Köln – 你好", "body": "Zażółć gęślą jaźń\n.\nFrom here on\n"}
    message = sent_mail(tmp_path, campaign(mail={**text, "send_after_days": 7}))

    assert message["Subject"] == text["subject"]
    assert message.get_content().replace("\r\n", "\n") == text["body"]
    assert message["To"] == "ada@example.com"
    assert message["Deferred-Delivery"] == "Thu, 22 Jan 2026 09:00:00 +0000"


# --- small rules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "company"),
    [
        ("analytical-engines.example", "Analytical Engines"),
        ("mail.acme.co.uk", "Acme"),
        ("acme.com", "Acme"),
        (None, None),
    ],
)
def test_company_is_read_from_a_domain(domain: str | None, company: str | None) -> None:
    """The label before the public suffix names the company."""
    assert company_from_domain(domain) == company


@pytest.mark.parametrize(
    ("name", "greeted"),
    [("Dr. Grace Hopper", "Grace"), ("Hopper, Grace", "Grace"), ("jo", "jo"), ("Dr.", "Dr.")],
)
def test_first_name_is_what_a_person_is_greeted_by(name: str, greeted: str) -> None:
    """Titles and reversed order do not confuse the greeting."""
    assert first_name(name) == greeted


@pytest.mark.parametrize(
    ("website", "domain"),
    [
        ("https://www.acme.example/x", "acme.example"),
        ("acme.example", "acme.example"),
        ("n/a", None),
        ("http://[", None),
        (None, None),
    ],
)
def test_website_domain_is_read_as_typed(website: str | None, domain: str | None) -> None:
    """With or without a scheme, and nonsense is none."""
    assert website_domain(website) == domain
