"""The MongoDB source: each inserted document one lead, over crashes, lost connections and lost history."""

from __future__ import annotations

import math
import struct
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import bson
import orjson
import pytest
from bson import DBRef, Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.binary import Binary

from connectors.lead_source import SourceError, SourceStoppedError, run_source
from connectors.memory import MemoryBroker
from connectors.mongodb import MongodbSource, OnHistoryLost
from connectors.mongodb_feed import HistoryLostError, MongoFeed
from connectors.mongodb_json import document_json, id_text
from connectors.source_ledger import SourceLedger
from tests.support.recorded_mongo import RecordedMongo, WireError, raw_event
from tests.support.sources import (
    Crash,
    CutLedger,
    dead_letters,
    drain,
    leads,
    memory_broker,
    records,
)

NAME = "mongodb/signalbox.leads"


@pytest.fixture
def mongo() -> Iterator[RecordedMongo]:
    """A server with a recording."""
    with RecordedMongo() as running:
        yield running


@pytest.fixture
def broker() -> MemoryBroker:
    """A broker with a source's topics."""
    return memory_broker()


def source(mongo: RecordedMongo, *, lost: OnHistoryLost = "stop", **rename: str) -> MongodbSource:
    feed = MongoFeed(mongo.address, "signalbox", "leads", await_ms=20)
    return MongodbSource(feed, "leads", records(**rename), on_history_lost=lost)


def run(mongo: RecordedMongo, broker: MemoryBroker, **options: Any) -> None:
    """Read until nothing comes."""
    drain(source(mongo, **options), SourceLedger(broker, NAME), idle=4)


def names(broker: MemoryBroker) -> list[str]:
    return [value["name"] for _, value in leads(broker)]


def test_inserted_documents_become_leads_under_their_id(
    mongo: RecordedMongo, broker: MemoryBroker
) -> None:
    """What is inserted while the source is down counts from its first start on; the key is the document's id."""
    mongo.insert({"name": "before the first start"})
    run(mongo, broker)
    known = ObjectId()
    mongo.insert(
        {"_id": known, "name": "Ada", "jobTitle": "CTO", "at": datetime(2026, 1, 2, tzinfo=UTC)}
    )

    run(mongo, broker, jobTitle="job_title")

    assert leads(broker) == [
        (
            str(known),
            {
                "_id": str(known),
                "name": "Ada",
                "job_title": "CTO",
                "at": "2026-01-02T00:00:00.000Z",
            },
        )
    ]


@pytest.mark.parametrize("when", ["before", "after", "unknown"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_crash_at_any_commit_neither_loses_nor_doubles(
    mongo: RecordedMongo, broker: MemoryBroker, at: int, when: str
) -> None:
    """Killed before or after any commit, or unsure of one, the next process goes on exactly where readers are."""
    run(mongo, broker)
    for number in range(1200):
        mongo.insert({"name": number})
    ledger = CutLedger(broker, NAME, at=at, when=when)
    try:
        drain(source(mongo), ledger, idle=6)
    except Crash:
        run(mongo, broker)

    assert names(broker) == list(range(1200))
    assert ledger.commits >= at


def test_first_start_that_crashes_before_any_lead_keeps_its_place(
    mongo: RecordedMongo, broker: MemoryBroker
) -> None:
    """The place of the first start is committed at once, so what is inserted after a crash then is not skipped."""
    with pytest.raises(Crash):
        drain(source(mongo), CutLedger(broker, NAME, at=1, when="after"))
    mongo.insert({"name": "while nobody was there"})

    run(mongo, broker)

    assert names(broker) == ["while nobody was there"]


def test_updates_and_deletions_are_no_leads(mongo: RecordedMongo, broker: MemoryBroker) -> None:
    """Only an insert is a new lead."""
    run(mongo, broker)
    mongo.add({"operationType": "update", "documentKey": {"_id": 1}})
    mongo.insert({"name": "new"})
    mongo.add({"operationType": "delete", "documentKey": {"_id": 1}})

    run(mongo, broker)

    assert names(broker) == ["new"]


def test_document_that_is_no_lead_is_sent_all_the_same(
    mongo: RecordedMongo, broker: MemoryBroker
) -> None:
    """Whether it is a lead is decided by the contracts, not here."""
    run(mongo, broker)
    mongo.insert({"_id": {"odd": 1}, "weather": "rain"})

    run(mongo, broker)

    assert leads(broker) == [('leads-{"odd":1}', {"_id": {"odd": 1}, "weather": "rain"})]


def test_document_too_large_for_a_topic_is_a_dead_letter(
    mongo: RecordedMongo, broker: MemoryBroker
) -> None:
    """It neither stops the source nor disappears; the next one goes on."""
    run(mongo, broker)
    mongo.insert({"_id": "big", "text": "x" * 3_000_000})
    mongo.insert({"name": "small"})

    run(mongo, broker)

    assert names(broker) == ["small"]
    (letter,) = dead_letters(broker)
    assert (letter["reason"], letter["key"], letter["truncated"]) == (
        "payload_too_large",
        "leads-big",
        True,
    )


def test_document_whose_id_is_too_long_for_a_key_is_a_lead_all_the_same(
    mongo: RecordedMongo, broker: MemoryBroker
) -> None:
    """A broker takes no key of a megabyte: it is cut, still another one than its neighbour's, and nobody waits for it."""
    run(mongo, broker)
    for end in "ab":
        mongo.insert({"_id": "x" * 1_000_000 + end, "name": end})

    run(mongo, broker)

    # The document itself, with its id, is beyond what a topic takes.
    letters = dead_letters(broker)
    assert [letter["reason"] for letter in letters] == ["payload_too_large"] * 2

    for end in "cd":
        mongo.insert({"_id": "y" * 200_000 + end, "name": end})
    run(mongo, broker)

    assert names(broker) == ["c", "d"]
    keys = [str(key) for key, _ in leads(broker)]
    assert len(set(keys)) == 2
    assert max(map(len, keys)) < 1200


def test_document_nested_too_deep_is_a_dead_letter(
    mongo: RecordedMongo, broker: MemoryBroker
) -> None:
    """Depth is bounded, and the next document goes on."""
    run(mongo, broker)
    deep: Any = 1
    for _ in range(199):
        deep = [deep]
    mongo.insert({"name": "deep", "deep": {"a": {"b": deep}}})
    mongo.insert({"name": "flat"})

    run(mongo, broker)

    assert names(broker) == ["flat"]
    assert "deeper than 200" in dead_letters(broker)[0]["detail"]


def test_document_with_values_python_has_not_is_read(
    mongo: RecordedMongo, broker: MemoryBroker
) -> None:
    """A date of the year 40000 and bytes that are no UTF-8 do not stop the stream."""
    run(mongo, broker)
    far = b"\x09when\x00" + struct.pack("<q", 1_200_000_000_000_000)
    broken = b"\x02name\x00" + struct.pack("<i", 3) + b"\xff\xfe\x00"
    body = b"\x02_id\x00" + struct.pack("<i", 2) + b"a\x00" + far + broken + b"\x00"
    mongo.add(
        {
            "operationType": "insert",
            "raw": raw_event(mongo.ticks + 1, struct.pack("<i", len(body) + 4) + body),
        }
    )

    run(mongo, broker)

    ((key, lead),) = leads(broker)
    assert key == "leads-a"
    assert lead["when"] == {"$date": {"$numberLong": "1200000000000000"}}
    assert lead["name"] == "\ufffd\ufffd"


def test_lost_connection_is_gone_on_with(mongo: RecordedMongo, broker: MemoryBroker) -> None:
    """Every connection cut, the server away and back on its port: nothing is lost, nothing comes twice."""
    run(mongo, broker)
    stopped = threading.Event()
    runner = threading.Thread(
        target=run_source, args=(source(mongo), SourceLedger(broker, NAME), stopped), daemon=True
    )
    runner.start()
    for number in range(3):
        mongo.insert({"name": number})
        _until(lambda: len(leads(broker)), number + 1)
        mongo.cut()
    mongo.stop()
    mongo.insert({"name": 3})
    mongo.start(mongo.port)
    _until(lambda: len(leads(broker)), 4)
    stopped.set()
    runner.join(30)

    assert not runner.is_alive()
    assert names(broker) == [0, 1, 2, 3]


def _until(count: Any, wanted: int) -> None:
    patience = threading.Event()
    for _ in range(600):
        if count() >= wanted:
            return
        patience.wait(0.05)
    pytest.fail(f"{count()} of {wanted}")


def test_lost_history_stops_with_what_to_do(mongo: RecordedMongo, broker: MemoryBroker) -> None:
    """By default the source ends, says what is missing and how to go on, and has committed nothing."""
    run(mongo, broker)
    mongo.insert({"name": "lost"})
    mongo.oldest = mongo.ticks

    with pytest.raises(SourceStoppedError, match="ON_HISTORY_LOST=skip"):
        run(mongo, broker)

    assert leads(broker) == []


def test_lost_history_is_skipped_where_that_is_wanted(
    mongo: RecordedMongo, broker: MemoryBroker
) -> None:
    """With `skip` it goes on from now, and keeps the new place."""
    run(mongo, broker)
    mongo.insert({"name": "lost"})
    mongo.oldest = mongo.ticks
    run(mongo, broker, lost="skip")
    mongo.insert({"name": "later"})

    run(mongo, broker)

    assert names(broker) == ["later"]


def test_dropped_collection_is_gone_on_with(mongo: RecordedMongo, broker: MemoryBroker) -> None:
    """Leads before and after the drop come once, also where a restart falls between."""
    run(mongo, broker)
    mongo.insert({"name": "before"})
    mongo.drop()
    mongo.insert({"name": "after"})
    run(mongo, broker)
    mongo.insert({"name": "later"})

    run(mongo, broker)

    assert names(broker) == ["before", "after", "later"]


@pytest.mark.parametrize(
    ("refusal", "kind", "said"),
    [
        (WireError(286, "resume point gone"), HistoryLostError, "resume point gone"),
        (WireError(10334, "BSONObj size: 16800000 is invalid"), HistoryLostError, "16800000"),
        (WireError(40573, "The $changeStream stage is only supported on replica sets"), SourceStoppedError, "rs.initiate"),
        (WireError(13, "not authorized"), SourceStoppedError, "role read"),
        (WireError(11601, "operation was interrupted"), SourceError, "interrupted"),
    ],
)  # fmt: skip
def test_feed_errors_say_what_to_do(
    mongo: RecordedMongo, refusal: WireError, kind: type[Exception], said: str
) -> None:
    """Each refusal of the server becomes the error that decides what the source does."""
    mongo.refusals.append(refusal)
    feed = MongoFeed(mongo.address, "signalbox", "leads")

    with pytest.raises(kind, match=said):
        feed.open(None)
    feed.close()


@pytest.mark.parametrize("address", ["mongodb://", "http://x", "mongodb://u:canary@/"])
def test_feed_wrong_address_is_named_without_its_password(address: str) -> None:
    """The setting is named; what stands in it is not repeated."""
    with pytest.raises(SourceStoppedError, match="SIGNALBOX_MONGODB__URI") as caught:
        MongoFeed(address, "d", "c").open(None)

    assert "canary" not in str(caught.value)


def test_feed_server_that_is_away_is_worth_a_retry() -> None:
    """Nobody listening is no reason to stop."""
    address = "mongodb://127.0.0.1:1/?replicaSet=rs0&serverSelectionTimeoutMS=200"

    with pytest.raises(SourceError):
        MongoFeed(address, "d", "c").open(None)


def test_json_of_every_bson_type() -> None:
    """Common types read as a form would send them, the others as extended JSON, and all of it is JSON."""
    known = ObjectId("65f0a1b2c3d4e5f60718293a")
    document = {
        "id": known,
        "date": datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
        "decimal": Decimal128("12.30"),
        "long": Int64(2**40),
        "huge": 2**70,
        "nan": math.nan,
        "uuid": uuid.UUID(int=1),
        "bytes": b"\x00\xff",
        "other": Binary(b"x", 128),
        "regex": Regex("^a"),
        "stamp": Timestamp(1, 2),
        "ref": DBRef("c", known),
        "lone": "\ud800",
    }

    read = orjson.loads(document_json(document))

    assert read["id"] == "65f0a1b2c3d4e5f60718293a"
    assert read["date"] == "2026-01-02T03:04:05.678Z"
    assert (read["decimal"], read["long"], read["huge"], read["nan"]) == (
        "12.30",
        2**40,
        str(2**70),
        "nan",
    )
    assert (read["uuid"], read["bytes"], read["lone"]) == (str(uuid.UUID(int=1)), "AP8=", "?")
    assert read["other"] == {"$binary": {"base64": "eA==", "subType": "80"}}
    assert read["regex"] == {"$regularExpression": {"pattern": "^a", "options": ""}}
    assert read["ref"] == {"$ref": "c", "$id": {"$oid": "65f0a1b2c3d4e5f60718293a"}}
    assert bson.encode({"read": read})


def test_id_that_others_may_have_too_is_put_behind_its_collection() -> None:
    """Only an id that is the only one of its kind becomes a conversation by itself."""
    assert id_text(ObjectId("65f0a1b2c3d4e5f60718293a"), "leads") == "65f0a1b2c3d4e5f60718293a"
    assert id_text(7, "leads") == "leads-7"
    assert id_text("ada", "leads") == "leads-ada"
