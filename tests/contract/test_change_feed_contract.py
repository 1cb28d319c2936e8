"""One contract for the change stream: a recording over the wire, and a real MongoDB where `MONGODB_URI` names one.

Both are read by the real driver. The recording cannot show elections, authentication and real resume tokens.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bson import ObjectId

from connectors.mongodb_feed import Change, MongoFeed
from tests.support.recorded_mongo import RecordedMongo

PATIENCE = 100


class Lab:
    """A collection of one's own with a feed on it."""

    def __init__(
        self,
        address: str,
        insert: Callable[[Any], Any],
        drop: Callable[[], Any],
        elsewhere: Callable[[], Any],
        collection: str,
    ) -> None:
        self.insert, self.drop, self.elsewhere = insert, drop, elsewhere
        self.feed = MongoFeed(address, "signalbox_test", collection)

    def changes(self, count: int) -> list[Change]:
        """The next changes, waited for."""
        found: list[Change] = []
        for _ in range(PATIENCE):
            change = self.feed.next()
            if change is not None:
                found.append(change)
            if len(found) == count:
                return found
        pytest.fail(f"{len(found)} of {count} changes came")


@pytest.fixture(params=["recorded", "live"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The recording, then the real server."""
    if request.param == "recorded":
        with RecordedMongo() as mongo:
            lab = Lab(mongo.address, mongo.insert, mongo.drop, mongo.tick, "leads")
            yield lab
            lab.feed.close()
        return
    address = os.environ.get("MONGODB_URI")
    if not address:
        pytest.skip("MONGODB_URI is not set: no MongoDB replica set to run against")
    from pymongo import MongoClient

    with MongoClient(address) as client:
        name = f"leads_{uuid.uuid4().hex[:8]}"
        database = client["signalbox_test"]
        collection = database[name]
        other = database[f"{name}_other"]
        other.insert_one({})
        collection.insert_one({"name": "was there before"})
        lab = Lab(
            address, collection.insert_one, collection.drop, lambda: other.insert_one({}), name
        )
        yield lab
        lab.feed.close()
        collection.drop()
        other.drop()


def test_feed_inserts_come_in_order_and_nothing_from_before(lab: Lab) -> None:
    """From now on, every insert is a change with its document."""
    lab.feed.open(None)
    assert lab.feed.next() is None
    for number in range(3):
        lab.insert({"number": number})

    changes = lab.changes(3)

    assert [change.kind for change in changes] == ["insert"] * 3
    assert [change.document["number"] for change in changes if change.document] == [0, 1, 2]
    assert len({change.token for change in changes}) == 3


def test_feed_goes_on_behind_any_token(lab: Lab) -> None:
    """Opened behind a change's token, the next one comes first; nothing again, nothing left out."""
    lab.feed.open(None)
    for number in range(4):
        lab.insert({"number": number})
    first = lab.changes(4)[1]

    lab.feed.open(first.token)

    assert [c.document["number"] for c in lab.changes(2) if c.document] == [2, 3]
    assert lab.feed.next() is None


def test_feed_token_before_the_first_change_holds_the_place(lab: Lab) -> None:
    """The token of a stream that returned nothing yet keeps what is inserted while nobody reads."""
    lab.feed.open(None)
    assert lab.feed.next() is None
    token = lab.feed.token()
    assert token is not None
    lab.feed.close()
    lab.insert({"number": 1})

    lab.feed.open(token)

    assert [c.document["number"] for c in lab.changes(1) if c.document] == [1]


def test_feed_token_moves_on_while_nothing_is_inserted_here(lab: Lab) -> None:
    """What happens elsewhere on the server moves the token, so that a quiet collection keeps its place."""
    lab.feed.open(None)
    assert lab.feed.next() is None
    before = lab.feed.token()
    lab.elsewhere()

    for _ in range(PATIENCE):
        assert lab.feed.next() is None
        if lab.feed.token() != before:
            return
    pytest.fail("the token stood still")


def test_feed_goes_on_behind_a_drop(lab: Lab) -> None:
    """A dropped collection is told as such; opened behind the invalidation, a new one of its name is read."""
    lab.feed.open(None)
    lab.insert({"number": 1})
    lab.drop()
    changes = lab.changes(3)
    assert [change.kind for change in changes] == ["insert", "drop", "invalidate"]

    lab.feed.open(changes[-1].token)
    lab.insert({"number": 2})

    assert [c.document["number"] for c in lab.changes(1) if c.document] == [2]


def test_feed_documents_keep_their_types(lab: Lab) -> None:
    """A document comes as BSON has it."""
    lab.feed.open(None)
    document = {"_id": ObjectId(), "text": "Grüße", "deep": {"list": [1, 2.5, None, True]}}
    lab.insert(dict(document))

    assert lab.changes(1)[0].document == document
