"""docs/deployment.md on a real cluster that knows nothing of us: Flink's own `flink run`, savepoint, another parallelism."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import httpx
import kafka
import pytest

from signalbox.kubernetes.access import AGENTS, JOBS, OPERATOR, USERS, rules
from signalbox.local_stack import flink_config
from signalbox.local_stack.flink_cluster import ClusterPlan
from signalbox.local_stack.package import ARCHIVE, write_package
from signalbox.local_stack.temporary import TemporaryCluster
from signalbox.settings import Settings
from tests.support.commands import ROOT, signalbox, stack_environ
from tests.support.secured_broker import SecuredBroker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PREFIX = "blue."
LEAD = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "company_name": "Analytical Engines",
    "lead_source": "Demo Request",
    "job_title": "Head of Computing",
}


def python_without_us(folder: Path) -> Path:
    """A Python that has every library of the lock file and no Signalbox: an editable install is not found through it."""
    venv.create(folder, with_pip=False)
    (site,) = (folder / "lib").glob("python3*/site-packages")
    (site / "libraries.pth").write_text(f"{Path(kafka.__file__).parents[1]}\n")
    python = folder / "bin" / "python"
    seen = subprocess.run(
        [python, "-c", "import pyflink, kafka; import signalbox"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert "No module named 'signalbox'" in seen.stderr, seen
    return python


class ForeignCluster(ClusterPlan):
    """A cluster whose machines are not told where Signalbox is."""

    def flink_environ(self) -> dict[str, str]:
        return {**super().flink_environ(), "PYTHONPATH": ""}


@dataclass(frozen=True)
class Deployment:
    """Somebody else's broker and cluster, and our package in a folder of its own."""

    broker: SecuredBroker
    cluster: TemporaryCluster
    folder: Path

    def settings(self, user: str, **variables: str) -> dict[str, str]:
        """The variables of one user, as the page lists them."""
        password = self.folder / f"{user}.password"
        password.write_text(f"secret-of-{user}")
        return {
            "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{self.broker.sasl_port}",
            "KAFKA__TOPIC_PREFIX": PREFIX,
            "FLINK__PYTHON_EXECUTION_MODE": "process",
            "KAFKA__SECURITY__PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA__SECURITY__USERNAME": user,
            "KAFKA__SECURITY__PASSWORD_FILE": str(password),
            **variables,
        }

    def flink(self, *arguments: str, **variables: str) -> str:
        """Run Flink's own script in a folder that has nothing to do with us, and return what it printed."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        environ = self.cluster.environ()
        environ = {key: value for key, value in environ.items() if not key.startswith("SIGNALBOX_")}
        own = {f"SIGNALBOX_{key}": value for key, value in self.settings(JOBS, **variables).items()}
        script = flink_config.wheel_folder() / "bin" / "flink"
        done = subprocess.run(
            ["bash", str(script), *arguments],
            env={**environ, **own},
            cwd=elsewhere,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(
        self, script: str, *arguments: str, options: tuple[str, ...] = (), **variables: str
    ) -> str:
        """Submit one script of the package, wait until its tasks run, and return the job's id."""
        package = self.folder / "package"
        files = ("-py", str(package / script), "-pyfs", str(package / ARCHIVE))
        said = self.flink("run", "-d", *options, *files, *arguments, **variables)
        found = re.search(r"JobID ([0-9a-f]{32})", said)
        assert found, said
        self.cluster.wait_running(found[1])
        return found[1]

    def operator(self, *arguments: str) -> str:
        """Run one of our commands as the operator's user."""
        done = signalbox(
            stack_environ(self.folder / "operator", **self.settings(OPERATOR)), *arguments
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def agent(self, name: str) -> subprocess.Popen[bytes]:
        """Start one agent as the agents' user."""
        environ = stack_environ(self.folder / "agents", **self.settings(AGENTS))
        log = (self.folder / f"{name}.log").open("wb")
        return subprocess.Popen(
            [sys.executable, "-m", "agents", name], env=environ, cwd=ROOT, stdout=log, stderr=log
        )

    def submit(self, lead: dict[str, Any]) -> None:
        """Write a lead, as a web form would."""
        producer: Any = kafka.KafkaProducer(bootstrap_servers=self.broker.bootstrap_servers)
        producer.send(
            f"{PREFIX}incoming_leads", key=lead["email"].encode(), value=json.dumps(lead).encode()
        )
        producer.flush()
        producer.close()

    def tasks(self, agent: str, count: int) -> list[dict[str, Any]]:
        """Wait for `count` tasks of an agent and return all there are."""
        reader: Any = kafka.KafkaConsumer(
            f"{PREFIX}agent_tasks_{agent}",
            bootstrap_servers=self.broker.bootstrap_servers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 120
        while len(found) < count:
            assert time.monotonic() < deadline, found
            for batch in reader.poll(500).values():
                found += [json.loads(record.value) for record in batch]
        reader.close()
        return found


def foreign_cluster(folder: Path, settings: Settings) -> TemporaryCluster:
    cluster = TemporaryCluster(folder, settings)
    plan = cluster.plan
    cluster.plan = ForeignCluster(**{one.name: getattr(plan, one.name) for one in fields(plan)})
    return cluster


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A broker with the three users of the manifests, and a cluster whose Python has our libraries but not us."""
    python = str(python_without_us(tmp_path / "python"))
    conf = {"python.executable": python, "python.client.executable": python}
    settings = Settings(home=tmp_path / "home", flink={"conf": conf})
    passwords = {user: f"secret-of-{user}" for user in USERS}
    with (
        SecuredBroker(tmp_path / "broker", passwords=passwords) as broker,
        foreign_cluster(tmp_path / "cluster", settings) as cluster,
    ):
        for user in USERS:
            broker.allow(user, rules(user, topic_prefix=PREFIX, group_prefix=PREFIX))
        write_package(tmp_path / "package")
        yield Deployment(broker, cluster, tmp_path)


def test_jobs_run_on_a_foreign_cluster_stop_and_go_on_wider(deployment: Deployment) -> None:
    """The page's commands, each with its own user's rights: topics, definitions, both jobs, an agent; then stopped with a
    savepoint and restored with parallelism 2, where the first lead is known and the second goes the same way."""
    deployment.operator("deploy", "topics")
    deployment.operator("agents", "apply", str(ROOT / "agent_definitions" / "sdr"))
    orchestrate = deployment.run("orchestrate.py", DELIVERY="exactly_once")
    deployment.run("run_sql.py", "incoming_leads_to_agent_messages", DELIVERY="exactly_once")
    agent = deployment.agent("lead_ingestion")
    try:
        deployment.submit(LEAD)
        (first,) = deployment.tasks("lead_scoring", 1)

        savepoints = deployment.folder / "savepoints"
        said = deployment.flink("stop", "--savepointPath", str(savepoints), orchestrate)
        savepoint = re.search(r"Path: (\S+)", said)
        assert savepoint, said
        again = deployment.run(
            "orchestrate.py",
            options=("-s", savepoint[1]),
            FLINK__PARALLELISM="2",
            DELIVERY="exactly_once",
        )
        deployment.submit({**LEAD, "email": "grace@example.com"})
        both = deployment.tasks("lead_scoring", 2)
    finally:
        agent.terminate()
        agent.wait(20)

    assert [task["subject"] for task in both] == ["ada@example.com", "grace@example.com"]
    assert both[0]["id"] == first["id"]
    vertices = httpx.get(f"{deployment.cluster.rest_url}/jobs/{again}").json()["vertices"]
    assert max(vertex["parallelism"] for vertex in vertices) == 2
