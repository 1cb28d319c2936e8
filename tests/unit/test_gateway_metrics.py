"""The gateway's `/metrics`: what came in by route and status, and what became of the messages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import httpx
import pytest

from connectors.broker import BrokerError
from connectors.prometheus import targets_folder
from signalbox.gateway import server
from signalbox.gateway.metrics import Requests, families
from signalbox.metric_names import GatewayMetric
from signalbox.settings import Settings
from tests.support.gateway import client_of, memory_broker, parts
from tests.unit.test_prometheus import samples

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def scraped(client: httpx.AsyncClient) -> dict[str, float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return samples(answer.text)


async def test_requests_are_counted_by_template_and_status(tmp_path: Path) -> None:
    """A conversation's id is no label: whoever asks for many does not make many series."""
    async with client_of(parts(tmp_path, memory_broker())) as client:
        await client.post("/events", json={"a": 1}, headers={"ce-type": "thing.asked"})
        await client.post("/events", json={"a": 1}, headers={"ce-type": "No Type"})
        for number in range(3):
            await client.get(f"/conversations/c-{number}")
            await client.get(f"/no-such-path/{number}")
        found = await scraped(client)

    name = "signalbox_gateway_requests_total"
    assert found[f"{name}{{method=POST,route=/events,status=202}}"] == 1
    assert found[f"{name}{{method=POST,route=/events,status=422}}"] == 1
    assert found[f"{name}{{method=GET,route=/conversations/{{conversation_id}},status=503}}"] == 3
    assert found[f"{name}{{method=GET,route=none,status=404}}"] == 3
    assert found["signalbox_gateway_request_duration_seconds_count{route=/events}"] == 2
    assert not [one for one in found if "c-1" in one or "no-such" in one]


async def test_messages_are_counted_by_what_the_broker_said(tmp_path: Path) -> None:
    """Acknowledged ones as published, refused ones as failures; none waits afterwards."""
    broker = memory_broker()
    made = parts(tmp_path, broker)
    async with client_of(made) as client:
        for _ in range(3):
            await client.post("/events", json={"a": 1}, headers={"ce-type": "thing.asked"})
        found = await scraped(client)

    assert found["signalbox_gateway_published_total{}"] == 3
    assert found["signalbox_gateway_publish_failures_total{}"] == 0
    assert found["signalbox_gateway_waiting{}"] == 0
    assert found["signalbox_gateway_broker_up{}"] == 1


async def test_while_the_broker_is_away_failures_rise(tmp_path: Path) -> None:
    """Each refused message counts, and the level says why."""

    def away() -> None:
        msg = "away"
        raise BrokerError(msg)

    made = parts(tmp_path, memory_broker(), make_producer=away)  # type: ignore[arg-type]
    async with client_of(made, connected=False) as client:
        for _ in range(2):
            await client.post("/events", json={"a": 1}, headers={"ce-type": "thing.asked"})
        found = await scraped(client)

    assert found["signalbox_gateway_publish_failures_total{}"] == 2
    assert found["signalbox_gateway_broker_up{}"] == 0
    assert found["signalbox_gateway_published_total{}"] == 0


async def test_whoever_is_refused_at_the_door_has_no_route(tmp_path: Path) -> None:
    """Nobody without a key makes series of paths or methods of their own."""
    made = parts(tmp_path, memory_broker(), keyless="anyone", per_second=1)
    async with client_of(made, connected=False) as client:
        statuses = [(await client.request("BREW", f"/tea/{n}")).status_code for n in range(4)]

        assert statuses[1:] == [429] * 3
        counts = client._transport.app.state.requests.counts  # type: ignore[attr-defined]
        assert counts[("other", "none", "429")] == 3


def test_every_metric_of_the_list_is_told(tmp_path: Path) -> None:
    """Also before the first request."""
    found = {one.name for one in families(Requests(), parts(tmp_path, memory_broker()).publisher)}

    assert found == {name.removesuffix("_total") for name in get_args(GatewayMetric)}


def test_a_gateway_that_cannot_say_where_its_metrics_are_serves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a home that is only read: nobody's message is refused for want of Prometheus' file."""
    made = Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]
    targets_folder(made).write_text("no folder")
    served: list[object] = []
    monkeypatch.setattr(server.uvicorn, "run", lambda app, **_: served.append(app))
    interval = sys.getswitchinterval()
    try:
        server.serve(made)
    finally:
        sys.setswitchinterval(interval)

    assert len(served) == 1
