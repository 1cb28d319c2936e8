"""Every address of the gateway says which scope it needs: none is served to a key without it, and none is forgotten here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, get_args

import httpx
import pytest
from starlette.routing import BaseRoute, Route

from signalbox.gateway.app import create_app
from signalbox.gateway.keys import Scope, add_key
from signalbox.gateway.parts import Parts
from tests.support.gateway import caught_up, client_of, memory_broker, parts

pytestmark = pytest.mark.anyio
AT = datetime(2026, 1, 2, tzinfo=UTC)
ELSEWHERE = "203.0.113.7"

NEEDED: Final[dict[str, set[Scope]]] = {
    "POST /events": {"send"},
    "POST /leads": {"send"},
    "POST /ask": {"read", "send"},
    "GET /conversations": {"read"},
    "GET /conversations/{conversation_id:path}": {"read"},
    "GET /decisions/{message_id:path}": {"read"},
    "GET /agents": {"read"},
    "GET /agents/{name}/status": {"read"},
    "POST /agents/{name}/register": {"define"},
    "GET /reviews": {"read"},
    "POST /reviews/{name:path}": {"decide"},
    "GET /dead-letters": {"read"},
    "GET /dead-letters/{place}": {"read"},
    "POST /dead-letters/replay": {"decide"},
    "POST /dead-letters/{place}/replay": {"decide"},
    "POST /dead-letters/{place}/discard": {"decide"},
    "GET /metrics": {"read"},
    "GET /flow-health": {"read"},
    "GET /ui/flow": {"read"},
    "GET /ui/flow/line": {"read"},
    "GET /ui/live": {"read"},
    "GET /ui/live/stream": {"read"},
    "GET /ui/lead": {"send"},
    "POST /ui/lead": {"send"},
    "GET /ui/conversations": {"read"},
    "GET /ui/conversations/{conversation_id:path}": {"read"},
    "GET /ui/decision": {"read"},
    "GET /ui/inbox": {"read"},
    "GET /ui/inbox/labels.jsonl": {"read"},
    "GET /ui/inbox/items/{name:path}": {"read"},
    "POST /ui/inbox/items/{name:path}": {"decide"},
    "GET /ui/dead-letters": {"read"},
    "GET /ui/dead-letters/{place}": {"read"},
    "POST /ui/dead-letters/replay": {"decide"},
    "POST /ui/dead-letters/{place}/replay": {"decide"},
    "POST /ui/dead-letters/{place}/discard": {"decide"},
    "GET /ui/agents": {"read"},
    "GET /ui/agents/{name}": {"read"},
    "GET /ui/stream": {"read"},
}
ANY_KEY: Final = {"GET /", "GET /ui", "GET /ui/", "GET /openapi.json", "GET /asyncapi.json"}
"""What tells nothing of what happens here."""
NO_KEY: Final = {"GET /health", "GET /ui/login", "POST /ui/login", "GET /ui/static/{name}"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def made(tmp_path: Path) -> Parts:
    broker = memory_broker()
    there = parts(tmp_path, broker)
    caught_up(there, broker)
    return there


@pytest.fixture
async def stranger(made: Parts) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(made, address=ELSEWHERE) as there:
        yield there


def addresses(routes: Sequence[BaseRoute]) -> set[str]:
    found = set()
    for route in routes:
        if (router := getattr(route, "original_router", None)) is not None:
            found |= addresses(router.routes)
            continue
        assert isinstance(route, Route), route
        found |= {f"{method} {route.path}" for method in (route.methods or {"GET"}) - {"HEAD"}}
    return found


async def asked(client: httpx.AsyncClient, address: str, key: str | None) -> int:
    """The status without a body, which a form or a message would need."""
    method, path = address.split(" ")
    for name, value in (("{place}", "0:0"), ("{name}", "ann"), (":path}", "}")):
        path = path.replace(name, value)
    path = (
        path.replace("{conversation_id}", "c").replace("{message_id}", "c").replace("{name}", "c")
    )
    headers = {} if key is None else {"x-api-key": key}
    return (await client.request(method, path, headers=headers)).status_code


def test_every_address_is_in_a_table(made: Parts) -> None:
    """A new one must say here what it needs."""
    assert addresses(create_app(made).routes) == {*NEEDED, *ANY_KEY, *NO_KEY}


async def test_nobody_from_elsewhere_is_served_without_a_key(stranger: httpx.AsyncClient) -> None:
    """401, or the way to the form that asks for one."""
    told = {one: await asked(stranger, one, None) for one in {*NEEDED, *ANY_KEY}}

    assert {one: status for one, status in told.items() if status not in {401, 303}} == {}


async def test_a_key_without_the_scope_is_refused(made: Parts, stranger: httpx.AsyncClient) -> None:
    """Whatever else it may, before anything that was sent is looked at."""
    file = made.settings.home / "keys.json"
    every: set[Scope] = {*get_args(Scope)}
    without = {scope: add_key(file, f"no-{scope}", every - {scope}, AT) for scope in every}
    told = {
        (address, scope): await asked(stranger, address, without[scope])
        for address, scopes in NEEDED.items()
        for scope in scopes
    }

    assert {one: status for one, status in told.items() if status != 403} == {}


async def test_a_key_with_just_the_scope_is_not_refused(
    made: Parts, stranger: httpx.AsyncClient
) -> None:
    """What it asks for may be wrong or missing; it may ask. A stream would not end."""
    file = made.settings.home / "keys.json"
    kinds = {"-".join(sorted(scopes)): scopes for scopes in NEEDED.values()}
    keys = {name: add_key(file, name, scopes, AT) for name, scopes in kinds.items()}
    told = {
        address: await asked(stranger, address, keys["-".join(sorted(scopes))])
        for address, scopes in NEEDED.items()
        if "stream" not in address
    }

    refused = {401, 403, 303, 405, 500}
    assert {one: status for one, status in told.items() if status in refused} == {}
