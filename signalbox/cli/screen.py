"""Styled lines on a terminal; plain ones where stdout is none, or where NO_COLOR is set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and the style a terminal shows it in."""

    text: str
    style: str = ""


def show_lines(lines: Iterable[Line]) -> None:
    """Print lines to stdout. Records come from outside, so no text is read as markup or as terminal control."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for line in lines:
        console.print(Text(printable(line.text), style=line.style))


def terminal_width() -> int:
    """Return how many characters fit on a line: the terminal's, else COLUMNS, else 80."""
    return Console().width


def printable(text: str) -> str:
    """Return `text` with control characters replaced, so that a record cannot drive the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text)


def counted(number: int, noun: str) -> str:
    """Return `1 error`, `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
