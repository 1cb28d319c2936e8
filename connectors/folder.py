"""A drop folder as a lead source: each CSV or JSONL file is read once, then moved to `done/` or `failed/`.

Leads and the place in the file are committed in one transaction, so a crash in the middle neither loses nor doubles
one. A file is known by its name and the SHA-256 of its content.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from connectors.broker import OutgoingRecord
from connectors.folder_names import cut_name, free_path, printable, require_utf8
from connectors.folder_scan import Stamp, StandingFiles, open_plain, stamp_of
from connectors.lead_file import SUFFIXES, FileError, Item, Survey, items, survey
from connectors.lead_source import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Batch, LeadRecords
from connectors.source_ledger import Progress

DONE: Final = "done"
FAILED: Final = "failed"
_KEY_CHARS: Final = 80


@dataclass(slots=True)
class _OpenFile:
    """The file that is being read. `at` and `line` are where the next batch begins."""

    name: str
    stream: BinaryIO
    stamp: Stamp
    survey: Survey
    at: int = 0
    line: int = 1
    is_ended: bool = False
    items: Iterator[Item] = field(default=iter(()))


class FolderSource:
    """Files of `folder`, oldest first, one at a time.

    Args:
        folder: made where it is missing, with `done/` and `failed/` in it.
        records: makes the records.
        settle_seconds: how long a file's size and time must stand still before it is read.
        now_seconds: a monotonic clock.
    """

    idle_seconds = 0.5

    def __init__(
        self,
        folder: Path,
        records: LeadRecords,
        *,
        settle_seconds: float = 2.0,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._records = records
        self._files = StandingFiles(folder, {DONE, FAILED}, settle_seconds, now_seconds)
        self._open: _OpenFile | None = None
        self._progress: Progress = {}
        self._log = structlog.get_logger().bind(source="folder", folder=str(folder))

    def resume(self, progress: Progress) -> None:
        """Go on behind `progress`; a file that was read whole but not moved is only moved."""
        self.close()
        for name in (DONE, FAILED):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._progress = progress

    def read(self) -> Batch | None:
        """Return the next lines of the open file, else of the next one that stands still."""
        if self._open is None:
            if self._progress.get("is_done"):
                self._finish_moved_or_not()
                # An empty progress, so that the same name may come again with the same content.
                return Batch((), {})
            was_half_read = bool(self._progress)
            self._open = self._next_file()
            if was_half_read and not self._progress:
                # The broker forgets it too: the next file of that name is another one.
                self.close()
                return Batch((), {})
        return None if self._open is None else self._batch(self._open)

    def committed(self, batch: Batch) -> None:
        """Take note of where to go on. The file itself is moved at the next read, by what the broker then holds."""
        self._progress = batch.progress
        if batch.progress.get("is_done"):
            self.close()

    def close(self) -> None:
        """Let go of the open file."""
        if self._open is not None:
            self._open.stream.close()
            self._open = None

    # ── choosing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _next_file(self) -> _OpenFile | None:
        standing = self._files.look()
        half_read = self._progress.get("file")
        if half_read is not None:
            if half_read not in self._files.names:
                self._log.error("file.gone", file=half_read, detail=_half(self._progress))
                self._progress = {}
            elif half_read not in standing:
                return None
            else:
                standing = [half_read]
        for name in standing:
            opened = self._opened(name)
            if opened is not None:
                return opened
        return None

    def _opened(self, name: str) -> _OpenFile | None:
        """Open and survey a file; one that cannot be read is put into `failed/`."""
        stream: BinaryIO | None = None
        try:
            kind = _kind_of(name)
            require_utf8(name)
            stream = open_plain(self._folder / name)
            stamp = stamp_of(stream)
            surveyed = survey(stream, kind, self._records)
            opened = _OpenFile(name, stream, stamp, surveyed)
            self._go_on(opened)
            if not surveyed.leads:
                problem = f"{surveyed.refused} lines, none of them a lead"
                self._put_away(name, FAILED, problem, surveyed)
                stream.close()
                return None
        except FileError as error:
            if stream is not None:
                stream.close()
            self._put_away(name, FAILED, str(error), None)
            return None
        except FileNotFoundError:
            return None
        opened.items = items(stream, kind, self._records, start=opened.at, line=opened.line)
        return opened

    def _go_on(self, opened: _OpenFile) -> None:
        if self._progress.get("file") != opened.name:
            return
        if self._progress["sha256"] != opened.survey.sha256:
            detail = f"its content changed. {_half(self._progress)}"
            self._progress = {}
            raise FileError(detail)
        opened.at, opened.line = self._progress["at"], self._progress["line"]

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _batch(self, opened: _OpenFile) -> Batch | None:
        records: list[OutgoingRecord] = []
        size = 0
        for item in opened.items:
            record = self._record(opened, item)
            records.append(record)
            size += len(record.value or b"")
            opened.at, opened.line = item.end, item.next_line
            if len(records) >= MAX_BATCH_RECORDS or size >= MAX_BATCH_BYTES:
                break
        else:
            opened.is_ended = True
        if stamp_of(opened.stream) != opened.stamp:
            # Nothing of this batch is sent; what was sent before stands in the progress.
            problem = f"it was changed while it was read. {_half(self._progress)}"
            self._put_away(opened.name, FAILED, problem, None)
            self.close()
            self._progress = {}
            return Batch((), {})
        progress = {
            "file": opened.name,
            "sha256": opened.survey.sha256,
            "at": opened.at,
            "line": opened.line,
            "is_done": opened.is_ended,
        }
        return Batch(records, progress)

    def _record(self, opened: _OpenFile, item: Item) -> OutgoingRecord:
        stem = "".join(c if c.isprintable() else "-" for c in Path(opened.name).stem)[:_KEY_CHARS]
        key = f"{stem}-{opened.survey.sha256[:8]}-{item.line}"
        if item.value is not None:
            return self._records.lead(key, item.value)
        detail = f"{opened.name}:{item.line}: {item.problem}"
        return self._records.refused(key, item.raw, item.reason, detail)

    # ── putting away ────────────────────────────────────────────────────────────────────────────────────────────────

    def _finish_moved_or_not(self) -> None:
        name, self._progress = self._progress["file"], {**self._progress, "is_done": False}
        path = self._folder / name
        try:
            with open_plain(path) as stream:
                surveyed = survey(stream, _kind_of(name), self._records)
        except (FileNotFoundError, FileError):
            return
        if surveyed.sha256 == self._progress["sha256"]:
            self._put_away(name, DONE, "", surveyed)

    def _put_away(self, name: str, where: str, problem: str, surveyed: Survey | None) -> None:
        target = free_path(self._folder / where / cut_name(name))
        shown = printable(name)
        if problem or (surveyed is not None and surveyed.refused):
            errors = target.with_name(f"{target.name}.errors")
            scratch = errors.with_name(f".{errors.name}.part")
            scratch.write_text(_report(shown, problem, surveyed), encoding="utf-8")
            scratch.replace(errors)
        with suppress(FileNotFoundError):  # somebody took it away; what was sent is sent
            (self._folder / name).rename(target)
        self._files.forget(name)
        told = {"file": shown, "to": f"{where}/{printable(target.name)}"}
        if surveyed is not None:
            told |= {"leads": str(surveyed.leads), "refused": str(surveyed.refused)}
        if where == FAILED:
            self._log.error("file.failed", **told, detail=problem)
        else:
            self._log.info("file.done", **told)


def _kind_of(name: str) -> str:
    kind = SUFFIXES.get(Path(name).suffix.lower())
    if kind is None:
        msg = f"a name must end with one of {', '.join(SUFFIXES)}"
        raise FileError(msg)
    return kind


def _half(progress: Progress) -> str:
    if not progress.get("file"):
        return "Nothing of it was sent; drop it again once it is whole"
    return (
        f"The leads before line {progress['line']} were sent; "
        "drop the rest as a file of its own (a CSV with its header)"
    )


def _report(name: str, problem: str, surveyed: Survey | None) -> str:
    lines = [f"{name}: {problem}"] if problem else []
    if surveyed is not None:
        lines += [f"{name}:{line}: {what}" for line, what in surveyed.problems]
        if surveyed.refused > len(surveyed.problems):
            lines.append(f"{name}: and {surveyed.refused - len(surveyed.problems)} more")
    return "\n".join(lines) + "\n"
