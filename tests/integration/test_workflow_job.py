"""Workflows on a real broker and cluster: orders, some of which fail, while the TaskManager is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kafka
import pytest

from agents.handlers import handler_from
from agents.orders.books import OPENING_STOCK, Books
from agents.orders.trouble import BOOKS_FILE
from agents.result import Reply, Terminal
from agents.task import Task
from signalbox.contracts.envelope import TASK_FAILED, WORKFLOW_CANCEL, Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.definitions.loader import load_fleet
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.topics import AGENT_DECISIONS, AGENT_OUTCOMES, agent_tasks, full_name
from tests.support.fleets import message, reply
from tests.support.running_job import RunningJob
from tests.support.tasks import context_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

FLEET = load_fleet(Path(__file__).parents[2] / "agent_definitions" / "orders")
PREFIX = "orders."
TOPICS = tuple(agent_tasks(name) for name in FLEET.agents)
ORDERS = 60
FATES: dict[int, tuple[dict[str, Any], str]] = {
    1: ({"payment_method": "declined_card"}, "compensated"),
    2: ({"trouble": {"at": "ship", "kind": "refuse"}}, "compensated"),
    3: ({"product_id": "unicorn"}, "failed"),
    4: (
        {"payment_method": "declined_card", "trouble": {"at": "release", "kind": "once"}},
        "compensated",
    ),
}
"""By the order's number modulo ten: what is wrong with it, and how it must end; all others complete."""

# The client has no types; naming it Any once keeps the calls readable.
_Consumer: Any = kafka.KafkaConsumer


def _order(number: int) -> tuple[dict[str, Any], str]:
    more, status = FATES.get(number % 10, ({}, "completed"))
    data = {
        "order_id": f"order-{number}",
        "product_id": "teapot",
        "quantity": 1 + number % 3,
        "amount": 1000 + number,
        "payment_method": "card",
        "shipping_address": "1 Example Street",
    }
    return {**data, **more}, status


@contextmanager
def _agents(job: RunningJob, servers: str, folder: Path, *, prefix: str = PREFIX) -> Iterator[None]:
    """The fleet's agents, as one thread: committed tasks in, answers out, effects in the books of `folder`."""
    context, is_over = context_of(folder), threading.Event()
    handlers = {name: handler_from(definition) for name, definition in FLEET.agents.items()}
    topics = [full_name(prefix, topic) for topic in TOPICS]
    consumer = _Consumer(
        *topics,
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )

    deadline = time.monotonic() + 30
    # A first poll before the client knows a topic can leave it without that topic's partitions.
    while not all(consumer.partitions_for_topic(topic) for topic in topics):
        assert time.monotonic() < deadline, f"the client does not see {topics}"
        time.sleep(0.1)

    def work() -> None:
        while not is_over.is_set():
            for batch in consumer.poll(100).values():
                for record in batch:
                    task: Envelope = Envelope.from_json(record.value)
                    handle: Any = handlers[task.target or ""](Task(task, 1), context)
                    result = asyncio.run(handle)
                    if isinstance(result, Terminal):
                        job.send(
                            reply(
                                task,
                                {"detail": result.detail, "permanent": result.is_permanent},
                                kind=TASK_FAILED,
                            )
                        )
                    else:
                        assert isinstance(result, Reply)
                        output = FLEET.agents[task.target or ""].output
                        job.send(reply(task, result.data, kind=output.type))

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield
        finally:
            is_over.set()
            # What ended it is the test's error, not only the outcomes that never came.
            working.result()
            consumer.close()


def test_orders_survive_a_killed_taskmanager_and_books_add_up(
    broker: TemporaryBroker, cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """Killed twice between steps and compensations: each order has the one outcome it must have, each task went out once."""
    orders = {data["order_id"]: (data, status) for data, status in map(_order, range(ORDERS))}
    broker.create_topics(*FLEET.agents, prefix=PREFIX)
    with RunningJob(
        broker, cluster, PREFIX, delivery="exactly_once", checkpoint_interval_ms=500
    ) as job:
        job.apply_fleet(FLEET)
        job.start()
        with _agents(job, broker.bootstrap_servers, tmp_path):
            for name, (data, _) in orders.items():
                job.send(message(f"m-{name}", data, conversation=name, type="order.placed"))
            for share in (4, 2):
                job.wait_for(TOPICS, lambda found, n=share: len(found) >= 2 * ORDERS // n)
                cluster.kill_taskmanager()
                cluster.start_taskmanager()
            ended = job.records((AGENT_OUTCOMES,), ORDERS, timeout_seconds=120)
            tasks = job.wait_for(TOPICS, lambda found: len(found) >= 2 * ORDERS)
            decisions = job.wait_for((AGENT_DECISIONS,), lambda found: len(found) >= len(tasks))

    outcomes = [Outcome.model_validate(one) for one in ended]
    assert {one.conversation_id: one.status for one in outcomes} == {
        name: status for name, (_, status) in orders.items()
    }
    assert len(outcomes) == ORDERS
    assert max(Counter(json.loads(one.value)["id"] for one in tasks).values()) == 1
    slots = Counter((r["message_id"], r["slot"]) for r in (json.loads(d.value) for d in decisions))
    assert max(slots.values()) == 1
    sold = [data for data, status in orders.values() if status == "completed"]
    books = Books(tmp_path / BOOKS_FILE)
    assert books.in_stock("teapot") == OPENING_STOCK["teapot"] - sum(o["quantity"] for o in sold)
    assert books.takings_cents() == sum(one["amount"] for one in sold)


def test_cancelled_orders_are_undone_across_a_killed_taskmanager(
    broker: TemporaryBroker, cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """Cancelled while a step is out, killed before it is answered: each ends `cancelled`, undone, and the others complete."""
    prefix, number = "cancelled.", 12
    orders = {f"cancel-{n}": _order(5)[0] | {"order_id": f"cancel-{n}"} for n in range(number)}
    unwanted = [name for place, name in enumerate(orders) if place % 2]
    broker.create_topics(*FLEET.agents, prefix=prefix)
    with RunningJob(
        broker, cluster, prefix, delivery="exactly_once", checkpoint_interval_ms=500
    ) as job:
        job.apply_fleet(FLEET)
        job.start()
        for name, data in orders.items():
            job.send(message(f"m-{name}", data, conversation=name, type="order.placed"))
        # Nobody works yet, so each order waits for its stock to be set aside.
        job.wait_for(TOPICS, lambda found: len(found) == number)
        for name in unwanted:
            data = {"reason": "changed my mind", "started_by": f"m-{name}"}
            job.send(message(f"x-{name}", data, conversation=name, type=WORKFLOW_CANCEL))
        job.wait_for((AGENT_DECISIONS,), lambda found: len(found) >= number + len(unwanted))
        cluster.kill_taskmanager()
        cluster.start_taskmanager()
        with _agents(job, broker.bootstrap_servers, tmp_path, prefix=prefix):
            ended = job.records((AGENT_OUTCOMES,), number, timeout_seconds=120)
            decisions = job.wait_for((AGENT_DECISIONS,), lambda found: len(found) >= 3 * number)

    outcomes = {one.conversation_id: one for one in map(Outcome.model_validate, ended)}
    for name in orders:
        assert outcomes[name].status == ("cancelled" if name in unwanted else "completed")
    for name in unwanted:
        assert outcomes[name].detail == (
            "workflow fulfil_order: cancelled by cli: changed my mind; undone: reserve"
        )
    slots = Counter((r["message_id"], r["slot"]) for r in (json.loads(d.value) for d in decisions))
    assert max(slots.values()) == 1
    books = Books(tmp_path / BOOKS_FILE)
    sold = sum(one["quantity"] for name, one in orders.items() if name not in unwanted)
    assert books.in_stock("teapot") == OPENING_STOCK["teapot"] - sold
