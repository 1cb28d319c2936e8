"""The lead form: what a visitor of the website fills in; a sent lead links to its conversation."""

from __future__ import annotations

from typing import Final

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from signalbox.gateway.access import needs
from signalbox.gateway.intake import lead_of
from signalbox.gateway.pages.forms import read_form
from signalbox.gateway.pages.site import PREFIX, render, render_part
from signalbox.gateway.parts import parts_of
from signalbox.topics import AGENT_MESSAGES

router: Final = APIRouter(include_in_schema=False)
SOURCES: Final = ("Demo Request", "Case Study", "Webinar", "Whitepaper", "Newsletter")
FIELDS: Final = (
    "name",
    "email",
    "job_title",
    "company_name",
    "company_website",
    "lead_source",
    "project_description",
)


@router.get(f"{PREFIX}/lead")
async def get_lead(request: Request) -> Response:
    """Show the form."""
    needs("send", request)
    # Sent twice by a double click, it is one lead.
    return render(request, "lead", sources=SOURCES, key=parts_of(request).new_id("lead"))


@router.post(f"{PREFIX}/lead")
async def post_lead(request: Request) -> Response:
    """Send the lead, and say where its conversation is."""
    needs("send", request)
    parts = parts_of(request)
    fields = await read_form(request)
    lead = {name: fields[name] for name in FIELDS if name in fields}
    key = {"idempotency-key": fields["key"]} if "key" in fields else {}
    message = lead_of(orjson.dumps(lead), key, parts.given())
    await parts.publisher.publish(message.record(parts.topic(AGENT_MESSAGES)))
    return render_part(
        request,
        "lead_sent",
        "New lead",
        name=lead.get("name", "The lead"),
        conversation_id=message.conversation_id,
        message_id=message.id,
    )
