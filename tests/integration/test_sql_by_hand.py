"""SQL as a person uses it, on the real broker and cluster: typed into the client, piped into it, asked, rendered."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

import psutil
import pytest

from flink_jobs import model_sql, sql_files
from signalbox.contracts.envelope import Envelope
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.settings import Settings
from tests.support.commands import signalbox
from tests.support.sql_topics import Topics, re_spaced, seed
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SIGNALBOX: Final = (sys.executable, "-m", "signalbox.cli")
PROMPT: Final = r"Flink SQL> $"
BY_PATH: Final = """\
SELECT
    path,
    COUNT(*) AS decided
FROM decisions
GROUP BY path
ORDER BY path;
"""


@pytest.fixture(scope="module")
def topics(broker: TemporaryBroker) -> Topics:
    """Three decisions, messages good and bad, and the definitions, under a prefix of this module."""
    made = Topics(broker, "hand.", "writer")
    seed(made)
    return made


@pytest.fixture(scope="module")
def environ(topics: Topics, cluster: TemporaryCluster) -> dict[str, str]:
    """What a person's shell has: the settings of this broker and cluster."""
    variables = {
        "SIGNALBOX_HOME": str(cluster.plan.folder.parent),
        "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS": topics.settings.kafka.servers,
        "SIGNALBOX_KAFKA__TOPIC_PREFIX": topics.prefix,
        "SIGNALBOX_KAFKA__GROUP_PREFIX": topics.settings.kafka.group_prefix or "",
        "SIGNALBOX_FLINK__REST_PORT": str(cluster.plan.rest_port),
    }
    return {**os.environ, **variables}


def gateways(environ: dict[str, str]) -> list[int]:
    """The pids of the SQL Gateways whose logs are under this home."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if "SqlGateway" in line and environ["SIGNALBOX_HOME"] in line:
            found.append(process.pid)
    return found


def test_client_typed_into_answers(environ: dict[str, str]) -> None:
    """On a terminal: tables are listed, a query over several lines and a Python function answer, a mistake is said, QUIT ends."""
    with Terminal([*SIGNALBOX, "sql", "client"], environ) as screen:
        screen.wait_for(PROMPT)
        screen.type("SHOW TABLES;\n")
        tables = screen.wait_for(r"rows in set\n[\s\S]*" + PROMPT)
        screen.type(BY_PATH)
        by_path = re_spaced(screen.wait_for(r"rows in set\n[\s\S]*" + PROMPT))
        screen.type("SELECT conversation_key,\nroute(envelope) AS agent FROM agent_messages;\n")
        routed = re_spaced(screen.wait_for(r"rows in set\n[\s\S]*" + PROMPT))
        screen.type("SELECT * FROM no_such_table;\n")
        refused = screen.wait_for(r"\[ERROR\][\s\S]*" + PROMPT)
        screen.type("QUIT;\n")
        code = screen.exit_code()

    assert {"agent_decisions", "decisions", "messages"} <= set(tables.split())
    assert "| contract | 2 |" in by_path
    assert "| model | 1 |" in by_path
    assert "| c-3 | writer |" in routed
    assert "| strange | INVALID |" in routed
    assert "no_such_table" in refused
    assert code == 0


def test_client_piped_into_takes_statements_however_they_are_written(
    environ: dict[str, str],
) -> None:
    """Without a terminal, tabs, several statements on a line and no last newline are nothing special."""
    piped = f"SELECT 1 AS n_first; {BY_PATH.replace('    ', chr(9))} SHOW VIEWS; QUIT; SELECT 2 AS n_second;"
    done = signalbox(environ, "sql", "client", typed=piped)
    said = [re_spaced(line) for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr
    assert "| 1 |" in said
    assert "| contract | 2 |" in said
    assert "| decisions |" in said
    assert not any("n_second" in line for line in said)
    assert gateways(environ) == []


def test_ask_by_name_and_by_file(environ: dict[str, str], tmp_path: Path) -> None:
    """A named question answers as JSON rows, SQL of one's own up to the limit; no gateway and no running query is left."""
    named = signalbox(environ, "sql", "ask", "decisions_by_path", "--json")
    rows = [json.loads(line) for line in named.stdout.splitlines()]
    own = tmp_path / "own.sql"
    own.write_text("SELECT conversation_key FROM agent_messages;", encoding="utf-8")
    limited = signalbox(environ, "sql", "ask", "--file", str(own), "--limit", "2")

    assert [(row["path"], row["agent"], row["decided"]) for row in rows] == [
        ("contract", "writer", 2),
        ("model", "writer", 1),
    ]
    assert limited.stdout.count("| c-") + limited.stdout.count("| strange") == 2
    assert "the first 2 rows" in limited.stdout
    assert gateways(environ) == []


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("SELECT * FROM no_such_table;", "Object 'no_such_table' not found"),
        ("SELEC 1;", "SQL parse failed"),
        ("SELECT CAST('x' AS INT);", "NumberFormatException|Invalid character"),
    ],
    ids=["unknown table", "syntax", "while running"],
)
def test_ask_what_fails_is_one_error_of_flinks_words(
    environ: dict[str, str], cluster: TemporaryCluster, question: str, words: str
) -> None:
    """A question that is wrong, or fails while it runs, ends at once with Flink's reason instead of its stack."""
    import re

    done = signalbox(environ, "sql", "ask", "--file", "-", typed=question)

    assert done.returncode == 1
    assert re.search(words, done.stderr), done.stderr
    assert "\tat " not in done.stderr
    assert len(done.stderr.splitlines()) < 12


def test_render_writes_what_the_client_and_the_jobs_run(
    environ: dict[str, str],
    topics: Topics,
    cluster: TemporaryCluster,
    tmp_path: Path,
) -> None:
    """The rendered session and a question run in Flink's client; the rendered jobs are the statements that `up` submits,
    and the model's file names the active agents and no key."""
    done = signalbox(
        {**environ, "SIGNALBOX_MODEL__API_KEY": "sk-secret"},
        "sql",
        "render",
        "--out",
        str(tmp_path),
    )
    script = tmp_path / "both.sql"
    parts = ("session.sql", "questions/decisions_by_path.sql")
    script.write_text("\n".join((tmp_path / part).read_text() for part in parts), encoding="utf-8")
    said = re_spaced(cluster.sql(script))
    settings = Settings(_env_file=None, kafka=topics.settings.kafka)
    written = {
        name: sql_files.split((tmp_path / f"{name}.sql").read_text()) for name in sql_files.names()
    }

    assert done.returncode == 0, done.stderr
    assert "| contract | writer | 2 | 66.7 |" in said
    for name in ("20_incoming_leads_to_agent_messages", "21_route_stream"):
        assert written[name] == sql_files.statements(settings, name)
    model_file = (tmp_path / f"{model_sql.NAME}.sql").read_text()
    assert "IN ('writer')" in model_file
    assert "sk-secret" not in model_file


def test_render_leads_job_runs_in_the_client(
    environ: dict[str, str], topics: Topics, cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """The rendered leads job, given to Flink's client as it is, turns a lead into a message."""
    signalbox(environ, "sql", "render", "--out", str(tmp_path))
    before = {job.id for job in cluster.rest.jobs()}
    said = cluster.sql(tmp_path / "20_incoming_leads_to_agent_messages.sql")
    [job] = [job.id for job in cluster.rest.jobs() if job.id not in before]
    try:
        topics.send("incoming_leads", "c-9", b'{"name":"nine"}')
        topics.flush()
        [sent] = topics.wait_for(1, "agent_messages", holding=b'"subject":"c-9"')
    finally:
        cluster.rest.cancel(job)

    assert Envelope.from_json(sent).data == {"lead": {"name": "nine"}}, said[-2000:]
