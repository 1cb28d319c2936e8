"""What can be known of a picture for certain, without anybody looking at it: size, colours, frames. Pillow reads it.

Bounded before anything is decoded: a file of a few bytes may say that it has a billion pixels.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from signalbox.contracts.chat import ChatImage
from signalbox.contracts.image import ImageError
from signalbox.errors import ConfigurationError

MAX_PIXELS: Final = 4096 * 4096
_FORMATS: Final = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
}
_SAMPLE: Final = (64, 64)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Width and height are pixels; `brightness_percent` is 0 for black, 100 for white; colours are those on white."""

    media_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    frames: int
    has_transparency: bool
    is_grey: bool
    mean_colour: str
    brightness_percent: int

    def sentence(self) -> str:
        """Return the facts as a sentence."""
        kind = self.media_type.removeprefix("image/").upper()
        parts = [f"{kind}, {self.width} × {self.height} pixels, {self.bytes} bytes"]
        if self.frames > 1:
            parts.append(f"{self.frames} frames, of which the first is measured")
        if self.has_transparency:
            parts.append("partly transparent")
        tone = "shades of grey" if self.is_grey else "in colour"
        parts.append(
            f"{tone}, on average {self.mean_colour}, brightness {self.brightness_percent} %"
        )
        return "; ".join(parts) + "."


def measure(image: ChatImage) -> ImageFacts:
    """Return what is certain about `image`. Decodes its first frame; call it in a thread.

    Raises:
        ImageError: it is damaged, or has more than `MAX_PIXELS`.
        ConfigurationError: Pillow is not installed.
    """
    pillow = _pillow()
    if image.media_type == "image/webp":
        # Its decoder makes room for the whole canvas when the file is opened.
        _check_size(*_webp_size(image.data))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            opened = pillow.open(io.BytesIO(image.data), formats=(_FORMATS[image.media_type],))
            width, height = opened.size
            _check_size(width, height)
            return _measured(image, opened)
    except ImageError:
        raise
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
        msg = f"an image of far more than {MAX_PIXELS} pixels; make it smaller"
        raise ImageError(msg) from None
    except Exception as error:  # what decoders raise is as various as what can be wrong with a file
        msg = f"an image that cannot be decoded as {image.media_type} ({type(error).__name__}); send the file again"
        raise ImageError(msg) from error


@lru_cache(maxsize=1)
def _pillow() -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 (slow to import, and an extra)
    except ImportError as error:
        msg = "images are measured by Pillow, which is not installed here; pip install 'signalbox[charts]'"
        raise ConfigurationError(msg) from error
    return Image


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or not width or not height:
        msg = f"an image of {width} × {height} pixels; between 1 and {MAX_PIXELS} are taken: make it smaller"
        raise ImageError(msg)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return the canvas that a WebP file says it has. Source: WebP container specification; RFC 6386 §9.1; WebP lossless §3."""
    kind, body = data[12:16], data[20:30]
    if len(body) == 10 and kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if len(body) == 10 and kind == b"VP8 ":
        return (
            int.from_bytes(body[6:8], "little") & 0x3FFF,
            int.from_bytes(body[8:10], "little") & 0x3FFF,
        )
    if len(body) >= 5 and kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    msg = "an image that cannot be decoded as image/webp (no picture in it); send the file again"
    raise ImageError(msg)


def _eight_bit(opened: Any) -> Any:
    # Grey of 16 bits would be cut to white, not scaled.
    if not opened.mode.startswith("I"):
        return opened
    return opened.convert("I").point(lambda value: value * (1 / 257)).convert("L")


def _measured(image: ChatImage, opened: Any) -> ImageFacts:
    pillow = _pillow()
    width, height = opened.size
    frames = int(getattr(opened, "n_frames", 1))
    opened.seek(0)
    opened.draft("RGB", _SAMPLE)
    rgba = _eight_bit(opened).convert("RGBA")
    has_transparency = rgba.getextrema()[3][0] < 255
    white = pillow.new("RGBA", rgba.size, "white")
    flat = pillow.alpha_composite(white, rgba).convert("RGB")
    red, green, blue = flat.resize((1, 1), pillow.Resampling.BOX).getpixel((0, 0))
    small = flat.resize(_SAMPLE, pillow.Resampling.BOX)
    is_grey = all(max(colour) - min(colour) <= 2 for _, colour in small.getcolors(maxcolors=4096))
    return ImageFacts(
        media_type=image.media_type,
        width=width,
        height=height,
        bytes=len(image.data),
        sha256=hashlib.sha256(image.data).hexdigest(),
        frames=frames,
        has_transparency=has_transparency,
        is_grey=is_grey,
        mean_colour=f"#{red:02x}{green:02x}{blue:02x}",
        brightness_percent=round((0.2126 * red + 0.7152 * green + 0.0722 * blue) / 2.55),
    )
