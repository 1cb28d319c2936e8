"""The outbox: one file for one key, whoever writes it, however often, and whatever the key holds."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.outbox import Outbox, file_name


def test_put_twice_keeps_the_first_content(tmp_path: Path) -> None:
    """The second put of a key changes nothing and says so."""
    outbox = Outbox(tmp_path)
    first = outbox.put("c1", "step", b"first")
    second = outbox.put("c1", "step", b"second")

    assert first.is_new
    assert not second.is_new
    assert second.path == first.path
    assert first.path.read_bytes() == b"first"


def test_put_of_another_key_is_another_file(tmp_path: Path) -> None:
    """Conversation and step are both part of the key."""
    outbox = Outbox(tmp_path)
    paths = {
        outbox.put(c, s, b"x").path for c, s in [("a", "1"), ("a", "2"), ("b", "1"), ("a-1", "")]
    }

    assert len(paths) == 4


def _race(folder: str, number: int, wins: multiprocessing.Queue[int]) -> None:
    if Outbox(Path(folder)).put("c1", "step", str(number).encode() * 1000).is_new:
        wins.put(number)


def test_put_from_many_processes_is_won_by_one(tmp_path: Path) -> None:
    """Of several processes with one key exactly one makes the effect, and the file is whole."""
    context = multiprocessing.get_context("fork")
    wins = context.Queue()
    processes = [context.Process(target=_race, args=(str(tmp_path), n, wins)) for n in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    (file,) = tmp_path.rglob("*.eml")
    winner = wins.get(timeout=5)

    assert wins.empty()
    assert file.read_bytes() == str(winner).encode() * 1000


def test_put_that_dies_before_the_link_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash halfway is no effect: the next attempt writes the whole file."""

    def die(source: object, target: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("agents.outbox.os.link", die)
        with pytest.raises(KeyboardInterrupt):
            Outbox(tmp_path).put("c1", "step", b"content")

    assert list(tmp_path.rglob("*.eml")) == []
    assert Outbox(tmp_path).put("c1", "step", b"content").is_new


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "/etc/passwd", "..", ".", "", "a\x00b", "CON", "ü/ö", "x" * 5000]
)
def test_file_name_of_a_hostile_key_stays_in_the_folder(key: str, tmp_path: Path) -> None:
    """No key leaves the outbox."""
    path = Outbox(tmp_path).put(key, key, b"x").path

    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert path.read_bytes() == b"x"


@given(st.text(), st.text())
def test_file_names_of_different_keys_differ(one: str, other: str) -> None:
    """File names are as unique as keys, short, and without anything a path gives meaning to."""
    assert (file_name(one) == file_name(other)) == (one == other)
    assert len(file_name(one)) <= 60
    assert os.sep not in file_name(one)
    assert not file_name(one).startswith(".")
