"""Where the operators' Python runs, and what an embedded interpreter must be told."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from flink_jobs.execution_mode import ROUTE_UIDS, execution_mode, python_path
from signalbox.settings import FlinkSettings, Settings


@pytest.mark.parametrize(
    ("wanted", "library", "mode"),
    [
        ("auto", "/lib/libpython3.11.so.1.0", "thread"),
        ("auto", None, "process"),
        ("thread", None, "thread"),
        ("process", "/lib/libpython3.11.so.1.0", "process"),
    ],
)
def test_execution_mode_auto_follows_the_shared_library(
    wanted: str, library: str | None, mode: str
) -> None:
    """`auto` embeds Python where that is possible and says `process` elsewhere; what a person sets is taken as it is."""
    settings = Settings(flink=FlinkSettings(python_execution_mode=wanted))  # type: ignore[arg-type]

    assert execution_mode(settings, lambda: library) == mode


def test_route_uids_differ_so_that_one_mode_never_reads_the_others_state() -> None:
    """A savepoint of the other mode names an operator that the job lacks, which Flink refuses."""
    assert len(set(ROUTE_UIDS.values())) == len(ROUTE_UIDS)


def test_python_path_lets_a_bare_interpreter_import_the_operators(tmp_path: Path) -> None:
    """The base interpreter, which knows nothing of the virtual environment, imports our packages and their dependencies."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    bare = Path(sysconfig.get_config_var("BINDIR")) / version
    code = "import pydantic, jsonschema_rs, orjson, pemja, signalbox, flink_jobs"
    found = subprocess.run(
        [str(bare), "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": python_path()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stderr
