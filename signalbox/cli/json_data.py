"""A JSON object that a person gives a command: written out, in a file, or piped in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from signalbox.errors import UsageError


def read_object(text: str, name: str) -> dict[str, Any]:
    """Return the object that `text` is or names: JSON, `@FILE`, or `-` for standard input. `name` is what errors call it.

    Raises:
        UsageError: it cannot be read, is no JSON, or no object.
    """
    try:
        found = orjson.loads(_raw(text))
    except OSError as error:
        msg = f"{name} {text}: {error.strerror}; name a file that can be read"
        raise UsageError(msg) from None
    except orjson.JSONDecodeError as error:
        msg = f"{name} is not JSON: {error}; write an object, like '{{\"lead\": {{}}}}'"
        raise UsageError(msg) from None
    if not isinstance(found, dict):
        msg = f"{name} is a JSON {type(found).__name__}; a message's data is an object"
        raise UsageError(msg)
    return found


def _raw(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    return Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
