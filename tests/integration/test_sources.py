"""The sources as processes on a real broker, killed again and again: every lead once. Source of documents: a recording."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.kafka import KafkaBroker
from connectors.topic_admin import ensure_topics
from connectors.topic_reader import read_topic
from signalbox.local_stack.temporary import TemporaryBroker
from tests.support.recorded_mongo import RecordedMongo

pytestmark = pytest.mark.integration

LEADS = 6_000
KILLS = 2


class Lab:
    """Topics of one's own and processes that are ended."""

    def __init__(self, servers: str, folder: Path) -> None:
        self.prefix = f"s{uuid.uuid4().hex[:8]}."
        self.broker = KafkaBroker(servers)
        self.folder = folder
        self.environ = {
            "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS": servers,
            "SIGNALBOX_KAFKA__TOPIC_PREFIX": self.prefix,
            "SIGNALBOX_HOME": str(folder / "home"),
        }
        self.started: list[subprocess.Popen[bytes]] = []
        ensure_topics(servers, prefix=self.prefix)

    def start(self, source: str, **environ: str) -> subprocess.Popen[bytes]:
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith("SIGNALBOX_")
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "signalbox.cli", "source", source],
            env={**clean, **self.environ, **environ},
            stdout=(self.folder / f"{len(self.started)}.log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        self.started.append(process)
        return process

    def leads(self) -> list[Any]:
        found = read_topic(self.broker, f"{self.prefix}incoming_leads")
        return [orjson.loads(record.value or b"null") for record in found]

    def until(
        self, holds: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60
    ) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            logs = "\n".join(path.read_text()[-600:] for path in sorted(self.folder.glob("*.log")))
            assert process.poll() is None, f"ended with {process.returncode}:\n{logs}"
            assert time.monotonic() < deadline, f"{len(self.leads())} leads, not in time:\n{logs}"
            time.sleep(0.02)

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait(30)


@pytest.fixture
def lab(broker: TemporaryBroker, tmp_path: Path) -> Iterator[Lab]:
    """A laboratory on the session's broker."""
    made = Lab(broker.bootstrap_servers, tmp_path)
    yield made
    made.close()


def test_folder_source_killed_again_and_again_sends_every_lead_once(lab: Lab) -> None:
    """`kill -9` in the middle of a file: the next process goes on behind the last lead that readers see."""
    drop = lab.folder / "drop"
    drop.mkdir()
    (drop / "big.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(LEADS)))
    chosen = {"SIGNALBOX_FOLDER__PATH": str(drop), "SIGNALBOX_FOLDER__SETTLE_SECONDS": "0"}
    killed_halfway = 0
    for _ in range(KILLS):
        before = len(lab.leads())
        process = lab.start("folder", **chosen)
        lab.until(
            lambda seen=before: len(lab.leads()) > seen or not (drop / "big.jsonl").exists(),
            process,
        )  # type: ignore[misc]
        process.kill()
        process.wait(30)
        killed_halfway += 0 < len(lab.leads()) < LEADS
    process = lab.start("folder", **chosen)
    lab.until((drop / "done" / "big.jsonl").exists, process)
    # All may have been sent before the last kill: what comes now is this process's own.
    (drop / ".one").write_text(f'{{"n": {LEADS}}}\n')
    (drop / ".one").rename(drop / "one.jsonl")
    lab.until((drop / "done" / "one.jsonl").exists, process)
    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    last_log = (lab.folder / f"{KILLS}.log").read_text().splitlines()
    assert {"source.started", "file.done", "source.ended"} <= {
        orjson.loads(line)["event"] for line in last_log
    }
    assert killed_halfway > 0
    assert sorted(lead["n"] for lead in lab.leads()) == list(range(LEADS + 1))


def test_mongodb_source_killed_again_and_again_sends_every_lead_once(lab: Lab) -> None:
    """`kill -9` between inserts and commits: the token and the leads are one."""
    with RecordedMongo() as mongo:
        chosen = {"SIGNALBOX_MONGODB__URI": mongo.address}
        process = lab.start("mongodb", **chosen)
        progress = f"{lab.prefix}source_progress"
        lab.until(lambda: bool(list(read_topic(lab.broker, progress))), process)
        count = 0
        for _ in range(KILLS):
            for _ in range(2000):
                mongo.insert({"n": count})
                count += 1
            before = len(lab.leads())
            lab.until(lambda seen=before: len(lab.leads()) > seen, process)  # type: ignore[misc]
            process.kill()
            process.wait(30)
            process = lab.start("mongodb", **chosen)
        lab.until(lambda: len(lab.leads()) >= count, process)
        # All may have been sent before the last kill: then this process has only just begun.
        log = lab.folder / f"{KILLS}.log"
        lab.until(lambda: b"source.started" in log.read_bytes(), process)
        process.send_signal(signal.SIGTERM)

        assert process.wait(30) == 0
    assert sorted(lead["n"] for lead in lab.leads()) == list(range(count))


def test_second_source_of_one_name_takes_over_and_the_first_ends(lab: Lab) -> None:
    """Two processes on one folder do not both send: the older one ends with code 3."""
    drop = lab.folder / "drop"
    drop.mkdir()
    chosen = {"SIGNALBOX_FOLDER__PATH": str(drop), "SIGNALBOX_FOLDER__SETTLE_SECONDS": "0"}
    first = lab.start("folder", **chosen)
    lab.until((drop / "done").exists, first)
    second = lab.start("folder", **chosen)
    lab.until(lambda: b"source.started" in (lab.folder / "1.log").read_bytes(), second)
    for number in range(200):
        scratch = drop / f".{number}"
        scratch.write_text(f'{{"n": {number}}}\n')
        scratch.rename(drop / f"{number}.jsonl")
    lab.until(lambda: len(list((drop / "done").glob("*.jsonl"))) == 200, second)
    lab.until(lambda: first.poll() is not None, second)

    assert first.returncode == 3
    assert sorted(lead["n"] for lead in lab.leads()) == list(range(200))


def test_lost_history_ends_the_process_with_what_to_do(lab: Lab) -> None:
    """Exit code 4, which the stack does not answer with a restart, and the way out in the log."""
    with RecordedMongo() as mongo:
        chosen = {"SIGNALBOX_MONGODB__URI": mongo.address}
        process = lab.start("mongodb", **chosen)
        lab.until(
            lambda: bool(list(read_topic(lab.broker, f"{lab.prefix}source_progress"))), process
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        mongo.insert({"n": 1})
        mongo.oldest = mongo.ticks

        process = lab.start("mongodb", **chosen)

        assert process.wait(60) == 4
    assert "ON_HISTORY_LOST=skip" in (lab.folder / "1.log").read_text()
