"""One file of leads, CSV or JSONL: read line by line from any place on, judged, never held whole.

Pure but for the open file it is given: the same bytes give the same items, so a file can be gone on with after a
crash, and its errors can be told at its end.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import orjson

from connectors.lead_source import LeadRecords
from signalbox.contracts.dead_letter import DeadLetterReason
from signalbox.topics import MAX_ADMITTED_BYTES

SUFFIXES: Final[Mapping[str, str]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
MAX_RECORD_BYTES: Final = MAX_ADMITTED_BYTES
"""What is longer would not be admitted anyway; it is skipped, not read into memory."""

MAX_LISTED: Final = 1000
_KEPT_BYTES: Final = 4096
_CHUNK_BYTES: Final = 64 * 1024
_DELIMITERS: Final = ",;\t"


class FileError(ValueError):
    """The file as a whole cannot be read; nothing of it was sent."""


@dataclass(frozen=True, slots=True)
class Item:
    """One lead or one bad line, from `line` (counted from 1); the next one begins at byte `end`, line `next_line`."""

    line: int
    end: int
    next_line: int
    value: bytes | None
    raw: bytes = b""
    problem: str = ""
    reason: DeadLetterReason = "malformed_json"


@dataclass(frozen=True, slots=True)
class Survey:
    """A whole file before anything of it is sent. `problems` are the first ones as (line, what)."""

    sha256: str
    leads: int
    refused: int
    problems: tuple[tuple[int, str], ...]


def survey(file: BinaryIO, kind: str, records: LeadRecords) -> Survey:
    """Read `file` once from its beginning.

    Raises:
        FileError: not UTF-8, naming the byte; no header, or one with a column twice; no lead at all.
    """
    digest = _checked_encoding(file)
    leads = refused = 0
    problems: list[tuple[int, str]] = []
    for item in items(file, kind, records):
        if item.value is not None:
            leads += 1
            continue
        refused += 1
        if len(problems) < MAX_LISTED:
            problems.append((item.line, item.problem))
    if not leads and not refused:
        msg = "no lead in it"
        raise FileError(msg)
    return Survey(digest, leads, refused, tuple(problems))


def items(
    file: BinaryIO, kind: str, records: LeadRecords, *, start: int = 0, line: int = 1
) -> Iterator[Item]:
    """Yield what stands in `file` from byte `start` (its line is `line`) on; blank lines are skipped.

    Raises:
        FileError: a CSV without a usable header.
    """
    lines = _Lines(file)
    lines.seek(0, 1)
    if kind == "jsonl":
        lines.seek(start or lines.begin, line)
        yield from _jsonl(lines, records)
        return
    yield from _csv(lines, records, start, line)


class _Lines:
    """Lines as bytes, with the place of the next one; of an overlong line only the beginning is kept."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        self.begin = 3 if file.read(3) == codecs.BOM_UTF8 else 0
        self.at = self.begin
        self.number = 1

    def seek(self, at: int, number: int) -> None:
        """Go to byte `at`, where line `number` begins."""
        self.at = max(at, self.begin)
        self.number = number
        self._file.seek(self.at)

    def next(self) -> tuple[bytes, int]:
        """Return the next line and its whole length in bytes; empty at the end."""
        line = self._file.readline(MAX_RECORD_BYTES + 1)
        length = len(line)
        while line and not line.endswith(b"\n") and (more := self._file.readline(_CHUNK_BYTES)):
            length += len(more)
            if more.endswith(b"\n"):
                break
        self.at += length
        self.number += 1
        return line, length


def _jsonl(lines: _Lines, records: LeadRecords) -> Iterator[Item]:
    while True:
        number = lines.number
        line, length = lines.next()
        if not line:
            return
        text = line.strip()
        if not text:
            continue
        place = (number, lines.at, lines.number)
        if length > MAX_RECORD_BYTES:
            yield _too_long(place, line, length)
            continue
        value, problem = _lead_of(text, records)
        yield Item(*place, value, b"" if value else text, problem)


def _lead_of(text: bytes, records: LeadRecords) -> tuple[bytes | None, str]:
    try:
        lead = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return None, f"no JSON: {error.msg} at column {error.colno}"
    if not isinstance(lead, dict):
        return None, 'no JSON object; write one lead a line as {"name": …, "email": …}'
    # Unless a field is renamed the bytes stay as they are: numbers keep every digit.
    if lead.keys() & records.rename.keys():
        return orjson.dumps(records.renamed(lead)), ""
    return text, ""


def _csv(lines: _Lines, records: LeadRecords, start: int, line: int) -> Iterator[Item]:
    # Python's own limit is half of ours. It counts for the whole process, which reads nothing else as CSV.
    csv.field_size_limit(MAX_RECORD_BYTES)
    lines.seek(0, 1)
    header, delimiter = _header(lines)
    if start > lines.at:
        lines.seek(start, line)
    while True:
        begin, number = lines.at, lines.number
        record = _Record(lines)
        try:
            row = next(csv.reader(record, delimiter=delimiter, strict=True), None)
        except (csv.Error, _RecordTooLongError) as error:
            yield _broken(lines, begin, number, record.first, str(error))
            continue
        if row is None:
            return
        if not any(cell.strip() for cell in row):
            continue
        place = (number, lines.at, lines.number)
        if len(row) != len(header):
            problem = f"{len(row)} fields; the header has {len(header)}"
            yield Item(*place, None, record.first[:_KEPT_BYTES], problem)
            continue
        lead = dict(zip(header, row, strict=True))
        yield Item(*place, orjson.dumps(records.renamed(lead)))


class _RecordTooLongError(ValueError):
    pass


class _Record:
    """The lines of one CSV record, as csv.reader asks for them; a quote that never closes ends at the limit."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._length = 0
        self.first = b""

    def __iter__(self) -> _Record:
        return self

    def __next__(self) -> str:
        line, length = self._lines.next()
        if not line:
            raise StopIteration
        self.first = self.first or line
        self._length += length
        if self._length > MAX_RECORD_BYTES:
            msg = (
                f"more than {MAX_RECORD_BYTES} bytes, or a quote that is opened here and not closed"
            )
            raise _RecordTooLongError(msg)
        return line.decode("utf-8")


def _broken(lines: _Lines, begin: int, number: int, first: bytes, problem: str) -> Item:
    """Refuse the line that a record began with, and go on behind that line, not behind all that the quote took."""
    lines.seek(begin, number)
    _, length = lines.next()
    if length > MAX_RECORD_BYTES:
        return _too_long((number, lines.at, lines.number), first, length)
    return Item(number, lines.at, lines.number, None, first[:_KEPT_BYTES], problem)


def _too_long(place: tuple[int, int, int], beginning: bytes, length: int) -> Item:
    problem = f"{length} bytes; at most {MAX_RECORD_BYTES} are read"
    return Item(*place, None, beginning[:_KEPT_BYTES], problem, "payload_too_large")


def _header(lines: _Lines) -> tuple[list[str], str]:
    line, length = lines.next()
    if length > MAX_RECORD_BYTES:
        msg = f"line 1 has {length} bytes; a header of column names belongs there"
        raise FileError(msg)
    text = line.decode("utf-8")
    if "\r" in text.rstrip("\r\n"):
        msg = "its lines end with CR alone; save it with line ends LF or CRLF"
        raise FileError(msg)
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        names = [
            name.strip() for name in next(csv.reader([text], delimiter=delimiter, strict=True), [])
        ]
    except csv.Error as error:
        msg = f"line 1 is no header: {error}"
        raise FileError(msg) from None
    if not names or "" in names or len(set(names)) < len(names):
        msg = f"line 1 is no header: {names!r}; every column needs a name of its own, like name,email,company_name"
        raise FileError(msg)
    return names, delimiter


def _checked_encoding(file: BinaryIO) -> str:
    """Return the SHA-256 of `file`. Raises FileError at the first byte that is not UTF-8."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    at = newlines = 0
    file.seek(0)
    while True:
        chunk = file.read(_CHUNK_BYTES)
        if at == 0 and chunk[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            msg = "UTF-16 from byte 0 on; save it as UTF-8"
            raise FileError(msg)
        pending = decoder.getstate()[0]
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            place = at - len(pending) + error.start
            line = newlines + (pending + chunk)[: error.start].count(b"\n") + 1
            wrong = (pending + chunk)[error.start]
            msg = (
                f"byte {place} (line {line}) is 0x{wrong:02X}, which is not UTF-8; save it as UTF-8"
            )
            raise FileError(msg) from None
        if not chunk:
            return digest.hexdigest()
        digest.update(chunk)
        newlines += chunk.count(b"\n")
        at += len(chunk)
