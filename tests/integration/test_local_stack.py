"""The whole stack: up, status, a killed process, down, and up again from the savepoint. Real processes, own ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import get_args

import httpx
import psutil
import pytest
from playwright.sync_api import expect
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from connectors.prometheus import targets_folder
from signalbox.errors import StackError, UsageError
from signalbox.local_stack import api, ports, sql_client
from signalbox.local_stack.java import find_java
from signalbox.local_stack.layout import PROJECT_ROOT, layout_of
from signalbox.local_stack.status import StackStatus
from signalbox.metric_names import (
    METRICS,
    AgentMetric,
    GatewayMetric,
    ProcessMetric,
    ReadModelMetric,
    exposed,
)
from signalbox.settings import Settings
from tests.support.browser import PATIENCE_MS, browser_page, picture
from tests.support.collector import Collector
from tests.support.desk import Desk

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """What the stack's traces are sent to."""
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Settings]:
    """Settings with a home and ports of their own; whatever still runs at the end is taken down."""
    made = Settings(
        home=tmp_path_factory.mktemp("stack"),
        kafka={"port": ports.free_port()},
        flink={
            "rest_port": ports.free_port(),
            "metrics_ports": f"{ports.free_port()},{ports.free_port()}",
        },
        gateway={"port": ports.free_port()},
        traces={"endpoint": collector.endpoint},
    )
    yield made
    api.down(made)


@pytest.fixture(scope="module")
def stack(settings: Settings) -> Settings:
    """The stack, up and detached."""
    assert api.up(settings, detach=True)
    return settings


@pytest.fixture(scope="module")
def desk(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A further fleet for the running stack, in a folder of its own."""
    made = Desk(stack, tmp_path_factory.mktemp("desk"))
    yield made
    made.close()


def _decides_by(desk: Desk, definitions: str) -> bool:
    """Send a ticket, and say whether its decision was taken by this set."""
    (ticket,) = desk.send()
    desk.until(lambda: bool(desk.decisions(ticket)), "no decision")
    return desk.decisions(ticket)[0].definitions_digest == definitions


def _runs_what_is_active(desk: Desk) -> bool:
    clerk = desk.clerk()
    return clerk is not None and clerk.running == (clerk.digest,)


def _pid(settings: Settings, kind: str) -> int:
    return next(p.pid for p in api.status(settings).processes if p.kind == kind)


def _until(holds: Callable[[], bool], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def _left_of(settings: Settings) -> list[str]:
    """Return every process whose command line or environment names this stack's home."""
    home = str(settings.home)
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            mentions = home in " ".join(process.cmdline()) or home in process.environ().values()
            if mentions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue
    return found


def test_stack_up_runs_everything(stack: Settings) -> None:
    """After `up --detach` every process, job and agent runs, and the status is JSON."""
    found: StackStatus = api.status(stack)

    assert found.is_healthy, found
    assert {"supervisor", "broker", "jobmanager", "taskmanager", "agent", "gateway"} == {
        process.kind for process in found.processes
    }
    assert {job.name: job.state for job in found.jobs} == {
        "orchestrate": "RUNNING",
        "incoming_leads": "RUNNING",
    }
    assert {agent.state for agent in found.agents} == {"running"}
    assert all(process.rss_bytes > 0 for process in found.processes)
    json.dumps(found.as_json())


def test_stack_lead_posted_to_the_gateway_is_mailed(stack: Settings) -> None:
    """What `up` started is enough: a lead by POST goes through all agents, and its conversation is `completed`."""
    file = PROJECT_ROOT / "agent_definitions" / "sdr" / "demo" / "leads.jsonl"
    lead = json.loads(file.read_text("utf-8").splitlines()[0])
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.gateway.port}", timeout=30) as gateway:
        sent = gateway.post("/leads", json=lead)
        assert sent.status_code == 202, sent.text
        place = sent.headers["location"]
        _until(lambda: gateway.get(place).json().get("outcome") is not None, "no outcome")
        shown = gateway.get(place).json()
        agents = gateway.get("/agents").json()["agents"]

    assert shown["outcome"]["status"] == "completed"
    assert shown["messages"][0]["data"] == {"lead": lead}
    assert {one["agent"] for one in shown["decisions"]} >= {"lead_ingestion", "lead_scoring"}
    assert all(one["instances"] == 1 and not one["is_silent"] for one in agents)


def _scraped(address: str) -> dict[str, list[Sample]]:
    """Every family of an address with its samples, by the name that the list has."""
    text = httpx.get(f"http://{address}/metrics").raise_for_status().text
    found = {}
    for family in text_string_to_metric_families(text):
        is_counter = family.type == "counter"
        found[f"{family.name}_total" if is_counter else family.name] = family.samples
    return found


def _told_by(stack: Settings) -> dict[str, list[dict[str, list[Sample]]]]:
    """What each target tells, by its job: as Prometheus would find them."""
    told: dict[str, list[dict[str, list[Sample]]]] = {}
    for path in targets_folder(stack).glob("*.json"):
        for group in json.loads(path.read_text()):
            for address in group["targets"]:
                told.setdefault(group["labels"]["job"], []).append(_scraped(address))
    for port in (stack.flink.metrics_ports or "").split(","):
        told.setdefault("flink", []).append(_scraped(f"127.0.0.1:{port}"))
    return told


def test_stack_tells_prometheus_every_metric_of_the_list(stack: Settings) -> None:
    """Gateway, each agent, read model, and the job in Flink's real reporter, under the names that the dashboards ask for."""
    # A source tells of its lag once it has fetched.
    flink = {exposed(name) for name, metric in METRICS.items() if metric.owner in {"job", "flink"}}
    _until(
        lambda: flink <= {name for each in _told_by(stack)["flink"] for name in each},
        "Flink does not tell every metric",
        seconds=30,
    )
    told = _told_by(stack)

    assert {job: len(found) for job, found in told.items()} == {
        "flink": 2,
        "gateway": 1,
        "readmodel": 1,
        "agents": 5,
    }
    for job, names in (
        ("gateway", GatewayMetric),
        ("agents", AgentMetric),
        ("readmodel", ReadModelMetric),
    ):
        for one in told[job]:
            assert {*get_args(names), *get_args(ProcessMetric)} <= one.keys(), job


def test_stack_metrics_say_what_became_of_the_lead(stack: Settings) -> None:
    """One lead went through everybody: each agent answered, hops took some time, nothing is open or dead."""

    def value(name: str, **labels: str) -> float:
        every = [one for found in _told_by(stack).values() for one in found]
        return sum(
            sample.value
            for one in every
            for sample in one.get(name, ())
            if labels.items() <= sample.labels.items()
            and not sample.name.endswith(("_bucket", "_sum", "_created"))
        )

    for agent in ("lead_ingestion", "lead_scoring", "send_email"):
        answered = value("signalbox_agent_tasks_total", agent=agent, outcome="answered")
        assert answered >= 1, agent
        assert value("signalbox_agent_handling_seconds", agent=agent) == value(
            "signalbox_agent_attempts_total", agent=agent
        )
    messages = value(exposed("signalbox.messages"))
    hops = value("signalbox_readmodel_hop_seconds")
    assert value("signalbox_gateway_requests_total", route="/leads", status="202") == 1
    assert value("signalbox_gateway_published_total") >= 1
    assert messages > hops >= 3
    assert value(exposed("signalbox.decisions")) >= hops
    assert value(exposed("signalbox.dead_letters")) == 0
    _until(lambda: value("signalbox_readmodel_open_conversations") == 0, "one is open", 30)
    assert value("signalbox_readmodel_heartbeat_age_seconds") < 5 * 15


def test_stack_exports_a_conversation_as_one_trace(stack: Settings, collector: Collector) -> None:
    """From the client's span over gateway and decisions to the last agent, with nothing missing in between."""
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    file = PROJECT_ROOT / "agent_definitions" / "sdr" / "demo" / "leads.jsonl"
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.gateway.port}", timeout=30) as gateway:
        sent = gateway.post(
            "/leads",
            content=file.read_text("utf-8").splitlines()[1],
            headers={"content-type": "application/json", "traceparent": f"00-{trace}-{span}-01"},
        )
        place = sent.headers["location"]
        _until(lambda: gateway.get(place).json().get("outcome") is not None, "no outcome")
        shown = gateway.get(place).json()
    _until(lambda: any(one.trace_id == trace for one in collector.spans), "no trace", 60)
    found = [one for one in collector.spans if one.trace_id == trace]

    (root,) = [one for one in found if one.parent == span]
    assert root.attributes["signalbox.conversation"] == sent.json()["conversation_id"]
    assert {one.parent for one in found if one is not root} <= {one.id for one in found}
    assert len({one.id for one in found}) == len(found)
    services = {one.service for one in found}
    assert {"signalbox-gateway", "signalbox-orchestrator", "agent-send_email"} <= services
    assert len([one for one in found if one.name.startswith("decide ")]) == len(shown["decisions"])
    assert not [one for one in found if one.is_error]
    assert all(root.start_ms <= one.start_ms <= one.end_ms <= root.end_ms for one in found)


def test_stack_lead_typed_into_the_form_is_completed_before_the_visitors_eyes(
    stack: Settings,
) -> None:
    """In a browser: sent, followed, and `completed` on its page, which nobody loads again; a decision opened is explained."""
    with browser_page(stack.gateway.port) as page:
        page.goto("/ui/lead")
        page.get_by_label("Name").fill("Ada <b>Vale</b>")
        page.get_by_label("Email").fill("ada@vale.example")
        page.get_by_label("Company").fill("Vale")
        page.get_by_label("Job title").fill("CTO")
        page.get_by_label("What would you like to do?").fill("We want a pilot next month.")
        picture(page, "lead")
        page.get_by_role("button", name="Send").click()
        page.get_by_role("link", name="follow the conversation").click()
        page.evaluate("window.isTheSamePage = true")
        expect(page.get_by_role("status")).to_have_text("completed")
        hop = page.locator("details.hop").first
        hop.locator("summary").click()
        expect(hop).to_contain_text("only lead_ingestion accepts the data")
        expect(hop).to_contain_text("Budget left")
        picture(page, "conversation")

        assert page.evaluate("window.isTheSamePage")
        assert page.locator("li.entry").count() == 6
        expect(page.locator("b")).to_have_count(0)


def test_stack_live_picture_counts_every_message_that_moves(stack: Settings) -> None:
    """In a browser: each lead in, to its agents, back and out, by path; levels come from the job and the heartbeats."""
    address = f"http://127.0.0.1:{stack.gateway.port}/leads"
    lead = {"email": "ada@vale.example", "company_name": "Vale", "lead_source": "Webinar"}
    with browser_page(stack.gateway.port) as page:
        page.goto("/ui/live")
        expect(page.locator("#stream")).to_have_text("live")
        expect(page.locator("#model_in_flight")).to_have_text("0")
        for name in ("Ada", "Bo", "Cy"):
            sent = {**lead, "name": name, "job_title": "CTO"}
            assert httpx.post(address, json=sent).status_code == 202
        expect(page.locator('[data-count="ended"]')).to_have_text("3")
        picture(page, "live")

        counted = {
            name: page.locator(f'[data-count="{name}"]').text_content()
            for name in ("in", "to:lead_ingestion", "to:lead_scoring", "to:send_email")
        }
        assert set(counted.values()) == {"3"}
        assert page.locator("#breaker").text_content() == "closed"
        expect(page.locator("#lines tr")).to_have_count(14)
        page.goto("/ui/agents")
        expect(page.get_by_role("row").filter(has_text="lead_scoring")).to_contain_text("active")
        picture(page, "agents")


def test_stack_up_again_says_what_runs(stack: Settings) -> None:
    """A second `up` starts nothing and names the processes; `--fresh` is refused while it runs."""
    said: list[str] = []

    assert not api.up(stack, detach=True, report=said.append)
    assert "already running" in said[0]
    assert "broker (pid" in said[0]
    with pytest.raises(UsageError, match="signalbox down"):
        api.up(stack, detach=True, fresh=True)


def test_stack_doctor_knows_its_own_ports(stack: Settings) -> None:
    """The ports the stack uses are no complaint."""
    checks = {check.name: check for check in api.doctor(stack)}

    assert all(check.ok for check in checks.values()), checks
    assert "used by this stack" in checks["kafka port"].found


def test_stack_question_starts_one_gateway_that_stays(stack: Settings) -> None:
    """The first question makes the supervisor start a SQL Gateway; the next one finds it; `down` ends it (below)."""
    cluster = layout_of(stack, find_java()).cluster

    def ask() -> list[tuple[object, ...]]:
        question = "SELECT COUNT(*) FROM outcomes WHERE status = 'expired';"
        answers = sql_client.ask(cluster, stack, stack.home, question)
        return [row for answer in answers for row in answer.rows]

    first = ask()
    pid = _pid(stack, "sql_gateway")
    second = ask()

    assert first == second == [("0",)]
    assert _pid(stack, "sql_gateway") == pid
    assert api.status(stack).is_healthy


def test_stack_applied_agent_gets_what_only_it_accepts(stack: Settings, desk: Desk) -> None:
    """`agents apply` while everything runs: the next message is decided by the new set, dispatched and answered; no job restarts."""
    jobs = [(job.id, job.resubmissions) for job in api.status(stack).jobs]
    desk.endpoint.may_answer.set()
    desk.write()

    applied = desk.command("apply", str(desk.folder))
    desk.until(lambda: _decides_by(desk, applied["definitions"]), "the new set decides nothing")
    (ticket,) = desk.send()

    desk.until(lambda: desk.outcomes().get(ticket) == "completed", "the ticket has no outcome")
    first = desk.decisions(ticket)[0]
    assert (applied["added"], first.agent, first.path) == (["clerk"], "clerk", "contract")
    assert first.definitions_digest == applied["definitions"]
    assert desk.answers()[ticket] == "/v1"
    assert [(job.id, job.resubmissions) for job in api.status(stack).jobs] == jobs


def test_stack_invalid_definition_changes_nothing(desk: Desk) -> None:
    """Neither topics nor registry nor processes change by a fleet of which one file is wrong; the error names its place."""
    before, pid = desk.held(), desk.pid()
    desk.write("/v2")
    (desk.folder / "typist.yaml").write_text("name: typist\ndescription: Types.\nmood: bad\n")

    said = desk.refused("apply", str(desk.folder))

    (desk.folder / "typist.yaml").unlink()
    assert "typist.yaml:" in said
    assert (desk.held(), desk.pid()) == (before, pid)
    assert not desk.has_topic("agent_tasks_typist")


def test_stack_changed_definition_is_taken_up_between_two_tasks(desk: Desk) -> None:
    """What is in hand ends as it began, what waits is done by the new definition; nothing twice, by the same process."""
    pid = desk.pid()
    in_hand, waiting = desk.send_and_hold(3)
    desk.write("/v2")

    changed = desk.command("apply", str(desk.folder))
    desk.until(lambda: _runs_what_is_active(desk), "the change was not taken up")
    desk.endpoint.may_answer.set()

    desk.until(lambda: {in_hand, *waiting} <= desk.outcomes().keys(), "not all ended")
    answers = desk.answers()
    assert changed["changed"] == ["clerk"]
    assert [answers[ticket] for ticket in (in_hand, *waiting)] == ["/v1", "/v2", "/v2"]
    assert sorted(t for _, t in desk.endpoint.asked) == sorted({t for _, t in desk.endpoint.asked})
    assert desk.pid() == pid


def test_stack_removed_agent_works_off_what_waits(stack: Settings, desk: Desk) -> None:
    """`agents remove`: it gets nothing new, all that waited is answered and its conversations complete, then its process ends."""
    in_hand, waiting = desk.send_and_hold(3)
    tickets = {in_hand, *waiting}

    removed = desk.command("remove", "clerk")
    desk.until(lambda: (one := desk.clerk()) is not None and not one.is_active, "not draining")
    assert desk.clerk_state() == "draining"
    desk.until(lambda: _decides_by(desk, removed["definitions"]), "the smaller set decides nothing")
    (late,) = desk.send()
    desk.until(lambda: desk.outcomes().get(late) == "none", "somebody took the late one")
    desk.endpoint.may_answer.set()

    desk.until(lambda: tickets <= desk.outcomes().keys(), "not all ended")
    desk.until(lambda: desk.pid() == 0, "the process did not end")
    assert {desk.outcomes()[ticket] for ticket in tickets} == {"completed"}
    assert api.status(stack).is_healthy


def test_stack_agent_removed_with_dead_letters_ends_what_waits(stack: Settings, desk: Desk) -> None:
    """`--backlog dead-letter`: what waits fails at once as `agent_removed`; what is in hand is still answered."""
    desk.command("apply", str(desk.folder))
    desk.until(lambda: desk.clerk_state() == "running", "it did not come back")
    in_hand, waiting = desk.send_and_hold(3)

    desk.command("remove", "clerk", "--backlog", "dead-letter")

    desk.until(lambda: set(waiting) <= desk.outcomes().keys(), "what waits did not end")
    letters = desk.dead_letters()
    assert {desk.outcomes()[ticket] for ticket in waiting} == {"failed"}
    assert {letters[f"desk-{ticket}"] for ticket in waiting} == {"agent_removed"}
    assert in_hand not in desk.outcomes()
    desk.endpoint.may_answer.set()
    desk.until(lambda: desk.outcomes().get(in_hand) == "completed", "the one in hand was lost")
    desk.until(lambda: desk.pid() == 0, "the process did not end")


@pytest.mark.parametrize("kind", ["agent", "taskmanager"])
def test_stack_killed_process_is_restarted(stack: Settings, kind: str) -> None:
    """A process killed from outside is back under another pid, and the stack is healthy again."""
    killed = _pid(stack, kind)
    os.kill(killed, signal.SIGKILL)

    _until(lambda: killed not in {p.pid for p in api.status(stack).processes}, "still listed")
    _until(
        lambda: api.status(stack).is_healthy,
        f"{kind} did not come back; see the events in {stack.home / 'stack.json'}",
    )
    restarted = next(p for p in api.status(stack).processes if p.kind == kind)
    assert restarted.restarts == 1


def test_stack_down_leaves_nothing_and_up_resumes(stack: Settings) -> None:
    """`down` ends every process and keeps savepoints; `up` starts from them; a dead supervisor is cleaned up after."""
    assert api.down(stack)

    assert _left_of(stack) == []
    stopped = api.status(stack)
    savepoints = {job.name: job.restore_from for job in stopped.jobs}
    assert stopped.phase == "stopped"
    assert all("savepoint" in (path or "") for path in savepoints.values())

    said: list[str] = []
    api.up(stack, detach=True, report=said.append)
    assert any("job orchestrate is being submitted from savepoint" in line for line in said)
    assert {job.name: job.restore_from for job in api.status(stack).jobs} == savepoints

    os.kill(_pid(stack, "supervisor"), signal.SIGKILL)
    _until(lambda: not api.is_running(stack), "the supervisor lives")
    assert "supervisor died" in " ".join(api.status(stack).notes)
    assert api.down(stack)
    assert _left_of(stack) == []


def test_stack_busy_port_is_refused_before_anything_starts(settings: Settings) -> None:
    """A taken port is an error with the setting, and nothing was started."""
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        busy = settings.model_copy(
            update={"kafka": settings.kafka.model_copy(update={"port": server.getsockname()[1]})}
        )

        with pytest.raises(StackError, match="SIGNALBOX_KAFKA__PORT="):
            api.up(busy, detach=True)

    assert _left_of(settings) == []
