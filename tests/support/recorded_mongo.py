"""A recorded change stream, served over MongoDB's wire protocol to the real driver.

Speaks what a driver asks of one replica set member for one change stream: hello, aggregate with $changeStream, getMore,
killCursors, ping; in OP_MSG, and in OP_QUERY for the first hello. Everything else is an error. It stands beside a real
MongoDB under one contract suite: what it cannot show is authentication, elections and the shape of real resume tokens.
Source: MongoDB wire protocol and change stream documentation.
"""

from __future__ import annotations

import itertools
import socket
import socketserver
import struct
import threading
import time
from contextlib import suppress
from typing import Any, Self

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
CODEC = CodecOptions(uuid_representation=4)


class WireError(Exception):
    """A command's error reply."""

    def __init__(self, code: int, text: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.code = code
        self.labels = labels


class RecordedMongo:
    """One collection's events. `with RecordedMongo() as mongo: mongo.insert({...}); mongo.address`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.ticks = 0
        self.oldest = 0
        self.refusals: list[WireError] = []
        self.commands: list[str] = []
        self.lock = threading.Condition()
        self.cursors: dict[int, tuple[int, tuple[str, ...]]] = {}
        self.numbers = itertools.count(1)
        self.server: Any = None
        self.sockets: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int = 0) -> None:
        """Listen."""
        mongo = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                mongo.sockets.add(self.request)
                with suppress(OSError, struct.error):
                    mongo.serve(self.request)
                mongo.sockets.discard(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        self.server.shutdown()
        self.server.server_close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection."""
        for sock in list(self.sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    @property
    def address(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet=rs0"

    # ── the recording ───────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, document: dict[str, Any]) -> None:
        document.setdefault("_id", bson.ObjectId())
        self.add({"operationType": "insert", "fullDocument": document})

    def drop(self) -> None:
        self.add({"operationType": "drop"})
        self.add({"operationType": "invalidate"})

    def tick(self) -> None:
        """Something happened elsewhere on the server."""
        with self.lock:
            self.ticks += 1

    def add(self, event: dict[str, Any]) -> None:
        with self.lock:
            self.ticks += 1
            self.events.append({"_id": token(self.ticks), "at": self.ticks, **event})
            self.lock.notify_all()

    # ── the wire ────────────────────────────────────────────────────────────────────────────────────────────────────

    def serve(self, sock: socket.socket) -> None:
        while True:
            length, request, _, opcode = struct.unpack("<iiii", read(sock, 16))
            body = read(sock, length - 16)
            if opcode == OP_QUERY:
                rest = body[body.index(b"\x00", 4) + 1 + 8 :]
                answer = bson.encode(self.answer(bson.decode(rest)))
                head = struct.pack("<iqii", 8, 0, 0, 1)
                send(sock, request, OP_REPLY, head + answer)
            else:
                answer = bson.encode(self.answer(bson.decode(body[5:])), codec_options=CODEC)
                send(sock, request, OP_MSG, struct.pack("<i", 0) + b"\x00" + answer)

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(command))
        self.commands.append(name)
        try:
            reply = getattr(self, f"do_{name.lower()}")(command)
        except AttributeError:
            reply = {"ok": 0, "errmsg": f"no such command: {name}", "code": 59}
        except WireError as error:
            reply = {
                "ok": 0,
                "errmsg": str(error),
                "code": error.code,
                "errorLabels": list(error.labels),
            }
        return {"ok": 1, "operationTime": Timestamp(1_700_000_000, self.ticks + 1), **reply}

    def do_hello(self, command: dict[str, Any]) -> dict[str, Any]:
        me = f"127.0.0.1:{self.port}"
        return {
            "ismaster": True, "isWritablePrimary": True, "helloOk": True, "setName": "rs0", "setVersion": 1,
            "hosts": [me], "me": me, "primary": me, "minWireVersion": 0, "maxWireVersion": 21, "readOnly": False,
            "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000,
        }  # fmt: skip

    do_ismaster = do_hello

    def do_ping(self, command: dict[str, Any]) -> dict[str, Any]:
        return {}

    do_endsessions = do_ping

    def do_killcursors(self, command: dict[str, Any]) -> dict[str, Any]:
        for number in command["cursors"]:
            self.cursors.pop(number, None)
        return {"cursorsKilled": command["cursors"]}

    def do_aggregate(self, command: dict[str, Any]) -> dict[str, Any]:
        if self.refusals:
            raise self.refusals.pop(0)
        stream, match = command["pipeline"]
        wanted = tuple(match["$match"]["operationType"]["$in"])
        asked = stream["$changeStream"]
        behind = asked.get("startAfter") or asked.get("resumeAfter")
        at = self.ticks if behind is None else int(behind["_data"], 16)
        if at < self.oldest:
            text = "Resume of change stream was not possible, as the resume point may no longer be in the oplog."
            raise WireError(286, text, ("NonResumableChangeStreamError",))
        if "startAtOperationTime" in asked:
            at = asked["startAtOperationTime"].inc - 1
        number = next(self.numbers)
        self.cursors[number] = (at, wanted)
        return {
            "cursor": {
                "id": number,
                "ns": "d.c",
                "firstBatch": [],
                "postBatchResumeToken": token(at),
            }
        }

    def do_getmore(self, command: dict[str, Any]) -> dict[str, Any]:
        number = command["getMore"]
        if self.refusals:
            raise self.refusals.pop(0)
        if number not in self.cursors:
            raise WireError(43, "cursor id not found", ("ResumableChangeStreamError",))
        at, wanted = self.cursors[number]
        deadline = time.monotonic() + command.get("maxTimeMS", 100) / 1000
        with self.lock:
            while not (found := [e for e in self.events if e["at"] > at]):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self.lock.wait(left)
            end = self.ticks
        batch = []
        for event in found:
            batch.append(event)
            if event["operationType"] == "invalidate":
                end, number_left = event["at"], 0
                self.cursors.pop(number)
                break
        else:
            number_left = number
            self.cursors[number] = (end, wanted)
        shown = [
            event.get("raw") or {k: v for k, v in event.items() if k != "at"}
            for event in batch
            if event["operationType"] in wanted
        ]
        cursor = {"id": bson.Int64(number_left), "ns": "d.c", "nextBatch": shown}
        return {"cursor": {**cursor, "postBatchResumeToken": token(end)}}


def token(at: int) -> dict[str, str]:
    """A resume token, as opaque as the real ones."""
    return {"_data": f"{at:016x}"}


def raw_event(at: int, document: bytes) -> RawBSONDocument:
    """An insert event whose document is given as BSON bytes, however broken."""
    head = bson.encode({"_id": token(at), "operationType": "insert"})
    member = b"\x03fullDocument\x00" + document
    body = head[4:-1] + member + b"\x00"
    return RawBSONDocument(struct.pack("<i", len(body) + 4) + body)


def read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise OSError
        data += more
    return data


def send(sock: socket.socket, request: int, opcode: int, body: bytes) -> None:
    sock.sendall(struct.pack("<iiii", len(body) + 16, 1, request, opcode) + body)
