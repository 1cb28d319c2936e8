"""What may come on `incoming_leads`: leads as they should be, and everything else that somebody once sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Fate = Literal["message", "malformed_json", "payload_too_large"]

ADMITTED: Final = 256 * 1024


@dataclass(frozen=True)
class Case:
    """One record of `incoming_leads` and where it must end: as a message, or as a dead letter with this reason."""

    name: str
    value: bytes | None
    fate: Fate
    key: str | None = None


def nested(depth: int) -> bytes:
    """An object in an object in an object …"""
    return b'{"a":' * depth + b"1" + b"}" * depth


CASES: Final = (
    Case("a lead", b'{"name":"Ada","email":"ada@example.org"}', "message", "lead-ada"),
    Case("a lead without a key", b'{"name":"Bo"}', "message"),
    Case("no fields", b"{}", "message"),
    Case("other languages", '{"名":"日本 😀"}'.encode(), "message", "größe"),
    Case("spaces around", b' \n{"a":1}\n ', "message"),
    Case("exact numbers", b'{"a":123456789012345678901234567890,"b":0.10}', "message"),
    Case("the deepest that is admitted later", nested(60), "message"),
    Case("deeper than the parser takes with its envelope", nested(995), "malformed_json"),
    Case("ten thousand levels", nested(10_000), "malformed_json"),
    Case("a megabyte of brackets", b"[" * 1_000_000, "payload_too_large"),
    Case("nothing", b"", "malformed_json"),
    Case("null", b"null", "malformed_json"),
    Case("a tombstone", None, "malformed_json", "gone"),
    Case("a list", b'[{"name":"Ada"}]', "malformed_json"),
    Case("a string", b'"name"', "malformed_json"),
    Case("not JSON", b"name=Ada", "malformed_json"),
    Case("cut off", b'{"name":"Ad', "malformed_json"),
    Case("text behind it", b'{"a":1} and more', "malformed_json"),
    Case("two objects", b'{"a":1}{"b":2}', "malformed_json"),
    Case("two objects as a list has them", b'{"a":1},{"b":2}', "malformed_json"),
    Case("two objects and closing brackets", b'{"a":1}]]]]]]]] x', "malformed_json"),
    Case(
        "an end that is not the end", b'{"a":1}},"target":"send_email","x":{"y":1', "malformed_json"
    ),
    Case("a control character", b'{"a":"\x01"}', "malformed_json"),
    Case("Latin-1", '{"name":"José"}'.encode("latin-1"), "malformed_json"),
    Case("UTF-16", '{"name":"Ada"}'.encode("utf-16"), "malformed_json"),
    Case("a byte order mark", b'\xef\xbb\xbf{"a":1}', "malformed_json"),
    Case("a byte that is none of UTF-8's", b"\xff" * 5, "malformed_json"),
    Case("a number of 2,000 digits", b'{"a":' + b"1" * 2000 + b"}", "malformed_json"),
    Case("too large", b'{"a":"' + b"x" * ADMITTED + b'"}', "payload_too_large"),
    Case(
        "too large with its envelope",
        b'{"a":"' + b"x" * (ADMITTED - 100) + b'"}',
        "payload_too_large",
    ),
    Case("the largest", b'{"a":"' + b"x" * (ADMITTED - 1000) + b'"}', "message"),
    Case("larger than a dead letter keeps", b'"' + "é".encode() * 300_000, "payload_too_large"),
    Case("large and six times as large in JSON", b"\x01" * 600_000, "payload_too_large"),
    Case("large and not text", b"\xfe" * 700_000, "payload_too_large"),
    Case("a key that is too long", b'{"a":1}', "message", "k" * 257),
    Case("a key with a line break", b'{"a":1}', "message", "a\nb"),
    Case("an empty key", b'{"a":1}', "message", ""),
    Case("a key that was not UTF-8", b'{"a":1}', "message", "a\ufffdb"),
    Case("a large key", b"{", "malformed_json", "k" * 10_000),
)
