"""The SDR fleet's contracts over generated messages: one taker for each message of the pipeline, several for replies only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.definitions.contract import Contract
from signalbox.definitions.loader import load_fleet
from tests.support.from_schema import from_schema

FLEET = load_fleet(Path(__file__).parents[2] / "agent_definitions" / "sdr")
INPUTS = {name: Contract(agent.input.json_schema) for name, agent in FLEET.agents.items()}
PROPERTIES: dict[str, Any] = FLEET.agents["active_outreach"].input.json_schema["properties"]
OUTPUTS = {name: agent.output.json_schema for name, agent in FLEET.agents.items()}
many = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def takers(data: dict[str, Any]) -> list[str]:
    """The agents whose input contracts accept `data`."""
    return [name for name, contract in INPUTS.items() if contract.accepts(data)]


def message(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Data of `fields`, with or without free text for the model."""
    return st.fixed_dictionaries(fields, optional={"context": st.text(max_size=50)})


LEADS = from_schema(PROPERTIES["lead"])
SCORE = OUTPUTS["lead_scoring"]["properties"]["score"]


@many
@given(message(lead=LEADS))
def test_submitted_lead_is_for_lead_ingestion_alone(data: dict[str, Any]) -> None:
    """A bare lead has one taker."""
    assert takers(data) == ["lead_ingestion"]


@many
@given(from_schema(OUTPUTS["lead_ingestion"]))
def test_enriched_lead_is_for_lead_scoring_alone(data: dict[str, Any]) -> None:
    """Whatever Lead Ingestion may answer has one taker."""
    assert takers(data) == ["lead_scoring"]


@many
@given(from_schema(OUTPUTS["lead_scoring"]))
def test_scored_lead_is_for_the_writer_of_its_next_step_alone(data: dict[str, Any]) -> None:
    """The next step decides between the two writers, by contract."""
    writers = {"Actively Engage": "active_outreach", "Nurture": "nurture_campaign"}

    assert takers(data) == [writers[data["score"]["next_step"]]]


@many
@given(
    st.sampled_from(["active_outreach", "nurture_campaign"]).flatmap(
        lambda n: from_schema(OUTPUTS[n])
    )
)
def test_written_campaign_is_for_send_email_alone(data: dict[str, Any]) -> None:
    """Whatever the writers may answer has one taker."""
    assert takers(data) == ["send_email"]


@many
@given(from_schema(OUTPUTS["send_email"]))
def test_sent_mail_is_for_nobody(data: dict[str, Any]) -> None:
    """What was sent needs nobody, so the conversation ends."""
    assert takers(data) == []


@many
@given(message(lead=LEADS, reply=from_schema(PROPERTIES["reply"])))
def test_reply_has_two_takers_on_purpose(data: dict[str, Any]) -> None:
    """Only a reply has several takers, so only a reply needs a model."""
    assert takers(data) == ["active_outreach", "nurture_campaign"]


@many
@given(
    message(
        lead=LEADS,
        report=from_schema(PROPERTIES["report"]),
        score=from_schema(SCORE),
        reply=from_schema(PROPERTIES["reply"]),
    )
)
def test_scored_lead_with_a_reply_has_no_taker(data: dict[str, Any]) -> None:
    """A message is one thing; what mixes two is taken by nobody."""
    assert takers(data) == []


@pytest.mark.parametrize("field", ["name", "email", "company_name", "lead_source", "job_title"])
def test_lead_without_a_required_field_has_no_taker_and_the_field_is_named(field: str) -> None:
    """What a lead must have is said by the contract, and so is what is missing."""
    lead = dict.fromkeys(
        ("name", "email", "company_name", "lead_source", "job_title"), "a@b.example"
    )
    del lead[field]

    assert takers({"lead": lead}) == []
    assert f"lead.{field}: required" in INPUTS["lead_ingestion"].violations({"lead": lead})


@pytest.mark.parametrize(
    "email",
    [
        "",
        "nobody",
        "a@b@c",
        "two@x.example, three@x.example",
        "a@b.example\r\nBcc: c@d.example",
        "Ada <a@b.example>",
    ],
)
def test_lead_with_something_else_than_one_address_has_no_taker(email: str) -> None:
    """One lead has one address; a list, a name or a header is none."""
    lead = {
        "name": "Ada",
        "email": email,
        "company_name": "",
        "lead_source": "Webinar",
        "job_title": "",
    }

    assert takers({"lead": lead}) == []


def test_lead_means_the_same_in_every_contract() -> None:
    """The lead's schema is spelled out in each file and equal in all of them."""
    schemas = [agent.input.json_schema["properties"]["lead"] for agent in FLEET.agents.values()]
    schemas += [
        {k: v for k, v in agent.output.json_schema["properties"]["lead"].items() if k != "x-from"}
        for agent in FLEET.agents.values()
    ]

    assert all(schema == schemas[0] for schema in schemas)


def test_handoffs_form_the_pipeline_and_end_it() -> None:
    """Who may hand off to whom is the pipeline; Send Email hands off to nobody."""
    handoffs = {name: agent.handoffs for name, agent in FLEET.agents.items()}

    assert handoffs == {
        "lead_ingestion": ("lead_scoring",),
        "lead_scoring": ("active_outreach", "nurture_campaign"),
        "active_outreach": ("send_email",),
        "nurture_campaign": ("send_email",),
        "send_email": (),
    }
    assert FLEET.policy.completes_on == (FLEET.agents["send_email"].output.type,)


def test_every_string_of_the_contracts_is_bounded() -> None:
    """No contract lets a string grow without end, so no model is asked for one."""
    unbounded = [
        (name, where)
        for name, agent in FLEET.agents.items()
        for schema in (agent.input.json_schema, agent.output.json_schema)
        for where in _unbounded(schema, "")
    ]

    assert unbounded == []


def _unbounded(schema: Any, where: str) -> list[str]:
    if isinstance(schema, list):
        return [found for inner in schema for found in _unbounded(inner, where)]
    if not isinstance(schema, dict):
        return []
    own = (
        [where]
        if "string" in str(schema.get("type"))
        and "maxLength" not in schema
        and "enum" not in schema
        else []
    )
    return own + [
        found for name, inner in schema.items() for found in _unbounded(inner, f"{where}/{name}")
    ]
