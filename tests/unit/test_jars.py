"""Jars are pinned, downloaded once, and kept only when their hash is right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from connectors import jars
from connectors.jars import Jar
from signalbox.errors import StackError


@pytest.fixture
def one_jar(monkeypatch: pytest.MonkeyPatch) -> Jar:
    """A lock with a single jar whose content is b"jar"."""
    jar = Jar("org.example", "thing", "1.0", hashlib.sha256(b"jar").hexdigest())
    monkeypatch.setattr(jars, "locked", lambda section: (jar,) if section == "kafka" else ())
    return jar


def _writes(content: bytes) -> jars.Fetch:
    def fetch(jar: Jar, scratch: Path) -> Path:
        path = scratch / jar.file_name
        path.write_bytes(content)
        return path

    return fetch


def test_lock_every_line_is_a_coordinate_with_a_sha256() -> None:
    """The lock names the broker, the Kafka connector and the SQL gateway in the versions the docs state."""
    everything = [*jars.locked("kafka"), *jars.locked("flink")]

    assert all(len(jar.sha256) == 64 for jar in everything)
    assert {
        "org.apache.kafka:kafka_2.13:4.3.1",
        "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2",
        "org.apache.flink:flink-sql-gateway:2.3.0",
    } <= {jar.coordinate for jar in everything}


def test_ensure_called_twice_downloads_once(one_jar: Jar, tmp_path: Path) -> None:
    """What is in the cache is not fetched again."""
    first = jars.ensure("kafka", tmp_path, fetch=_writes(b"jar"))
    second = jars.ensure("kafka", tmp_path, fetch=_writes(b"never asked"))

    assert first == second
    assert first[0].read_bytes() == b"jar"
    assert jars.missing(tmp_path) == ()


def test_ensure_content_with_another_hash_keeps_nothing(one_jar: Jar, tmp_path: Path) -> None:
    """A jar whose hash differs is refused and leaves no file behind."""
    with pytest.raises(StackError, match=r"org\.example:thing:1\.0 was downloaded with SHA-256"):
        jars.ensure("kafka", tmp_path, fetch=_writes(b"not the jar"))

    assert list(tmp_path.iterdir()) == []


def test_ensure_without_network_says_what_it_needs(one_jar: Jar, tmp_path: Path) -> None:
    """Offline, the error names the jar, the cause and that only the first start needs a network."""

    def offline(jar: Jar, scratch: Path) -> Path:
        raise OSError("Name or service not known")

    with pytest.raises(StackError, match=r"thing:1\.0: Name or service.*first start needs"):
        jars.ensure("kafka", tmp_path, fetch=offline)


def test_cache_folder_follows_xdg(tmp_path: Path) -> None:
    """`XDG_CACHE_HOME` moves the cache; without it, it is under `~/.cache`."""
    assert jars.cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "signalbox" / "jars"
    assert jars.cache_folder({}) == Path.home() / ".cache" / "signalbox" / "jars"
