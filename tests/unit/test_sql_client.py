"""What a person gets of the SQL client's output, and the files it is given."""

from __future__ import annotations

import stat
from pathlib import Path

from typer.testing import CliRunner

from flink_jobs import sql_files
from signalbox.cli.sql import app
from signalbox.local_stack.sql_client import answer_of, write_files
from signalbox.settings import Settings

OUTPUT = """\
Successfully initialized from sql script: session.sql
Flink SQL> -- How many?
> SELECT
>     COUNT(*) AS a_long_name
> FROM decisions
> WHERE x < 1)+-------------+
| a_long_name |
+-------------+
|           4 |
+-------------+
1 row in set

Flink SQL> SELECT 1Empty set

Flink SQL>
Shutting down the session...
"""


def test_answer_of_keeps_tables_and_counts_only() -> None:
    """Statements that are repeated, prompts and farewells are not the answer."""
    assert answer_of(OUTPUT).splitlines() == [
        "+-------------+",
        "| a_long_name |",
        "+-------------+",
        "|           4 |",
        "+-------------+",
        "1 row in set",
        "Empty set",
    ]


def test_write_files_renders_every_file_for_its_owner_only(tmp_path: Path) -> None:
    """All files and the session are written, readable by nobody else: properties may hold a password."""
    settings = Settings(_env_file=None, kafka={"bootstrap_servers": "broker.test:1234"})
    written = write_files(settings, tmp_path)

    assert {path.relative_to(tmp_path).with_suffix("").as_posix() for path in written} == {
        "session",
        *sql_files.names(),
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    assert "broker.test:1234" in (tmp_path / "session.sql").read_text()
    assert (
        "{"
        not in (tmp_path / "20_incoming_leads_to_agent_messages.sql").read_text().split("SET", 1)[0]
    )


def test_write_files_again_replaces_what_was_there(tmp_path: Path) -> None:
    """A second rendering wins, also over files with other rights."""
    (tmp_path / "session.sql").write_text("old")
    write_files(Settings(_env_file=None), tmp_path)

    assert (tmp_path / "session.sql").read_text() != "old"


def test_ask_without_a_name_lists_the_questions() -> None:
    """A person need not know the questions' names."""
    result = CliRunner().invoke(app, ["ask"])

    assert result.exit_code == 0
    assert "decisions_by_path" in result.output
    assert "How often is each path taken" in result.output


def test_ask_parameter_without_a_value_is_refused_with_an_example() -> None:
    """A wrong parameter says what a right one looks like, before anything is started."""
    result = CliRunner().invoke(app, ["ask", "conversation_path", "-p", "conversation"])

    assert result.exit_code != 0
    assert "NAME=VALUE" in str(result.exception)
