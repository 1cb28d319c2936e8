"""The stack is taken down and up again under work: from savepoints, with other parallelism, with damaged state."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kafka.admin
import pytest

from signalbox.errors import StackError
from signalbox.local_stack import state_file
from tests.faults.figures import stall_seconds
from tests.faults.fleet import fault_fleet
from tests.faults.load import message, mixed
from tests.faults.stand import Stand

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(1200)]

Tell = Callable[..., None]


def test_f28_down_and_up_in_the_middle_of_500_conversations(
    stand: Stand, seed: int, tell: Tell
) -> None:
    """F28: SIGTERM for everything while 500 conversations are open; `up` goes on with them as if nothing had been."""
    run = stand.name_run("f28", seed)
    sender = stand.send(
        (message(run, n, {"abo"[n % 3]: n, "do": {"sleep": 0.5}}) for n in range(500)),
        per_second=100,
    )
    sender.wait_until(0.4 + seed / 10)
    began = time.time()
    stand.down()
    downed = time.time()
    said = stand.up()
    upped = time.time()
    report = stand.settle(sender)

    assert any("job orchestrate is being submitted from savepoint-" in line for line in said)
    tell(
        report,
        seed=seed,
        down_s=downed - began,
        up_s=upped - downed,
        stall_s=stall_seconds(stand.history.records, run, began),
    )


def test_f22_parallelism_one_two_one(stand: Stand, seed: int, tell: Tell) -> None:
    """F22: from one subtask to two and back by savepoints: what is in flight and every timer comes along."""
    run = stand.name_run("f22", seed)
    sender = stand.send(mixed(run, seed, 400, model_share=0.8), per_second=20)
    for share, parallelism in ((0.2, 2), (0.6, 1)):
        sender.wait_until(share)
        stand.down()
        stand.up(parallelism=parallelism)
    report = stand.settle(sender)

    tell(report, seed=seed)


def test_f18_upgrade_of_definitions_by_savepoint(stand: Stand, seed: int, tell: Tell) -> None:
    """F18: questions open at the savepoint are answered under the version that admitted them, new ones under the new."""
    run = stand.name_run("f18", seed)
    before, after = fault_fleet(), fault_fleet(beta=f"Another beta, of {run}.")
    stand.apply(before)
    stand.stub.mode("hang")
    first = stand.send((message(run, n, {"b": n}) for n in range(40)), per_second=200)
    stand.until(lambda: stand.stub.stats()["in_flight"] >= 40, "the questions are not asked", 60)
    # A question that hangs three times is a dead letter, so there is no time to lose.
    stand.apply(after)
    stand.down()
    stand.stub.mode("ok")
    said = stand.up()
    stand.until(lambda: stand.active_digest() == after.digest, "no new definitions", 60)
    second = stand.send(message(run, 100 + n, {"b": n}) for n in range(40))
    report = stand.settle(first, second)

    assert any("submitted from savepoint-" in line for line in said)
    digests: dict[str, set[str]] = {"first": set(), "second": set()}
    for record in stand.history.records:
        if record.topic == "agent_decisions" and record.fields:
            found = record.fields
            if found["message_id"].startswith(run) and found["path"] == "model":
                number = int(found["message_id"].rpartition("-m")[2])
                digests["first" if number < 100 else "second"].add(found["definitions_digest"])
    assert digests == {"first": {before.digest}, "second": {after.digest}}
    stand.apply(before)
    tell(report, seed=seed)


def test_f24_damaged_state_is_passed_over_aloud_or_refused(stand: Stand, tell: Tell) -> None:
    """F24: a damaged savepoint falls back to the one before and says so; with none left, `up` refuses with the remedy."""
    stand.down()
    stand.up()
    stand.down()
    record = state_file.read(stand.settings.home).jobs["orchestrate"]
    assert record.restore_from is not None
    newest = Path(record.restore_from) / "_metadata"
    whole = newest.read_bytes()
    # It begins as it should and is cut: only Flink can tell.
    newest.write_bytes(whole[: len(whole) // 2])

    said = stand.up()

    assert any(f"warning: {newest.parent} is passed over" in line for line in said), said
    report = stand.settle(stand.send(mixed(stand.name_run("f24", 1), 1, 100)))
    tell(report)

    stand.down()
    kept = stand.settings.home / "flink" / "state"
    aside = stand.settings.home / "state-aside"
    shutil.move(kept, aside)
    with pytest.raises(StackError, match="up --fresh"):
        stand.up()
    assert not stand.is_running()
    shutil.rmtree(kept, ignore_errors=True)
    shutil.move(aside, kept)
    stand.up()
    tell(stand.settle(stand.send(mixed(stand.name_run("f24b", 1), 1, 100))))


@pytest.fixture
def small_disk(stand: Stand) -> Iterator[Path]:
    """The stack with its checkpoints on a file system of 32 MiB."""
    folder = stand.settings.home / "flink" / "state"
    stand.down()
    aside = stand.settings.home / "state-aside"
    shutil.move(folder, aside)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        shutil.rmtree(folder)
        shutil.move(aside, folder)
        stand.up()
        pytest.skip(f"a small file system needs root: {mounted.stderr.strip()}")
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    stand.up()
    try:
        yield folder
    finally:
        stand.down()
        shutil.rmtree(aside)
        shutil.copytree(folder, aside)
        subprocess.run(["umount", str(folder)], check=True)
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        shutil.rmtree(aside)
        stand.up()


def test_f17_no_space_for_checkpoints(stand: Stand, small_disk: Path, tell: Tell) -> None:
    """F17: without space for checkpoints the stack says so, commits nothing, and resumes when there is space again."""
    run = stand.name_run("f17", 1)
    sender = stand.send(mixed(run, 1, 300))
    sender.wait_until(0.3)
    filler = small_disk / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):  # that is when it is full
        while os.write(descriptor, bytes(4096)):
            pass
    os.close(descriptor)
    began = time.time()
    stand.until(
        lambda: any("orchestrate cannot write checkpoints" in one for one in stand.events()),
        "nobody says that the disk is full",
        180,
    )
    told = time.time()
    filler.unlink()
    report = stand.settle(sender, seconds=300)

    stand.until(
        lambda: any("orchestrate writes checkpoints again" in one for one in stand.events()),
        "nobody says that checkpoints are written again",
        60,
    )
    tell(
        report, told_after_s=told - began, stall_s=stall_seconds(stand.history.records, run, began)
    )


def test_f25_topic_deleted_while_running(stand: Stand, tell: Tell) -> None:
    """F25: a task topic is deleted under load: it is told, and made again; what was on it expires, nothing hangs."""
    run = stand.name_run("f25", 1)
    sender = stand.send(mixed(run, 1, 300))
    sender.wait_until(0.4)
    admin = kafka.admin.KafkaAdminClient(bootstrap_servers=stand.settings.kafka.servers)
    admin.delete_topics(["agent_tasks_gamma"])
    admin.close()
    began = time.time()
    stand.until(
        lambda: any("agent_tasks_gamma" in event for event in stand.events()),
        "nobody says that the topic is gone",
        180,
    )
    report = stand.settle(sender, seconds=500)

    tell(report, stall_s=stall_seconds(stand.history.records, run, began))
