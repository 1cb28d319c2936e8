"""What does not stop an agent for ever: a transaction that never says how it ended, a membership lost unnoticed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from agents.ledger import Entry, Ledger
from agents.result import Reply
from agents.runner import MAX_REFUSED_COMMITS
from connectors.broker import BrokerError, RebalancedError
from connectors.memory import MemoryBroker
from tests.support.agent_lab import AgentLab


class StuckProducer:
    """A producer whose commit waits without a limit, as kafka-python's does when its sender lost the request."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.closed = threading.Event()

    def begin(self) -> None: ...

    def send(self, record) -> None: ...

    def send_offsets(self, offsets, membership) -> None: ...

    def commit(self) -> None:
        self.let_go.wait()

    def abort(self) -> None: ...

    def close(self) -> None:
        self.closed.set()


class StuckOnce(MemoryBroker):
    """The first transactional producer is stuck; those after it work."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck: StuckProducer | None = None

    def transactional_producer(self, transactional_id):
        if self.stuck is None:
            self.stuck = StuckProducer()
            return self.stuck
        return super().transactional_producer(transactional_id)


@pytest.mark.anyio
async def test_transaction_without_an_end_is_unknown_and_a_new_producer_takes_over():
    """The caller is told that the end is unknown, the stuck producer is let go, and the next transaction works."""
    broker = StuckOnce()
    ledger = Ledger(broker, "agent-0", patience_seconds=0.05)
    await ledger.open()
    assert broker.stuck is not None

    with pytest.raises(BrokerError, match="unknown"):
        await ledger.commit(Entry((), {}, None))

    assert broker.stuck.closed.wait(10)
    await ledger.open()
    assert ledger._producer is not broker.stuck
    broker.stuck.let_go.set()
    await ledger.close()


@pytest.fixture
def anyio_backend():
    return "asyncio"


class RefusingProducer:
    """A producer whose offsets the group never takes, as after a membership that was lost unnoticed."""

    def __init__(self) -> None:
        self.refused = 0

    def begin(self) -> None: ...

    def send(self, record) -> None: ...

    def send_offsets(self, offsets, membership) -> None:
        self.refused += 1
        msg = "unknown member"
        raise RebalancedError(msg)

    def commit(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.anyio
async def test_membership_lost_for_good_ends_the_process(monkeypatch):
    """Commits that are refused again and again end the runner, so that the supervisor starts a new member."""
    lab = AgentLab()
    refusing = RefusingProducer()
    monkeypatch.setattr(lab.broker, "transactional_producer", lambda _: refusing)
    lab.task(1)

    async def answer(task, context):
        return Reply(task.data)

    work = asyncio.create_task(lab.runner(answer).run())
    while not work.done():
        lab.clock.advance(1000)
        await asyncio.sleep(0.001)

    with pytest.raises(BrokerError, match="membership is lost"):
        work.result()
    assert refusing.refused > MAX_REFUSED_COMMITS
    assert lab.committed() is None
