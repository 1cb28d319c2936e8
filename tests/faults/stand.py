"""The stand of the fault runs: the whole stack under its real supervisor, the fault fleet, a stub model behind a proxy.

One stack serves all runs. Each run's ids carry its name, and the ledger always judges the whole history, so a late
duplicate of an earlier run is found by a later one. Faults are signals to pids that the stack itself names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.lab import environment
from connectors.kafka import KafkaBroker
from connectors.registry import publish
from connectors.topic_admin import ensure_topics
from signalbox.definitions.fleet import ActiveSet
from signalbox.local_stack import api, ports, state_file
from signalbox.local_stack.environment import environment_of, inherited
from signalbox.settings import Settings
from tests.faults.bureau import BUREAU
from tests.faults.effects import effects_in
from tests.faults.fleet import ACTS, TAKES, fault_fleet
from tests.faults.history import History
from tests.faults.ledger import Ledger
from tests.faults.load import Outgoing, Sender, message
from tests.faults.proxy import FaultProxy
from tests.faults.stub import Stub
from tests.faults.verdict import Report, Sent

ROOT = Path(__file__).resolve().parents[2]
HANDLERS = ROOT / "tests" / "faults" / "handlers"
SETTLE_SECONDS = 300.0


class Stand:
    """The running stack and what was done to it. `up` first; `close` at the end."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.stub = Stub().start()
        self.link = FaultProxy(self.stub.port).__enter__()
        self.settings = Settings(
            **{
                "home": home,
                "fleets": (),
                "delivery": "exactly_once",
                "checkpoint_interval_ms": 1000,
                "kafka": {"port": ports.free_port()},
                "flink": {"rest_port": ports.free_port()},
                "gateway": {"enabled": False},
                "model": {
                    "provider": "openai",
                    "base_url": f"http://127.0.0.1:{self.link.port}/v1",
                    "name": "stub",
                    "timeout_seconds": 3,
                    "max_attempts": 3,
                    "max_in_flight": 64,
                },
                **settings,
            }
        )
        self.history = History(self.settings.kafka.servers)
        self.sent: list[Sent] = []
        self.known: set[str] = set()
        self.said: list[str] = []
        self._extra: list[subprocess.Popen[bytes]] = []
        self._runs = Counter[str]()

    # ── the stack ───────────────────────────────────────────────────────────────────────────────────────────────────

    def up_first(self) -> None:
        """Start everything for the first time; the fault fleet becomes the active set.

        Raises:
            Exception: whatever `up` failed with, as soon as it has.
            AssertionError: it takes too long.
        """
        starting = _in_thread(self.up)

        def has_topics() -> bool:
            if starting.done():
                starting.result()
            return any("topics created" in event for event in self.events())

        # `up` itself returns once definitions are active, and they need their topics.
        self.until(has_topics, "no topics", 120)
        self.apply(fault_fleet())
        self.until(starting.done, "`up` has not returned", 300)
        starting.result()
        self.wait_healthy()

    def up(self, **flink: Any) -> list[str]:
        """`signalbox up --detach`; return what it said. `flink` changes that section of the settings."""
        if flink:
            section = self.settings.flink.model_copy(update=flink)
            self.settings = self.settings.model_copy(update={"flink": section})
        said: list[str] = []
        with environment(PYTHONPATH=f"{HANDLERS}{os.pathsep}{ROOT}"):
            api.up(self.settings, detach=True, report=said.append)
        self.said += said
        return said

    def down(self) -> None:
        """`signalbox down`."""
        api.down(self.settings, report=self.said.append)

    def close(self) -> None:
        """Stop everything."""
        for process in self._extra:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.down()
        self.link.__exit__(None, None, None)
        self.stub.stop()

    def apply(self, active: ActiveSet) -> None:
        """Make it the active set."""
        servers = self.settings.kafka.servers
        ensure_topics(servers, agents=active.agents, fixed=False)
        publish(KafkaBroker(servers), active, topic_prefix="", applied_at=datetime.now(UTC))

    def events(self) -> list[str]:
        """What the supervisor reported last."""
        return state_file.read(self.settings.home).events

    def is_running(self) -> bool:
        """Whether a supervisor runs."""
        return api.is_running(self.settings)

    def active_digest(self) -> str:
        """The digest of the active definitions."""
        return str(api.status(self.settings).definitions)

    def wait_healthy(self, seconds: float = 400) -> None:
        """Return once every process and job runs and all agents do."""

        def is_healthy() -> bool:
            found = api.status(self.settings)
            running = {agent.name for agent in found.agents if agent.state == "running"}
            return found.is_healthy and set(TAKES) <= running

        self.until(is_healthy, "the stack is not healthy", seconds)

    # ── faults ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def pid(self, name: str) -> int:
        """The pid of `broker`, `jobmanager`, `taskmanager`, `supervisor` or `agent <name>`, once it runs."""
        self.until(lambda: self._pid(name) != 0, f"{name} does not run", 300)
        return self._pid(name)

    def running_pid(self, name: str) -> int:
        """The pid of a process that runs now.

        Raises:
            ValueError: it does not.
        """
        pid = self._pid(name)
        if not pid:
            msg = f"{name} does not run"
            raise ValueError(msg)
        return pid

    def signal(self, name: str, number: signal.Signals = signal.SIGKILL) -> float:
        """Send it; return the epoch seconds of that moment."""
        pid = self.pid(name)
        now = time.time()
        os.kill(pid, number)
        return now

    def python_workers(self) -> list[psutil.Process]:
        """Flink's Python workers: what the TaskManager started."""
        children = psutil.Process(self.pid("taskmanager")).children(recursive=True)
        return [one for one in children if "python" in one.name()]

    def start_agent(self, name: str, instance: str = "0") -> subprocess.Popen[bytes]:
        """Start a further process of an agent, outside the supervisor, with a log that tells of it alone."""
        path = self.settings.home / "logs" / f"extra-{name}-{instance}.log"
        path.unlink(missing_ok=True)
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "agents", name, "--instance", instance],
                env={
                    **inherited(),
                    **environment_of(self.settings),
                    "PYTHONPATH": f"{HANDLERS}{os.pathsep}{ROOT}",
                },
                cwd=self.settings.home,
                stdout=log,
                stderr=log,
            )
        self._extra.append(process)
        return process

    # ── load and judgement ──────────────────────────────────────────────────────────────────────────────────────────

    def name_run(self, case: str, seed: int) -> str:
        """A name for a run's ids, never used before."""
        self._runs[case] += 1
        return f"{case}.s{seed}.{self._runs[case]}-{int(time.time())}"

    def send(self, outgoing: Iterable[Outgoing], *, per_second: float = 50.0) -> Sender:
        """Start sending."""
        return Sender(self.settings.kafka.servers, outgoing, per_second=per_second).start()

    def judge(self) -> Report:
        """Judge the whole history; what was found wrong in an earlier run is not said again."""
        report = Ledger(
            self.history.records,
            self.sent,
            effects=self.effects(),
            acts=ACTS | BUREAU.agents.keys(),
            model_calls=self.stub.stats()["calls"],
        ).judge()
        for found in (report.lost, report.dup, report.open, report.wrong):
            found[:] = [sentence for sentence in found if sentence not in self.known]
        return report

    def settle(self, *senders: Sender, seconds: float = SETTLE_SECONDS) -> Report:
        """Wait until all that was sent has ended, send one more through each partition, and judge.

        Raises:
            AssertionError: something was lost, doubled, left open or made up.
        """
        for sender in senders:
            self.sent += sender.finish()
        first = self._settle(seconds)
        if not first.is_good:
            self.known |= {*first.lost, *first.dup, *first.open, *first.wrong}
            first.require_good()
        # Whatever is still on its way arrives before these; then nothing may have come twice.
        run = self.name_run("end", 0)
        last = self.send((message(run, n, {"a": n}) for n in range(8)), per_second=1000)
        self.sent += last.finish()
        report = self._settle(seconds)
        self.known |= {*report.lost, *report.dup, *report.open, *report.wrong}
        report.require_good()
        return report

    def effects(self) -> dict[str, int]:
        """How often each task's effect was found: files of the outbox, or the witness's lines, whichever is more."""
        return effects_in(self.settings.home / "outbox")

    def handled(self) -> Counter[str]:
        """How often the handler was called, by task."""
        log = self.settings.home / "handled.log"
        return Counter(log.read_text().split() if log.exists() else ())

    def handled_of(self, run: str) -> int:
        """How many tasks of a run were handed to handlers."""
        tasks = {
            record.fields["id"]
            for record in self.history.read_if_possible()
            if record.topic.startswith("agent_tasks_")
            and record.fields
            and str(record.fields["causationid"]).startswith(run)
        }
        return len(tasks & self.handled().keys())

    def _settle(self, seconds: float) -> Report:
        deadline = time.monotonic() + seconds
        while True:
            self.history.read_if_possible()
            began = time.monotonic()
            report = self.judge()
            if report.is_good or time.monotonic() > deadline:
                return report
            # The judge must not take the machine from those it waits for.
            time.sleep(1.0 + 3 * (time.monotonic() - began))

    def _pid(self, name: str) -> int:
        state = state_file.read(self.settings.home)
        if name == "supervisor":
            return state.supervisor.pid if state.supervisor else 0
        record = state.processes.get(name)
        return record.pid if record and record.state == "running" else 0

    def until(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"after {seconds:g} s {what}: {self.events()[-8:]}"
            time.sleep(0.2)


def _in_thread(work: Callable[[], object]) -> Future[None]:
    """Begin it in a thread that does not keep the interpreter alive; the future has its end or its error."""
    ended = Future[None]()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # whoever waits for the future raises it
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=run, name="up", daemon=True).start()
    return ended


@contextmanager
def standing(folder: Path) -> Iterator[Stand]:
    """A stack of its own in `folder`, up for the length of a block."""
    made = Stand(folder)
    try:
        made.up_first()
        yield made
    finally:
        made.close()
