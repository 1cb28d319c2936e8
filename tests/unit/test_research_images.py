"""Pictures in the research fleet: what is certain is measured, a model that sees describes, and no bad file gets further."""

from __future__ import annotations

import asyncio
import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agents.research import image_facts
from agents.research.image_analyst import describe_image
from agents.research.image_facts import MAX_PIXELS, measure
from agents.result import HandlerResult, Reply, Terminal
from agents.task import Context
from connectors.chat_model import ChatModel
from connectors.scripted_model import ScriptedChatModel
from connectors.website import WebsiteError, WebsiteImage
from signalbox.contracts.chat import ChatImage
from signalbox.contracts.image import MAX_IMAGE_BYTES, ImageError, data_uri, image_of
from signalbox.definitions.loader import load_fleet
from signalbox.errors import ImagesRefusedError, RetryableError, TerminalError
from tests.support.crew import DEFINITIONS
from tests.support.tasks import context_of, task_of

OUTPUT = load_fleet(DEFINITIONS / "research").agents["image_analyst"].output.contract
DESCRIBED = {"under_test": {"description": "A red square."}}


def encoded(
    form: str = "PNG", mode: str = "RGB", colour: Any = (200, 30, 30), **more: Any
) -> bytes:
    """A picture of one colour."""
    size = more.pop("size", (40, 30))
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, form, **more)
    return file.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says how large it is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def webp_claiming(width: int, height: int) -> bytes:
    """A WebP file whose head says how large its canvas is, and that has nothing on it."""
    body = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


class Websites:
    """Websites that have one picture, or an error."""

    def __init__(self, found: bytes | Exception) -> None:
        self.found = found
        self.asked: list[tuple[str, int]] = []

    async def read_image(self, url: str, *, max_bytes: int) -> WebsiteImage:
        self.asked.append((url, max_bytes))
        if isinstance(self.found, Exception):
            raise self.found
        return WebsiteImage(url, self.found)


def described(
    image: str | None, model: ChatModel | None = None, websites: Websites | None = None
) -> HandlerResult:
    """Let the image analyst handle one task."""
    data = {"prompt": "What is this?", "task": "Describe it.", "results": {}, "image": image}
    context = context_of(Path("/nonexistent"), model)
    fields = {name: getattr(context, name) for name in Context.__slots__}
    context = Context(**{**fields, "websites": websites})
    return asyncio.run(describe_image(task_of(data), context))


def answer(*arguments: Any, **more: Any) -> dict[str, Any]:
    """What it answers; the contract holds."""
    result = described(*arguments, **more)
    assert isinstance(result, Reply), result
    assert OUTPUT.violations(dict(result.data)) == ()
    return dict(result.data)


RED = data_uri(image_of(encoded()))

# --- facts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(), ("image/png", "#c81e1e", False, False)),
        (encoded("WEBP", lossless=True), ("image/webp", "#c81e1e", False, False)),
        (encoded("GIF"), ("image/gif", "#c81e1e", False, False)),
        (encoded(mode="L", colour=77), ("image/png", "#4d4d4d", False, True)),
        (encoded(mode="I;16", colour=40000), ("image/png", "#9b9b9b", False, True)),
        (encoded(mode="1", colour=1), ("image/png", "#ffffff", False, True)),
        (encoded(mode="RGBA", colour=(0, 0, 0, 128)), ("image/png", "#7f7f7f", True, True)),
    ],
)
def test_facts_are_those_of_the_picture(data: bytes, expected: tuple[Any, ...]) -> None:
    """Kind, size, colours, transparency, of every kind of file and of pixel."""
    facts = measure(image_of(data))

    assert (facts.media_type, facts.mean_colour, facts.has_transparency, facts.is_grey) == expected
    assert (facts.width, facts.height, facts.bytes, facts.frames) == (40, 30, len(data), 1)
    assert "40 × 30 pixels" in facts.sentence()


def test_jpeg_is_measured_as_near_as_it_keeps_its_colours() -> None:
    """JPEG changes colours a little; a red picture stays red."""
    facts = measure(image_of(encoded("JPEG")))

    red, green, blue = bytes.fromhex(facts.mean_colour[1:])
    assert abs(red - 200) < 8 > abs(green - 30)
    assert abs(blue - 30) < 8


def test_animation_counts_its_frames_and_its_first_is_measured() -> None:
    """What moves is said."""
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue", "green")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    facts = measure(image_of(file.getvalue()))

    assert (facts.frames, facts.mean_colour) == (3, "#ff0000")
    assert "3 frames" in facts.sentence()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (claiming(60_000, 60_000), "pixels; make it smaller"),
        (claiming(4097, 4096), f"between 1 and {MAX_PIXELS}"),
        (claiming(4096, 4096), "cannot be decoded"),
        (claiming(0, 5), "cannot be decoded"),
        (webp_claiming(16_000, 16_000), "16000 × 16000 pixels"),
        (webp_claiming(16, 16), "cannot be decoded"),
        (b"RIFF\x00\x00\x00\x00WEBP", "no picture in it"),
        (b"\x89PNG\r\n\x1a\n", "cannot be decoded"),
        (b"GIF89a", "cannot be decoded"),
        (b"\xff\xd8\xff", "cannot be decoded"),
        (encoded(size=(300, 300))[:80], "cannot be decoded"),
        (encoded("JPEG", size=(300, 300))[:300], "cannot be decoded"),
        (b"GIF89a" + encoded()[6:], "make it smaller|cannot be decoded"),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else "",
)
def test_bad_picture_is_an_error_of_one_kind(data: bytes, said: str) -> None:
    """Bombs before they are decoded; cut, empty, lying files with what to do."""
    with pytest.raises(ImageError, match=said):
        measure(image_of(data))


def test_bomb_in_webp_is_refused_before_its_decoder_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pillow would make room for the whole canvas as soon as the file is opened."""

    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("the decoder was asked")

    monkeypatch.setattr(Image, "open", opened)
    with pytest.raises(ImageError, match="make it smaller"):
        measure(image_of(webp_claiming(16_000, 16_000)))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_size_in_a_webp_head_is_the_pictures_own(mode: str, lossless: bool) -> None:
    """Each of the three kinds of WebP says its size elsewhere."""
    colour = (9, 8, 7) if mode == "RGB" else (9, 8, 7, 100)
    data = encoded("WEBP", mode, colour, size=(123, 45), lossless=lossless)

    assert image_facts._webp_size(data) == (123, 45)


def test_missing_pillow_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the task ends with what to install."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    image_facts._pillow.cache_clear()
    result = described(RED)
    image_facts._pillow.cache_clear()

    assert isinstance(result, Terminal)
    assert "pip install 'signalbox[charts]'" in result.detail


# --- the agent --------------------------------------------------------------------------------------------------------


def test_without_a_model_the_description_is_what_was_measured() -> None:
    """Nobody looked, and it says so."""
    found = answer(RED)

    assert "PNG, 40 × 30 pixels" in found["description"]
    assert found["note"] == "No model was asked. Nobody looked at the image."
    assert found["written_by"] == "embedded"
    assert found["facts"]["mean_colour"] == "#c81e1e"


def test_model_that_sees_is_shown_the_picture_and_describes_it() -> None:
    """It gets the bytes that came, and what was measured besides."""
    model = ScriptedChatModel(DESCRIBED, name="ollama/sees")
    found = answer(RED, model)

    assert (found["description"], found["written_by"]) == ("A red square.", "ollama/sees")
    (request,) = model.requests
    assert request.images == (ChatImage(encoded(), "image/png"),)
    assert "40 × 30 pixels" in request.user


def test_model_that_takes_no_pictures_leaves_what_was_measured() -> None:
    """The answer is honest about who did not look, and why; it is not the model's."""
    refusal = ImagesRefusedError("ollama/blind sees no pictures")
    found = answer(RED, ScriptedChatModel(lambda _: refusal, name="ollama/blind"))

    assert "PNG, 40 × 30 pixels" in found["description"]
    assert found["note"] == "Nobody looked at the image: ollama/blind sees no pictures"
    assert found["written_by"] == "measured"


@pytest.mark.parametrize(
    "error",
    [RetryableError("busy"), TerminalError("wrong key", reason="model_failed")],
    ids=["busy", "wrong key"],
)
def test_other_failures_of_a_model_are_failures(error: Exception) -> None:
    """A wrong key is not told as if the model were blind."""
    with pytest.raises(type(error)):
        described(RED, ScriptedChatModel(lambda _: error, name="ollama/x"))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, "none came with the request"),
        ("/etc/passwd", "is no image"),
        ("file:///etc/passwd", "is no image"),
        ("ftp://example.org/x.png", "is no image"),
        ("data:image/png;base64,AAAA", "begins with 00 00 00"),
        (data_uri(ChatImage(claiming(60_000, 60_000), "image/png")), "make it smaller"),
        (data_uri(ChatImage(encoded("GIF"), "image/png")), "said to be image/png and is image/gif"),
    ],
)
def test_bad_image_ends_the_task_with_the_reason(image: str | None, said: str) -> None:
    """No path is ever opened, and what cannot be read is not passed on to a model."""
    model = ScriptedChatModel(DESCRIBED, name="ollama/sees")
    result = described(image, model)

    assert isinstance(result, Terminal)
    assert result.reason == "handler_failed"
    assert said in result.detail
    assert model.requests == []


def test_address_is_read_through_the_websites_and_only_as_large_as_an_image_may_be() -> None:
    """The one way out that there is; the picture is judged by its bytes like any other."""
    websites = Websites(encoded())

    assert answer("https://example.org/a.png", websites=websites)["facts"]["width"] == 40
    assert websites.asked == [("https://example.org/a.png", MAX_IMAGE_BYTES)]


@pytest.mark.parametrize(
    ("websites", "said"),
    [
        (None, "SIGNALBOX_WEBSITE__FETCH"),
        (Websites(WebsiteError("10.0.0.1 is not a public address")), "not a public address"),
        (Websites(b"<html>"), "is no image that is taken"),
        (Websites(claiming(60_000, 60_000)), "make it smaller"),
    ],
)
def test_bad_address_ends_the_task_with_the_reason(websites: Websites | None, said: str) -> None:
    """Switched off, private, a page, a bomb."""
    result = described("http://example.org/a.png", websites=websites)

    assert isinstance(result, Terminal)
    assert said in result.detail
