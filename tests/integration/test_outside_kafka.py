"""The whole stack on a broker of others: SCRAM login, TLS with client certificates, ACLs; and where the password is not."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import kafka
import psutil
import pytest

from connectors.kafka import KafkaBroker
from connectors.topic_reader import read_topic
from signalbox.kubernetes.access import USERS, rules
from signalbox.topics import TOPICS
from tests.support.commands import signalbox, stack_environ
from tests.support.secured_broker import SecuredBroker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

USER = "stack"
CANARY = "canary-5b1e77d0"


@dataclass(frozen=True)
class Stack:
    """One running stack: the environment a person has, and its home."""

    environ: dict[str, str]
    home: Path
    told: str
    result: dict[str, Any]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return signalbox(self.environ, *arguments)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker that lets in one user, who may do what the three users of the manifests may do together."""
    folder = tmp_path_factory.mktemp("secured")
    with SecuredBroker(folder, passwords={USER: CANARY}) as running:
        for role in USERS:
            for prefix in ("login.", "tls."):
                running.allow(USER, rules(role, topic_prefix=prefix, group_prefix=prefix))
        yield running


def security(broker: SecuredBroker, way: str, folder: Path) -> dict[str, str]:
    """The environment of one way in: the password as a variable, or everything in files."""
    if way == "login":
        return {
            "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.sasl_port}",
            "KAFKA__SECURITY__PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA__SECURITY__MECHANISM": "SCRAM-SHA-256",
            "KAFKA__SECURITY__PASSWORD": CANARY,
        }
    file = folder / "password"
    file.write_text(f"{CANARY}\n")  # as an editor leaves it
    return {
        "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.tls_port}",
        "KAFKA__SECURITY__PROTOCOL": "SASL_SSL",
        "KAFKA__SECURITY__PASSWORD_FILE": str(file),
        "KAFKA__SECURITY__CA_FILE": str(broker.certificates.ca),
        "KAFKA__SECURITY__CERTIFICATE_FILE": str(broker.certificates.client),
        "KAFKA__SECURITY__KEY_FILE": str(broker.certificates.client_key),
    }


@pytest.fixture(scope="module", params=["login", "tls"])
def stack(
    request: pytest.FixtureRequest,
    secured: SecuredBroker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """The stack up on the secured broker, exactly-once, with two leads that went through all of it."""
    way = request.param
    home = tmp_path_factory.mktemp(way)
    environ = stack_environ(
        home / "stack",
        **security(secured, way, home),
        KAFKA__SECURITY__USERNAME=USER,
        KAFKA__TOPIC_PREFIX=f"{way}.",
        DELIVERY="exactly_once",
    )
    try:
        up = signalbox(environ, "up", "--detach")
        assert up.returncode == 0, up.stdout + up.stderr
        demo = signalbox(environ, "demo", "--leads", "2", "--json")
        assert demo.returncode == 0, demo.stdout + demo.stderr
        told = up.stdout + up.stderr + demo.stdout + demo.stderr
        result = json.loads(demo.stdout.strip().splitlines()[-1])
        yield Stack(environ, home / "stack", told, result)
    finally:
        signalbox(environ, "down")


def test_leads_travel_through_a_broker_that_asks_who_is_there(stack: Stack) -> None:
    """Jobs, agents and commands log in: both leads end, nothing is dead, and the status sees topics and lag."""
    assert sum(stack.result["outcomes"].values()) == 2, stack.result
    assert stack.result["dead_letters"] == 0, stack.result

    status = json.loads(stack.run("status", "--json").stdout)
    assert status["healthy"]
    assert "broker" not in {process["kind"] for process in status["processes"]}
    by_name = {topic["name"]: topic for topic in status["topics"]}
    prefix = stack.environ["SIGNALBOX_KAFKA__TOPIC_PREFIX"]
    assert set(by_name) >= {f"{prefix}{name}" for name in TOPICS}
    assert f"{prefix}agent_lead_scoring" in by_name[f"{prefix}agent_tasks_lead_scoring"]["lag"]


def test_question_in_sql_reads_the_outside_broker(stack: Stack) -> None:
    """A person's session logs in as the jobs do: its own reads, and the definitions for `route()`."""
    asked = stack.run("sql", "ask", "decisions_by_path")

    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "contract" in asked.stdout
    assert CANARY not in asked.stdout + asked.stderr


def test_password_is_in_no_log_no_rest_answer_no_topic_and_no_sql(
    stack: Stack, secured: SecuredBroker
) -> None:
    """The password is found in its own file and nowhere else."""
    rendered = stack.run("sql", "render")
    assert rendered.returncode == 0, rendered.stderr
    shown = [
        stack.told,
        rendered.stdout + rendered.stderr,
        stack.run("config", "show").stdout,
        stack.run("doctor", "--json").stdout,
        *_rest_answers(stack),
        *_environments(stack),
    ]
    files = [path for path in stack.home.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert any(path.suffix == ".sql" and "SASL" in path.read_text() for path in files)

    assert [text[:80] for text in shown if CANARY in text] == []
    found = [path for path in files if CANARY.encode() in _bytes(path)]
    assert found == [stack.home / "secrets" / "kafka_password"]
    assert found[0].stat().st_mode & 0o777 == 0o600
    assert _records_with(CANARY.encode(), secured) == 0


def test_doctor_says_why_a_login_is_refused(stack: Stack) -> None:
    """A wrong password is called one, and its text is not shown."""
    wrong = {**stack.environ, "SIGNALBOX_KAFKA__SECURITY__PASSWORD": "wrong-8d3f"}
    found = signalbox(wrong, "doctor", "--json")

    checks = {check["name"]: check for check in json.loads(found.stdout)["checks"]}
    assert not checks["broker"]["ok"]
    assert re.search("uthentication|username or password", checks["broker"]["found"])
    assert "SIGNALBOX_KAFKA__SECURITY__" in checks["broker"]["fix"]
    assert "wrong-8d3f" not in found.stdout + found.stderr


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # an old checkpoint, removed since it was listed
        return b""


def _rest_answers(stack: Stack) -> list[str]:
    url = f"http://127.0.0.1:{stack.environ['SIGNALBOX_FLINK__REST_PORT']}"
    paths = [
        "/config",
        "/jobmanager/config",
        "/jobmanager/environment",
        "/jobs/overview",
        "/taskmanagers",
    ]
    # Questions that were asked are jobs too; they are over and have no checkpoints.
    for job in (
        one for one in httpx.get(f"{url}/jobs").json()["jobs"] if one["status"] == "RUNNING"
    ):
        paths += [
            f"/jobs/{job['id']}{rest}"
            for rest in (
                "",
                "/plan",
                "/config",
                "/exceptions",
                "/checkpoints",
                "/jobmanager/environment",
            )
        ]
    answers = {path: httpx.get(url + path) for path in paths}
    refused = [path for path in paths if not answers[path].is_success]
    assert not refused, [answers[path].text for path in refused]
    return [answer.text for answer in answers.values()]


def _environments(stack: Stack) -> list[str]:
    state = json.loads(stack.run("status", "--json").stdout)
    processes = [
        child
        for record in state["processes"]
        for child in (
            psutil.Process(record["pid"]),
            *psutil.Process(record["pid"]).children(recursive=True),
        )
    ]
    assert len(processes) > 8
    return [
        f"{one.pid} {one.cmdline()} {one.environ()}" for one in set(processes) if one.is_running()
    ]


def _records_with(text: bytes, broker: SecuredBroker) -> int:
    """Count records that hold the text, of what is on every topic now: heartbeats never stop coming."""
    plain = KafkaBroker(broker.bootstrap_servers)
    admin: Any = kafka.KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    names = [name for name in admin.list_topics() if name.startswith(("login.", "tls."))]
    admin.close()
    records = [record for name in names for record in read_topic(plain, name)]
    assert len(records) > 20
    return sum(text in (record.value or b"") for record in records)
