"""One agent process: waits for its definition on `agent_registry`, serves it, follows changes, drains on SIGTERM.

A change that runs no code of ours (a prompt, an endpoint, limits) is taken up between two tasks; one that does ends the
process when its work is done, for a new one. A removed agent works off what its topic holds, or turns it away.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any, Final

import structlog

from agents.clock import Clock, SystemClock, moment
from agents.control_watch import ControlWatch
from agents.exit_codes import EXIT_DRAINED, EXIT_FENCED, EXIT_RENEWED
from agents.handlers import handler_from
from agents.hands import ContextFactory
from agents.heartbeat import HeartbeatSender
from agents.intake import Intake
from agents.ledger import Ledger
from agents.metrics import families
from agents.registry_watch import Ears, RegistryWatch
from agents.runner import Runner
from agents.serving import AgentTopics, Serving
from agents.settle import MAX_STATUSES, Attempt, progress, status_message
from agents.task import Context, Handler
from connectors.broker import Broker, FencedError, OutgoingRecord, Producer
from connectors.chat_model import ChatModel
from connectors.models import chat_model_from
from connectors.prometheus import Exposition, MetricsServer, TargetFile
from connectors.smtp import SmtpServer
from connectors.website import WebsiteReader
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.definitions.specs import AgentDefinition
from signalbox.errors import SignalboxError
from signalbox.settings import Settings

_HANDLER_THREADS: Final = 64


class AgentProcess:
    """Agent `name` in this process.

    `instance` tells processes of one agent apart and is stable over restarts. `handlers` builds what a definition
    names; give another one to serve functions from packages of your own. A removed agent ends once nothing waits for it,
    or stays, with `ends_when_removed` false, where something would only start it again.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        settings: Settings,
        *,
        instance: str = "0",
        handlers: Callable[[AgentDefinition], Handler] = handler_from,
        ends_when_removed: bool = True,
    ) -> None:
        self._name = name
        self._instance = instance
        self._broker = broker
        self._settings = settings
        self._topics = AgentTopics.of(name, settings.kafka.topic_prefix)
        self._group = f"{settings.kafka.group_prefix}agent_{name}"
        self._ends_when_removed = ends_when_removed
        self._exit_code = EXIT_DRAINED
        self._clock: Clock = SystemClock()
        self._log = structlog.get_logger().bind(agent=name)
        self._stopped = threading.Event()
        self._served: asyncio.Queue[Serving | None] = asyncio.Queue()
        self._watch = RegistryWatch(
            name, broker, settings.kafka.topic_prefix, handlers, self._stopped
        )
        # Until the control topic was read: who may have to rest does nothing before it knows.
        self._is_paused = True
        self._missed = 0
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")

    async def run(self) -> int:
        """Serve until SIGTERM, SIGINT, the agent's end after its removal, or a change of its code; return the exit code."""
        loop = asyncio.get_running_loop()
        # Plain functions run in threads: the default of cpu + 4 would be a second, hidden limit.
        loop.set_default_executor(ThreadPoolExecutor(_HANDLER_THREADS, "handler"))
        self._watch.start(
            Ears(
                serve=lambda serving: self._tell(loop, self._served.put_nowait, serving),
                renew=lambda: self._tell(loop, self._renew),
            )
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        self._log.info("agent.waiting", reason="for its definition on the registry")
        serving = await self._served.get()
        if serving is None:
            return self._exit_code
        chat_model = chat_model_from(self._settings.model)
        producer = await loop.run_in_executor(None, self._broker.producer)
        try:
            return await self._serve(serving, chat_model, producer)
        finally:
            self._stopped.set()
            await chat_model.close()
            with suppress(SignalboxError):  # the last heartbeat may be lost
                await loop.run_in_executor(None, producer.close)

    def _tell(
        self, loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: Any
    ) -> None:
        if not self._stopped.is_set():
            loop.call_soon_threadsafe(call, *arguments)

    def _stop(self) -> None:
        self._log.info("agent.draining")
        self._exit_code = EXIT_DRAINED
        self._end()

    def _renew(self) -> None:
        self._exit_code = EXIT_RENEWED
        self._end()

    def _end(self) -> None:
        self._stopped.set()
        self._served.put_nowait(None)

    async def _serve(self, serving: Serving, chat_model: ChatModel, producer: Producer) -> int:
        runner = Runner(
            intake=Intake(self._broker, self._group, self._topics.tasks, self._instance),
            ledger=Ledger(self._broker, f"{self._group}-{self._instance}"),
            serving=serving,
            topics=self._topics,
            contexts=self._contexts(chat_model, producer),
            clock=self._clock,
            ends_when_empty=self._ends_when_removed,
        )
        self._log.info(
            "agent.started",
            instance=self._instance,
            digest=serving.definition.digest,
            max_concurrent=serving.definition.max_concurrent,
            model=chat_model.name,
        )
        heartbeats = HeartbeatSender(
            lambda heartbeat: self._send_aside(producer, self._record(heartbeat)),
            self._clock,
            lambda: self._observe(runner),
        )
        heartbeats.beat()
        loop = asyncio.get_running_loop()
        control = ControlWatch(
            self._name,
            self._broker,
            self._settings.kafka.topic_prefix,
            self._stopped,
            lambda is_paused: self._tell(loop, self._pause, runner, is_paused),
        )
        self._heed(runner, control)
        watching = asyncio.create_task(self._follow(runner, control))
        try:
            with self._metrics_server(runner):
                await runner.run()
        except FencedError as error:
            self._log.error("agent.fenced", detail=str(error))
            return EXIT_FENCED
        finally:
            watching.cancel()
            heartbeats.stop()
        return self._exit_code

    def _metrics_server(self, runner: Runner) -> MetricsServer:
        name, process = self._name, self._instance
        labels = {"job": "agents", "agent": name, "process": process}
        return MetricsServer(
            Exposition(lambda: families(runner, name, process, lambda: self._missed)),
            self._settings.metrics,
            TargetFile(self._settings, f"agent-{name}-{process}", labels),
        )

    def _pause(self, runner: Runner, is_paused: bool) -> None:
        self._is_paused = is_paused
        self._rest(runner)

    def _heed(self, runner: Runner, control: ControlWatch) -> None:
        """Follow the control topic where the definition says that events pause it."""
        if runner.serving.definition.pause_on is not None:
            control.start()
        self._rest(runner)

    def _rest(self, runner: Runner) -> None:
        # A removed agent is to come to its end, whatever made it rest.
        serving = runner.serving
        may_rest = serving.definition.pause_on is not None and serving.retired is None
        runner.rest(self._is_paused and may_rest)

    async def _follow(self, runner: Runner, control: ControlWatch) -> None:
        while True:
            serving = await self._served.get()
            if serving is not None:
                runner.switch(serving)
                self._heed(runner, control)
            elif self._exit_code == EXIT_RENEWED:
                # Nobody is in a hurry: whatever runs ends within its own timeout, and is not done twice.
                runner.stop(patience_ms=None)
            else:
                runner.stop()

    def _observe(self, runner: Runner) -> Heartbeat:
        counters = runner.counters
        capability = runner.serving.definition.capability
        return Heartbeat(
            agent=self._name,
            instance=self._instance,
            active=counters.active,
            max_concurrent=runner.serving.definition.max_concurrent,
            handled=counters.handled,
            failed=counters.failed,
            definitions=runner.serving.definitions,
            digest=runner.serving.definition.digest,
            draining=runner.serving.retired is not None,
            paused=runner.is_resting,
            capability=capability,
            busy_ms=None if capability is None else counters.busy_ms,
            at=moment(self._clock),
        )

    def _contexts(self, chat_model: ChatModel, producer: Producer) -> ContextFactory:
        outbox_dir = self._settings.home / "outbox"
        outbox_dir.mkdir(parents=True, exist_ok=True)
        smtp, website = self._settings.smtp, self._settings.website
        mail_server = SmtpServer(smtp) if smtp.host is not None else None
        websites = WebsiteReader(website) if website.fetch else None

        def context(attempt: Attempt, serving: Serving) -> Context:
            return Context(
                agent=self._name,
                chat_model=chat_model,
                model_timeout_seconds=self._settings.model.timeout_seconds,
                outbox_dir=outbox_dir,
                now=lambda: moment(self._clock),
                report_status=self._status_reporter(attempt, serving, producer),
                mail_server=mail_server,
                websites=websites,
            )

        return context

    def _status_reporter(
        self, attempt: Attempt, serving: Serving, producer: Producer
    ) -> Callable[[str, float | None], Awaitable[None]]:
        numbers = count(1)

        async def report(text: str, percent: float | None) -> None:
            now_ms, number = self._clock.now_ms(), next(numbers)
            if number > MAX_STATUSES:
                if number == MAX_STATUSES + 1:
                    self._log.warning("status.dropped", task=attempt.task.id, sent=MAX_STATUSES)
                return
            data = progress(text, percent)
            record = status_message(serving, self._topics, attempt, data, number, now_ms)
            await asyncio.wrap_future(self._send_aside(producer, record))

        return report

    def _record(self, heartbeat: Heartbeat) -> OutgoingRecord:
        key = f"{heartbeat.agent}/{heartbeat.instance}".encode()
        return OutgoingRecord(self._topics.heartbeats, key, heartbeat.to_json())

    def _send_aside(self, producer: Producer, record: OutgoingRecord) -> Future[None]:
        """Send what is not part of the work, in its own thread: the first send to a topic waits for the broker.

        Delivery: at most once; what cannot be sent is logged and missed.
        """

        def send() -> None:
            try:
                producer.send(
                    record.topic, key=record.key, value=record.value, headers=record.headers
                )
            except SignalboxError as error:
                self._missed += 1
                self._log.warning("record.missed", topic=record.topic, detail=str(error))

        return self._aside.submit(send)
