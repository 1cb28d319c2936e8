"""A fleet `desk` of one agent, `clerk`, behind an endpoint of the test's own that answers only when it may; on a running stack."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from connectors.kafka import KafkaBroker
from connectors.topic_reader import read_topic
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.local_stack import api
from signalbox.local_stack.agent_status import AgentStatus
from signalbox.local_stack.environment import environment_of
from signalbox.settings import Settings
from tests.support.commands import signalbox, stack_environ

PATIENCE_SECONDS: Final = 120.0


class Endpoint:
    """Answers `{answer: <path>}` once `may_answer` is set; `asked` has (path, ticket) of every request, in order."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked: list[tuple[str, int]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                task = json.loads(self.rfile.read(int(self.headers["content-length"])))
                endpoint.asked.append((self.path, task["data"]["ticket"]))
                endpoint.may_answer.wait(PATIENCE_SECONDS)
                body = json.dumps({"answer": self.path}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Let everybody go."""
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()


class Desk:
    """The fleet's files, what is sent to it, and what became of that."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.endpoint = Endpoint()
        self.folder = folder
        self._settings = settings
        self._broker = KafkaBroker(settings.kafka.servers)
        self._environ = {**stack_environ(settings.home), **environment_of(settings)}
        self._sent = 0

    def write(self, path: str = "/v1", **more: Any) -> None:
        """Write the fleet's files, as YAML may look too; `clerk` asks `path` of the endpoint, one task at a time."""
        self.folder.mkdir(exist_ok=True)
        policy = {"name": "desk", "completes_on": ["desk.done"]}
        clerk = {
            "name": "clerk",
            "description": "Answers tickets.",
            "input": {
                "description": "A ticket's number.",
                "schema": {
                    "type": "object",
                    "required": ["ticket"],
                    "properties": {"ticket": {"type": "integer"}},
                    "additionalProperties": False,
                },
            },
            "output": {
                "type": "desk.done",
                "description": "An answer.",
                "schema": {"type": "object", "required": ["answer"]},
            },
            "handler": {"http": {"url": f"{self.endpoint.url}{path}"}},
            "limits": {"max_concurrent": 1, "timeout_seconds": 300},
            "handoffs": [],
            **more,
        }
        for name, value in (("fleet", policy), ("clerk", clerk)):
            (self.folder / f"{name}.yaml").write_text(json.dumps(value))

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run `signalbox agents …` and return what it prints as JSON; it must succeed."""
        ended = signalbox(self._environ, "agents", *arguments, "--json")
        assert ended.returncode == 0, ended.stderr
        answer: dict[str, Any] = json.loads(ended.stdout)
        return answer

    def refused(self, *arguments: str) -> str:
        """Run `signalbox agents …`, which must fail, and return what it says."""
        ended = signalbox(self._environ, "agents", *arguments)
        assert ended.returncode != 0, ended.stdout
        return ended.stderr

    def send(self, count: int = 1) -> list[int]:
        """Send messages that only `clerk` accepts; return their tickets."""
        tickets = [self._sent + number for number in range(count)]
        self._sent += count
        producer = self._broker.producer()
        for ticket in tickets:
            message = Envelope(
                id=f"desk-m-{ticket}",
                source="cli",
                type="ticket.opened",
                time=datetime.now(UTC),
                subject=f"desk-{ticket}",
                data={"ticket": ticket},
            )
            producer.send("agent_messages", key=message.subject.encode(), value=message.to_json())
        producer.flush(30)
        producer.close()
        return tickets

    def send_and_hold(self, count: int) -> tuple[int, list[int]]:
        """Send messages and let none be answered: the ticket that the clerk has in hand, and those that wait for it."""
        self.endpoint.may_answer.clear()
        tickets = self.send(count)
        self.until(lambda: any(t in tickets for _, t in self.endpoint.asked), "no task came")
        self.until(lambda: all(map(self.decisions, tickets)), "not all are decided")
        in_hand = next(t for _, t in self.endpoint.asked if t in tickets)
        return in_hand, [ticket for ticket in tickets if ticket != in_hand]

    def decisions(self, ticket: int) -> list[Decision]:
        """Decisions about the ticket, those about its answer included."""
        found = [Decision.from_json(value) for value in self._values("agent_decisions")]
        return [one for one in found if one.conversation_id == f"desk-{ticket}"]

    def outcomes(self) -> dict[int, str]:
        """Ticket → how its conversation ended."""
        found = [Outcome.from_json(value) for value in self._values("agent_outcomes")]
        return {
            int(one.conversation_id.removeprefix("desk-")): one.status
            for one in found
            if one.conversation_id.startswith("desk-")
        }

    def dead_letters(self) -> dict[str, str]:
        """Conversation → reason."""
        found = [DeadLetter.from_json(value) for value in self._values("agent_messages_dlq")]
        return {str(one.conversation_id): one.reason for one in found}

    def answers(self) -> dict[int, str]:
        """Ticket → the path that answered, of all answers on `agent_messages`; two answers to one fail."""
        found: dict[int, str] = {}
        for value in self._values("agent_messages"):
            message: Envelope = Envelope.from_json(value)
            if message.source == "agent/clerk" and message.type == "desk.done":
                ticket = int(message.subject.removeprefix("desk-"))
                assert ticket not in found, f"{ticket} was answered twice"
                found[ticket] = message.data["answer"]
        return found

    def held(self) -> int:
        """How many records all topics of the registry and the desk hold."""
        names = {"agent_registry", "agent_tasks_clerk"}
        return sum(one.offsets for one in api.status(self._settings).topics if one.name in names)

    def has_topic(self, name: str) -> bool:
        """Whether the broker has such a topic."""
        reader = self._broker.log_reader()
        try:
            return bool(reader.partitions(name))
        finally:
            reader.close()

    def clerk(self) -> AgentStatus | None:
        """How the clerk is; None when it is neither active nor draining."""
        agents = {one.name: one for one in api.status(self._settings).agents}
        return agents.get("clerk")

    def clerk_state(self) -> str:
        """The state of the clerk's process, empty where there is none."""
        processes = api.status(self._settings).processes
        return next((one.state for one in processes if one.name == "agent clerk"), "")

    def pid(self) -> int:
        """The clerk's process, 0 where there is none."""
        processes = api.status(self._settings).processes
        return next((one.pid for one in processes if one.name == "agent clerk"), 0)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            log = self._settings.home / "logs" / "agent-clerk.log"
            tail = log.read_text()[-3000:] if log.is_file() else ""
            assert time.monotonic() < deadline, f"{what}\n{tail}"
            time.sleep(0.1)

    def close(self) -> None:
        """End the endpoint."""
        self.endpoint.close()

    def _values(self, topic: str) -> list[bytes]:
        return [record.value or b"" for record in read_topic(self._broker, topic)]
