"""One agent process: waits for its definition on `agent_registry`, serves it, follows changes, drains on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Final

import structlog

from agents.clock import Clock, SystemClock, moment
from agents.handlers import handler_from
from agents.hands import ContextFactory
from agents.heartbeat import HeartbeatSender
from agents.intake import Intake
from agents.ledger import Ledger
from agents.runner import Runner
from agents.serving import AgentTopics, Serving
from agents.settle import Attempt, status_message
from agents.task import Context, Handler
from connectors.broker import Broker, FencedError, OutgoingRecord, Producer
from connectors.chat_model import ChatModel
from connectors.models import chat_model_from
from connectors.registry import follow_active_set
from connectors.smtp import SmtpServer
from connectors.website import WebsiteReader
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.specs import AgentDefinition
from signalbox.errors import ConfigurationError, SignalboxError
from signalbox.settings import Settings

_HANDLER_THREADS: Final = 64
_RETRY_FOLLOW_SECONDS: Final = 1.0

EXIT_DRAINED: Final = 0
EXIT_FENCED: Final = 3


class AgentProcess:
    """Agent `name` in this process.

    `instance` tells processes of one agent apart and is stable over restarts. `handlers` builds what a definition
    names; give another one to serve functions from packages of your own.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        settings: Settings,
        *,
        instance: str = "0",
        handlers: Callable[[AgentDefinition], Handler] = handler_from,
    ) -> None:
        self._name = name
        self._instance = instance
        self._handlers = handlers
        self._broker = broker
        self._settings = settings
        self._topics = AgentTopics.of(name, settings.kafka.topic_prefix)
        self._group = f"{settings.kafka.group_prefix}agent_{name}"
        self._clock: Clock = SystemClock()
        self._log = structlog.get_logger().bind(agent=name)
        self._stopped = threading.Event()
        self._served: asyncio.Queue[Serving | None] = asyncio.Queue()
        self._taken: Serving | None = None
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")

    async def run(self) -> int:
        """Serve until SIGTERM, SIGINT or the agent's removal; return the exit code."""
        loop = asyncio.get_running_loop()
        # Plain functions run in threads: the default of cpu + 4 would be a second, hidden limit.
        loop.set_default_executor(ThreadPoolExecutor(_HANDLER_THREADS, "handler"))
        following = threading.Thread(
            target=self._follow, args=(loop,), name="registry", daemon=True
        )
        following.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        self._log.info("agent.waiting", reason="for its definition on the registry")
        serving = await self._served.get()
        if serving is None:
            return EXIT_DRAINED
        chat_model = chat_model_from(self._settings.model)
        producer = await loop.run_in_executor(None, self._broker.producer)
        try:
            return await self._serve(serving, chat_model, producer)
        finally:
            self._stopped.set()
            await chat_model.close()
            with suppress(SignalboxError):  # the last heartbeat may be lost
                await loop.run_in_executor(None, producer.close)

    def _stop(self) -> None:
        self._log.info("agent.draining")
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
        )
        limits = serving.definition.limits
        self._log.info(
            "agent.started",
            instance=self._instance,
            digest=serving.definition.digest,
            max_concurrent=limits.max_concurrent,
            model=chat_model.name,
        )
        heartbeats = HeartbeatSender(
            lambda heartbeat: self._send_aside(producer, self._record(heartbeat)),
            self._clock,
            lambda: self._observe(runner),
        )
        heartbeats.beat()
        watching = asyncio.create_task(self._watch(runner))
        try:
            await runner.run()
        except FencedError as error:
            self._log.error("agent.fenced", detail=str(error))
            return EXIT_FENCED
        finally:
            watching.cancel()
            heartbeats.stop()
        return EXIT_DRAINED

    async def _watch(self, runner: Runner) -> None:
        while (serving := await self._served.get()) is not None:
            runner.switch(serving)
        runner.stop()

    def _observe(self, runner: Runner) -> Heartbeat:
        counters = runner.counters
        return Heartbeat(
            agent=self._name,
            instance=self._instance,
            active=counters.active,
            max_concurrent=runner.serving.definition.limits.max_concurrent,
            handled=counters.handled,
            failed=counters.failed,
            definitions=runner.serving.definitions,
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
    ) -> Callable[[str], Awaitable[None]]:
        numbers = count(1)

        async def report(text: str) -> None:
            now_ms = self._clock.now_ms()
            record = status_message(serving, self._topics, attempt, text, next(numbers), now_ms)
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
                self._log.warning("record.missed", topic=record.topic, detail=str(error))

        return self._aside.submit(send)

    # the registry, in its own thread

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopped.is_set():
            try:
                self._follow_once(loop)
            except SignalboxError as error:
                self._log.warning("registry.unreadable", detail=str(error))
                self._stopped.wait(_RETRY_FOLLOW_SECONDS)

    def _follow_once(self, loop: asyncio.AbstractEventLoop) -> None:
        prefix = self._settings.kafka.topic_prefix
        for active in follow_active_set(
            self._broker, topic_prefix=prefix, is_stopped=self._stopped.is_set
        ):
            self._take(loop, active)

    def _take(self, loop: asyncio.AbstractEventLoop, active: ActiveSet) -> None:
        definition = active.agents.get(self._name)
        if definition is None:
            if self._taken is not None:
                self._log.info("agent.removed")
                loop.call_soon_threadsafe(self._stop)
            return
        try:
            serving = self._serving(definition, active.digest)
        except (ConfigurationError, ValueError) as error:
            # With an old definition in service that one goes on; without one the process waits for a better one.
            self._log.error("definition.unusable", digest=definition.digest, detail=str(error))
            return
        self._taken = serving
        loop.call_soon_threadsafe(self._served.put_nowait, serving)

    def _serving(self, definition: AgentDefinition, definitions: str) -> Serving:
        if self._taken is not None and self._taken.definition.digest == definition.digest:
            return replace(self._taken, definitions=definitions)
        return Serving.of(definition, self._handlers(definition), definitions=definitions)
