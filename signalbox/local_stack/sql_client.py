"""SQL on the running cluster with every table, view and function of `sql/` registered: Flink's client, or single questions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from flink_jobs import model_sql, sql_files
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import StackError
from signalbox.local_stack.environment import inherited
from signalbox.local_stack.flink_cluster import ClusterPlan, prepare, sql_client_argv
from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.local_stack.sql_gateway import gateway
from signalbox.local_stack.sql_session import Answer, RowFormat, SqlSession
from signalbox.settings import Settings

SESSION_FILE: Final = "session.sql"
ANSWER_SECONDS: Final = 300.0

_FAREWELLS: Final = frozenset({"QUIT", "EXIT"})


def write_files(settings: Settings, folder: Path, active: ActiveSet) -> tuple[Path, ...]:
    """Render every file of `sql/` into `folder`, and the session's beginning as `session.sql`; return what was written.

    Args:
        settings: the broker, prefixes, delivery and model. Its key is not written.
        folder: made where it is missing; files of former runs are replaced.
        active: the definitions that the model's file is generated from.
    """
    generated = model_sql.template_values(settings.model, active)
    texts = {SESSION_FILE: sql_files.render_session(settings)}
    for name in sql_files.names():
        is_job = name not in sql_files.session_names() and not name.startswith("questions/")
        mode: sql_files.Mode = "job" if is_job else "adhoc"
        parameters = generated if name == model_sql.NAME else None
        texts[f"{name}.sql"] = sql_files.render(settings, name, mode=mode, parameters=parameters)
    return tuple(_write(folder / name, text) for name, text in texts.items())


def open_client(plan: ClusterPlan, settings: Settings, folder: Path) -> None:
    """Become the SQL client; returns only by raising.

    Raises:
        StackError: no cluster runs.
    """
    _prepare(plan)
    session = _write(folder / SESSION_FILE, sql_files.render_session(settings))
    # Without -hist, what was typed is kept in the person's home folder.
    argv = sql_client_argv(plan, "-i", str(session), "-hist", str(folder / "history"))
    os.execve(argv[0], argv, _environ(plan))


def ask(
    plan: ClusterPlan,
    settings: Settings,
    home: Path,
    question: str,
    *,
    row_format: RowFormat = "PLAIN_TEXT",
    timeout_seconds: float = ANSWER_SECONDS,
) -> Iterator[Answer]:
    """Run SQL text in a session of its own and yield what its statements answer, one after the other.

    A second or two with a gateway that runs already, five more without; a few more where a Python function is called.

    Args:
        plan: the cluster, running.
        settings: the broker and prefix of the tables.
        home: the stack's home, whose supervisor may keep a gateway.
        question: statements, split at their semicolons; `QUIT` and `EXIT` are none here.
        row_format: how values come.
        timeout_seconds: for all of it.

    Raises:
        StackError: no cluster runs, a statement failed (with what Flink said), or no answer came in time.
    """
    _prepare(plan)
    with (
        gateway(plan, home) as url,
        SqlSession(url, timeout_seconds=timeout_seconds, row_format=row_format) as session,
    ):
        session.configure(sql_files.split(sql_files.render_session(settings)))
        for statement in sql_files.split(question):
            if statement.upper() in _FAREWELLS:
                return
            answer = session.ask(statement)
            if answer is not None:
                yield answer


def _prepare(plan: ClusterPlan) -> None:
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
    if not (plan.folder / "conf").exists():
        # A cluster that something else started (containers): the client's own files are missing here.
        prepare(plan)


def _environ(plan: ClusterPlan) -> Mapping[str, str]:
    return {**inherited(), **plan.flink_environ()}


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Client properties may hold a password one day: for the owner's eyes only, from the first byte.
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path
