"""Pictures in messages: what is taken is what the bytes are, and nothing else is."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.contracts.chat import ChatImage
from signalbox.contracts.image import (
    MAX_DATA_URI_CHARS,
    MAX_IMAGE_BYTES,
    ImageError,
    data_uri,
    image_of,
    image_of_data_uri,
)

BEGINNINGS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/webp": b"RIFF\x00\x00\x00\x00WEBP",
    "image/gif": b"GIF89a",
}


@pytest.mark.parametrize("media_type", BEGINNINGS)
def test_picture_survives_the_way_through_a_message(media_type: str) -> None:
    """What is written as a data URI is read back as the same picture."""
    image = ChatImage(BEGINNINGS[media_type] + bytes(range(256)), media_type)

    assert image_of_data_uri(data_uri(image)) == image == image_of(image.data)


def test_largest_picture_fits_the_bound_of_its_text() -> None:
    """The bound on bytes and the bound on characters are one bound."""
    largest = ChatImage(BEGINNINGS["image/jpeg"].ljust(MAX_IMAGE_BYTES, b"x"), "image/jpeg")

    assert image_of_data_uri(data_uri(largest)) == largest
    assert len(data_uri(largest)) <= MAX_DATA_URI_CHARS


def _uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


PNG = BEGINNINGS["image/png"]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "is no image; write data:image/png;base64"),
        ("/etc/passwd", "is no image"),
        ("file:///etc/passwd", "is no image"),
        ("data:image/png,x", "is no image"),
        ("data:image/png;base64,@@@@", "base64 is damaged"),
        ("data:image/png;base64,iVBORw0KGgo", "base64 is damaged"),
        ("data:image/png;base64,", "is empty is no image"),
        (_uri(b"GIF89a"), "said to be image/png and is image/gif"),
        (_uri(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), "is no image that is taken"),
        (_uri(b"%PDF-1.7"), "begins with 25 50 44 46"),
        (_uri(b"BM" + bytes(60)), "is no image that is taken"),
        (_uri(PNG.ljust(MAX_IMAGE_BYTES + 1, b"x")), f"at most {MAX_IMAGE_BYTES}"),
        ("data:image/png;base64," + "A" * 300_000, f"at most {MAX_IMAGE_BYTES}"),
        (" " + _uri(PNG), "is no image"),
        (_uri(PNG) + "\n", "base64 is damaged"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_and_says_why(uri: str, said: str) -> None:
    """Paths, other kinds, damaged, mislabelled, empty, too large: each has its own words."""
    with pytest.raises(ImageError, match=said):
        image_of_data_uri(uri)


def test_jpg_is_another_word_for_jpeg() -> None:
    """Senders write it often enough."""
    jpeg = BEGINNINGS["image/jpeg"]

    assert image_of_data_uri(_uri(jpeg, "image/jpg")) == ChatImage(jpeg, "image/jpeg")


@given(st.text(max_size=300) | st.binary(max_size=300).map(_uri))
def test_any_text_is_a_picture_or_refused(text: str) -> None:
    """Nothing but `ImageError` comes out, whatever comes in, and the error shows little of it."""
    said = ""
    try:
        image_of_data_uri(text)
    except ImageError as error:
        said = str(error)

    assert len(said) < 400
