"""The drop folder: every lead once whatever happens, every bad line named, no file taken before it is whole."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import lead_file
from connectors.folder import FolderSource
from connectors.lead_source import Batch
from connectors.memory import MemoryBroker
from connectors.source_ledger import SourceLedger
from tests.support.sources import (
    Crash,
    CutLedger,
    dead_letters,
    drain,
    leads,
    memory_broker,
    records,
)


@pytest.fixture
def broker() -> MemoryBroker:
    """A broker with a source's topics."""
    return memory_broker()


def source(folder: Path, **rename: str) -> FolderSource:
    """A source whose files need not stand still."""
    return FolderSource(folder, records(**rename), settle_seconds=0)


def run(folder: Path, broker: MemoryBroker, **rename: str) -> None:
    """Read everything in `folder`."""
    drain(source(folder, **rename), SourceLedger(broker, "folder/folder"))


def values(broker: MemoryBroker) -> list[Any]:
    """The leads as JSON."""
    return [value for _, value in leads(broker)]


def names(folder: Path) -> set[str]:
    """All files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_jsonl_lines_become_leads_and_the_file_is_done(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    """Each line is a lead, byte for byte, under a key of its own; then the file is in done/."""
    (tmp_path / "fair.jsonl").write_text('{"name": "Ada", "n": 1.10}\n\n{"name": "Grace"}')

    run(tmp_path, broker)

    assert values(broker) == [{"name": "Ada", "n": 1.1}, {"name": "Grace"}]
    keys = [key for key, _ in leads(broker)]
    assert [str(key).startswith("fair-") for key in keys] == [True, True]
    assert [str(key).rpartition("-")[2] for key in keys] == ["1", "3"]
    assert names(tmp_path) == {"done/fair.jsonl"}


def test_csv_rows_become_leads_by_header(tmp_path: Path, broker: MemoryBroker) -> None:
    """A BOM, semicolons, quoted line breaks and renamed columns are understood."""
    text = '\ufeffname;jobTitle;text\r\n"Lovelace; Ada";CTO;"two\r\nlines ""so"""\r\nGrace;Rear Admiral;\r\n'
    (tmp_path / "fair.csv").write_bytes(text.encode())

    run(tmp_path, broker, jobTitle="job_title")

    assert values(broker) == [
        {"name": "Lovelace; Ada", "job_title": "CTO", "text": 'two\r\nlines "so"'},
        {"name": "Grace", "job_title": "Rear Admiral", "text": ""},
    ]
    assert names(tmp_path) == {"done/fair.csv"}


def test_bad_lines_are_named_and_the_good_ones_go_on(tmp_path: Path, broker: MemoryBroker) -> None:
    """A bad line is a dead letter and a line in .errors, both with file:line; its neighbours are sent."""
    (tmp_path / "a.jsonl").write_text('{"n": 1}\n[1]\nnonsense\n{"n": 2}\n')
    (tmp_path / "b.csv").write_text("name,email\nAda,a@x.example\nonly one\nBob,b@x.example\n")

    run(tmp_path, broker)

    assert values(broker) == [
        {"n": 1},
        {"n": 2},
        {"name": "Ada", "email": "a@x.example"},
        {"name": "Bob", "email": "b@x.example"},
    ]
    assert [letter["detail"].split(": ")[0] for letter in dead_letters(broker)] == [
        "a.jsonl:2",
        "a.jsonl:3",
        "b.csv:3",
    ]
    assert {letter["reason"] for letter in dead_letters(broker)} == {"malformed_json"}
    report = (tmp_path / "done" / "a.jsonl.errors").read_text().splitlines()
    assert [line.split(": ")[0] for line in report] == ["a.jsonl:2", "a.jsonl:3"]
    assert (
        tmp_path / "done" / "b.csv.errors"
    ).read_text() == "b.csv:3: 1 fields; the header has 2\n"


def test_quote_that_never_closes_costs_one_line(tmp_path: Path, broker: MemoryBroker) -> None:
    """An open quote does not swallow the leads behind it."""
    rows = "".join(f"lead {n},{'x' * 200}\n" for n in range(3_000))  # more than one record may take
    (tmp_path / "a.csv").write_text(f'name,text\n"open,x\n{rows}')

    run(tmp_path, broker)

    assert len(values(broker)) == 3_000
    assert [letter["detail"].split(": ")[0] for letter in dead_letters(broker)] == ["a.csv:2"]


def test_huge_line_is_refused_without_being_read_whole(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    """A line beyond the limit is a dead letter with its size; memory holds no more than the limit."""
    with (tmp_path / "a.jsonl").open("w") as file:
        file.write('{"n": 1}\n{"text": "')
        for _ in range(64):
            file.write("x" * 1024 * 1024)
        file.write('"}\n{"n": 2}\n')

    run(tmp_path, broker)

    assert values(broker) == [{"n": 1}, {"n": 2}]
    (letter,) = dead_letters(broker)
    assert letter["reason"] == "payload_too_large"
    assert letter["detail"] == f"a.jsonl:2: {64 * 1024 * 1024 + 13} bytes; at most 262144 are read"
    assert len(letter["value"]) == 4096


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "name\nAda\nJörg\n".encode("latin-1"), "byte 10 (line 3) is 0xF6"),
        ("a.jsonl", b"x" * 70_000 + b"\n\xff", "byte 70001 (line 2) is 0xFF"),
        ("a.jsonl", b'{"n": "\xc3', "byte 7 (line 1) is 0xC3"),
        ("a.csv", "name\nAda\n".encode("utf-16"), "UTF-16 from byte 0 on"),
        ("a.csv", b"name,name\n1,2\n", "every column needs a name of its own"),
        ("a.csv", b"name,\n1,2\n", "every column needs a name of its own"),
        ("a.jsonl", b"", "no lead in it"),
        ("a.csv", b"name\n", "no lead in it"),
        ("a.jsonl", b"[]\n[]\n", "2 lines, none of them a lead"),
        ("a.csv", b"name,email\rAda,a@b.example\r", "its lines end with CR alone"),
        ("a.xlsx", b"PK", "must end with one of .csv, .jsonl, .ndjson"),
    ],
)  # fmt: skip
def test_file_that_cannot_be_read_fails_whole(
    tmp_path: Path, broker: MemoryBroker, name: str, content: bytes, said: str
) -> None:
    """Nothing of it is sent, and .errors in failed/ says what is wrong and where."""
    (tmp_path / name).write_bytes(content)

    run(tmp_path, broker)

    assert (leads(broker), dead_letters(broker)) == ([], [])
    assert names(tmp_path) == {f"failed/{name}", f"failed/{name}.errors"}
    assert said in (tmp_path / "failed" / f"{name}.errors").read_text()


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"caf\xe9.jsonl", r"caf\udce9.jsonl"), (b"caf\xe9.\xe9", r"caf\udce9.\udce9")],
)
def test_name_that_is_not_utf8_fails_alone(
    tmp_path: Path, broker: MemoryBroker, name: bytes, shown: str
) -> None:
    """It cannot be named in JSON: the file is put into failed/, with a report that can be read; others go on."""
    (tmp_path / os.fsdecode(name)).write_text('no JSON\n{"n": 1}\n')
    (tmp_path / "b.jsonl").write_text('{"n": 2}\n')

    run(tmp_path, broker)

    assert values(broker) == [{"n": 2}]
    report = tmp_path / "failed" / os.fsdecode(name + b".errors")
    assert report.read_text().startswith(f"{shown}: ")
    assert (tmp_path / "failed" / os.fsdecode(name)).exists()


@pytest.mark.parametrize("name", ["n" * 249 + ".jsonl", "é" * 124 + ".jsonl", "n." + "x" * 253])
def test_name_as_long_as_can_be_is_put_away(
    tmp_path: Path, broker: MemoryBroker, name: str
) -> None:
    """A name of 255 bytes leaves no room for `.errors`: it is put away under a shorter one, twice, and others go on."""
    for _ in range(2):
        (tmp_path / name).write_text('no JSON\n{"n": 1}\n')
        (tmp_path / "b.jsonl").write_text('{"n": 2}\n')
        run(tmp_path, broker)

    is_read = name.endswith(".jsonl")
    assert [one["n"] for one in values(broker)].count(2) == 2
    assert [one["n"] for one in values(broker)].count(1) == (2 if is_read else 0)
    shelf = tmp_path / ("done" if is_read else "failed")
    put_away = [path for path in shelf.iterdir() if path.name[0] == name[0]]
    assert sorted(path.suffix == ".errors" for path in put_away) == [False, False, True, True]
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_csv_field_may_be_as_long_as_a_lead(tmp_path: Path, broker: MemoryBroker) -> None:
    """The limit is that of a record, 256 KiB, not the half that Python's reader takes by itself."""
    (tmp_path / "a.csv").write_text(f"name,text\nAda,{'x' * 200_000}\nBob,{'x' * 262_144}\n")

    run(tmp_path, broker)

    assert [(one["name"], len(one["text"])) for one in values(broker)] == [("Ada", 200_000)]
    (letter,) = dead_letters(broker)
    assert letter["reason"] == "payload_too_large"


@pytest.mark.parametrize("name", [".a.jsonl", "a.jsonl.tmp", "a.jsonl.part", "a.jsonl~"])
def test_unfinished_file_is_left_alone(tmp_path: Path, broker: MemoryBroker, name: str) -> None:
    """Names that writers use for what is not whole yet are ignored."""
    (tmp_path / name).write_text('{"n": 1}\n')

    run(tmp_path, broker)

    assert leads(broker) == []
    assert names(tmp_path) == {name}


def test_file_is_read_once_it_stands_still(tmp_path: Path, broker: MemoryBroker) -> None:
    """While size or time change, nothing is read; after the settling time without change, all of it."""
    clock = itertools.count(0, 1)  # a second for each look
    reader = FolderSource(tmp_path, records(), settle_seconds=3, now_seconds=lambda: next(clock))
    reader.resume({})
    path = tmp_path / "a.jsonl"
    for number in range(5):
        with path.open("a") as file:
            file.write(f'{{"n": {number}}}\n')
        os.utime(path, ns=(number, number))
        assert reader.read() is None

    found = [batch for batch in (reader.read() for _ in range(6)) if batch is not None]

    assert len(found[0].records) == 5


def test_links_and_pipes_are_not_followed(tmp_path: Path, broker: MemoryBroker) -> None:
    """A link out of the folder is not read, and a pipe does not hang the source."""
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"n": 1}\n')
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "link.jsonl").symlink_to(secret)
    os.mkfifo(folder / "pipe.jsonl")

    run(folder, broker)

    assert leads(broker) == []


def test_name_that_is_taken_in_done_gets_a_number(tmp_path: Path, broker: MemoryBroker) -> None:
    """A second file of a name is read too, and overwrites nothing."""
    for number in range(3):
        (tmp_path / "a.jsonl").write_text(f'{{"n": {number}}}\n')
        run(tmp_path, broker)

    assert values(broker) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert names(tmp_path) == {"done/a.jsonl", "done/a.2.jsonl", "done/a.3.jsonl"}


def test_same_file_dropped_again_is_read_again_under_the_same_keys(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    """A deliberate second drop is not hidden; its keys are the same, so it meets its old conversations."""
    for _ in range(2):
        (tmp_path / "a.jsonl").write_text('{"n": 1}\n')
        run(tmp_path, broker)

    assert values(broker) == [{"n": 1}, {"n": 1}]
    assert len({key for key, _ in leads(broker)}) == 1


@pytest.mark.parametrize("when", ["before", "after", "unknown"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_crash_at_any_commit_neither_loses_nor_doubles(
    tmp_path: Path, broker: MemoryBroker, at: int, when: str
) -> None:
    """Killed before or after any commit, or unsure of one, the next process goes on exactly where readers are."""
    count = 1700
    (tmp_path / "a.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(count)))
    (tmp_path / "b.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(count, count + 20)))
    os.utime(tmp_path / "a.jsonl", ns=(1, 1))
    ledger = CutLedger(broker, "folder/folder", at=at, when=when)
    try:
        drain(source(tmp_path), ledger, idle=5)
    except Crash:
        run(tmp_path, broker)

    assert [int(value["n"]) for value in values(broker)] == list(range(count + 20))
    assert ledger.commits >= at
    assert names(tmp_path) == {"done/a.jsonl", "done/b.csv"}


def test_crash_between_commit_and_move_only_moves(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose leads are all sent but that still stands there is moved, not read again."""
    (tmp_path / "a.jsonl").write_text('{"n": 1}\n[]\n')

    def die(*arguments: object) -> None:
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr(FolderSource, "_put_away", die)
        with pytest.raises(Crash):
            run(tmp_path, broker)
    assert names(tmp_path) == {"a.jsonl"}

    run(tmp_path, broker)

    assert values(broker) == [{"n": 1}]
    assert len(dead_letters(broker)) == 1
    assert names(tmp_path) == {"done/a.jsonl", "done/a.jsonl.errors"}


def test_file_changed_after_a_crash_fails_with_what_was_sent(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    """A half read file with another content is not guessed at: failed/, with the line from which on nothing was sent."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(700)))
    with pytest.raises(Crash):
        drain(source(tmp_path), CutLedger(broker, "folder/folder", at=1, when="after"))
    path.write_text('{"n": "other"}\n')

    run(tmp_path, broker)

    assert [value["n"] for value in values(broker)] == list(range(500))
    assert "before line 501 were sent" in (tmp_path / "failed" / "a.jsonl.errors").read_text()


def test_file_changed_while_it_is_read_fails_with_what_was_sent(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    """Somebody who still writes is noticed before the next batch."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(700)))
    reader, ledger = source(tmp_path), SourceLedger(broker, "folder/folder")
    reader.resume(ledger.open())
    batch = reader.read()
    assert batch is not None
    ledger.commit(batch.records, batch.progress)
    reader.committed(batch)
    with path.open("a") as file:
        file.write('{"n": 700}\n')

    assert reader.read() == Batch((), {})
    assert (
        "changed while it was read. The leads before line 501"
        in (tmp_path / "failed" / "a.jsonl.errors").read_text()
    )


def test_half_read_file_that_is_gone_does_not_stop_the_others(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    """A file taken away in the middle is said to be gone, and the next one is read."""
    (tmp_path / "a.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(700)))
    with pytest.raises(Crash):
        drain(source(tmp_path), CutLedger(broker, "folder/folder", at=1, when="after"))
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "b.jsonl").write_text('{"n": "b"}\n')

    run(tmp_path, broker)

    assert values(broker)[-1] == {"n": "b"}
    assert names(tmp_path) == {"done/b.jsonl"}


def test_half_read_file_that_is_gone_is_forgotten(tmp_path: Path, broker: MemoryBroker) -> None:
    """Once it was said to be gone, a later file of its name is a new one."""
    (tmp_path / "a.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(700)))
    with pytest.raises(Crash):
        drain(source(tmp_path), CutLedger(broker, "folder/folder", at=1, when="after"))
    (tmp_path / "a.jsonl").unlink()
    run(tmp_path, broker)
    (tmp_path / "a.jsonl").write_text('{"n": "new"}\n')

    run(tmp_path, broker)

    assert values(broker)[-1] == {"n": "new"}


@given(
    rows=st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b), max_size=12),
    cut=st.integers(0, 11),
)
def test_any_bytes_are_read_alike_from_any_line_on(
    rows: list[bytes], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Going on at an item's end yields what reading on would have yielded, for both kinds of file."""
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(b"a,b\n" + b"\n".join(rows).decode("utf-8", "replace").encode())
    for kind in ("jsonl", "csv"):
        with path.open("rb") as file:
            whole = list(lead_file.items(file, kind, records()))
            if cut < len(whole):
                place = whole[cut]
                rest = list(
                    lead_file.items(file, kind, records(), start=place.end, line=place.next_line)
                )
                assert rest == whole[cut + 1 :]
