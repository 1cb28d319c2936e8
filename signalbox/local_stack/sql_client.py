"""Flink's SQL client on the running cluster, with every table, view and function of `sql/` registered."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flink_jobs import sql_files
from signalbox.errors import StackError
from signalbox.local_stack.environment import inherited
from signalbox.local_stack.flink_cluster import ClusterPlan, sql_client_argv
from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.settings import Settings

SESSION_FILE: Final = "session.sql"
ANSWER_SECONDS: Final = 300.0

_FIRST_LINE: Final = re.compile(r"^.*?(\+-[-+]*\+|Empty set)$")
_KEPT: Final = re.compile(r"\+-|\||\d+ rows? in set|Empty set")


def write_files(settings: Settings, folder: Path) -> tuple[Path, ...]:
    """Render every file of `sql/` into `folder`, and the session's beginning as `session.sql`; return what was written."""
    texts = {SESSION_FILE: sql_files.render_session(settings)}
    for name in sql_files.names():
        is_job = name not in sql_files.session_names() and not name.startswith("questions/")
        mode: sql_files.Mode = "job" if is_job else "adhoc"
        texts[f"{name}.sql"] = sql_files.render(settings, name, mode=mode)
    return tuple(_write(folder / name, text) for name, text in texts.items())


def open_client(plan: ClusterPlan, settings: Settings, folder: Path) -> None:
    """Become the SQL client; returns only by raising.

    Raises:
        StackError: no cluster runs.
    """
    session = _prepare(plan, settings, folder)
    argv = _client(plan, folder, "-i", str(session))
    os.execve(argv[0], argv, _environ(plan))


def ask(
    plan: ClusterPlan,
    settings: Settings,
    folder: Path,
    question: str,
    *,
    timeout_seconds: float = ANSWER_SECONDS,
) -> str:
    """Run SQL text in a session of its own and return the tables it printed (5 to 20 s, most of it the client's start).

    Args:
        plan: the cluster, running.
        settings: the broker and prefix of the tables.
        folder: where the session's files are written.
        question: statements, each with its semicolon.
        timeout_seconds: for all of it.

    Raises:
        StackError: no cluster runs, a statement failed (with what the client said), or no answer came in time.
    """
    session = _prepare(plan, settings, folder)
    script = _write(folder / "question.sql", question)
    try:
        done = subprocess.run(
            _client(plan, folder, "-i", str(session), "-f", str(script)),
            env=_environ(plan),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        msg = (
            f"no answer within {timeout_seconds:g} s; a question that reads a lot, or a free task slot that never "
            f"came: look at {plan.rest_url}"
        )
        raise StackError(msg) from None
    said = done.stdout + done.stderr
    if done.returncode != 0 or "[ERROR]" in said:
        msg = f"the question failed: {_complaint(said)}"
        raise StackError(msg)
    return answer_of(done.stdout)


def answer_of(output: str) -> str:
    """Return what a person wants to see of a client's output: the tables and row counts, not the statements."""
    # The client puts a table's first line behind the statement it repeats.
    lines = (_FIRST_LINE.sub("\\1", line) for line in output.splitlines())
    return "\n".join(line for line in lines if _KEPT.match(line))


def _prepare(plan: ClusterPlan, settings: Settings, folder: Path) -> Path:
    rest = FlinkRest(plan.rest_url)
    try:
        rest.overview()
    except OSError as error:
        msg = (
            f"no Flink cluster answers at {plan.rest_url} ({error}); start one with `signalbox up`"
        )
        raise StackError(msg) from None
    finally:
        rest.close()
    return _write(folder / SESSION_FILE, sql_files.render_session(settings))


def _client(plan: ClusterPlan, folder: Path, *arguments: str) -> list[str]:
    # Without it, what was typed is kept in the person's home folder.
    return sql_client_argv(plan, *arguments, "-hist", str(folder / "history"))


def _environ(plan: ClusterPlan) -> Mapping[str, str]:
    return {**inherited(), **plan.flink_environ()}


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Client properties may hold a password one day: for the owner's eyes only, from the first byte.
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def _complaint(said: str) -> str:
    lines = said[said.find("[ERROR]") :] if "[ERROR]" in said else said
    return "\n".join(line for line in lines.splitlines()[:12] if line.strip())
