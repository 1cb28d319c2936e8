"""A picture that came with a message: a `data:` URI in its data, judged by its own first bytes. Pure; nothing is decoded here.

Read by the agents that look at pictures, written by the command line. What a sender says about a picture counts for nothing:
its kind is what its bytes are.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import ClassVar, Final

from signalbox.contracts.chat import ChatImage
from signalbox.errors import SignalboxError

MAX_IMAGE_BYTES: Final = 180 * 1024
"""Decoded. Written as base64 it leaves room for the words in a message of 256 KiB."""
MAX_DATA_URI_CHARS: Final = 4 * (MAX_IMAGE_BYTES + 2) // 3 + 64

_DATA_URI: Final = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,", re.ASCII)
_KINDS: Final = "png, jpeg, webp or gif"
_ALIASES: Final = {"image/jpg": "image/jpeg"}


class ImageError(SignalboxError):
    """A picture cannot be used; the message says why, and may stand in a dead letter."""

    code: ClassVar[str] = "SB-090"


def image_of(data: bytes) -> ChatImage:
    """Return the picture in a file's bytes.

    Raises:
        ImageError: it is empty, larger than `MAX_IMAGE_BYTES`, or none of the kinds that are taken.
    """
    if len(data) > MAX_IMAGE_BYTES:
        msg = f"an image of {len(data)} bytes; at most {MAX_IMAGE_BYTES} are taken: make it smaller"
        raise ImageError(msg)
    return ChatImage(data, media_type_of(data))


def media_type_of(data: bytes) -> str:
    """Return what the first bytes say that a file is.

    Raises:
        ImageError: none of the kinds that are taken.

    Source: PNG §5.2, JPEG T.81 B.1.1.3 (SOI and the next marker), WebP container, GIF89a §17.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    what = f"begins with {data[:8].hex(' ')}" if data else "is empty"
    msg = f"a file that {what} is no image that is taken; {_KINDS} is"
    raise ImageError(msg)


def image_of_data_uri(uri: str) -> ChatImage:
    """Return the picture in a `data:` URI.

    Raises:
        ImageError: it is no base64 `data:` URI, too large, no image that is taken, or another kind than the URI says.

    Source: RFC 2397, with base64 only.
    """
    if len(uri) > MAX_DATA_URI_CHARS:
        msg = f"an image of {len(uri)} characters; at most {MAX_IMAGE_BYTES} bytes are taken: make it smaller"
        raise ImageError(msg)
    head = _DATA_URI.match(uri)
    if head is None:
        msg = f"{uri[:40]!r} is no image; write data:image/png;base64,… with a {_KINDS}"
        raise ImageError(msg)
    try:
        data = base64.b64decode(uri[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        msg = "an image whose base64 is damaged; send the file again"
        raise ImageError(msg) from None
    image = image_of(data)
    if image.media_type != _ALIASES.get(head[1], head[1]):
        msg = f"an image that is said to be {head[1]} and is {image.media_type}; name what it is"
        raise ImageError(msg)
    return image


def data_uri(image: ChatImage) -> str:
    """Return `image` as a `data:` URI, as it may stand in a message and as servers take it."""
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode('ascii')}"
