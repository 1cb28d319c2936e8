"""What a page says about itself: title, description, first paragraphs; as plain, bounded, printable text."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final

MAX_TITLE_CHARS: Final = 200
MAX_DESCRIPTION_CHARS: Final = 500
MAX_TEXT_CHARS: Final = 2000

_SILENT: Final = frozenset({"script", "style", "noscript", "template", "svg"})
_CHARSETS: Final = (
    "utf",
    "ascii",
    "iso8859",
    "cp",
    "koi8",
    "shift_jis",
    "euc",
    "gb",
    "big5",
    "mac",
)
_SPOKEN: Final = frozenset({"p", "h1", "h2"})


@dataclass(frozen=True, slots=True)
class WebsiteText:
    """Each is empty where the page has none."""

    title: str
    description: str
    text: str


def text_of(body: bytes, charset: str | None, *, is_html: bool) -> WebsiteText:
    """Return what `body` says; bytes that are no text of its charset become replacement characters."""
    page = body.decode(_known(charset), "replace")
    if not is_html:
        return WebsiteText("", "", _plain(page, MAX_TEXT_CHARS))
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return WebsiteText(
        _plain(" ".join(reader.title), MAX_TITLE_CHARS),
        _plain(reader.description, MAX_DESCRIPTION_CHARS),
        _plain(" ".join(reader.spoken), MAX_TEXT_CHARS),
    )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.spoken: list[str] = []
        self.description = ""
        self._spoken_chars = 0
        self._inside = ""
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag == "meta":
            self._take_meta(dict(attrs))
        elif tag == "title" or tag in _SPOKEN:
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._silent or not self._inside:
            return
        if self._inside == "title":
            self.title.append(data[:MAX_TITLE_CHARS])
        elif self._spoken_chars < MAX_TEXT_CHARS:
            self._spoken_chars += len(data)
            self.spoken.append(data[:MAX_TEXT_CHARS])

    def _take_meta(self, attributes: dict[str, str | None]) -> None:
        name = (attributes.get("name") or attributes.get("property") or "").lower()
        if name in {"description", "og:description"} and not self.description:
            self.description = attributes.get("content") or ""


def _known(charset: str | None) -> str:
    try:
        name = codecs.lookup(charset).name if charset else "utf-8"
    except LookupError:
        return "utf-8"
    # Python's codecs include some that are no character sets (punycode, zlib), and slow.
    return name if name.startswith(_CHARSETS) else "utf-8"


def _plain(text: str, limit: int) -> str:
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * limit])
    return " ".join(printable.split())[:limit]
