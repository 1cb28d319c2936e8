"""What a person gets of the SQL client's output, and the files it is given."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flink_jobs import model_sql, sql_files
from signalbox.cli.sql import app
from signalbox.cli.sql_view import print_table
from signalbox.errors import ConfigurationError
from signalbox.local_stack.fleets import load_fleets
from signalbox.local_stack.sql_client import write_files
from signalbox.local_stack.sql_session import Answer, complaint
from signalbox.settings import Settings

TRACE = """Internal server error.
<Exception on server side:
org.apache.flink.table.gateway.api.utils.SqlGatewayException: Failed to fetchResults.
\tat org.apache.flink.table.gateway.rest.handler.statement.FetchResultsHandler.handleRequest(FetchResultsHandler.java:91)
\tat java.base/java.lang.Thread.run(Unknown Source)
{causes}
\t... 34 more

End of exception on server side>"""
VALIDATION = """Caused by: org.apache.flink.table.api.ValidationException: \
SQL validation failed. From line 1, column 15: Object 'nope' not found
\tat org.apache.flink.table.planner.calcite.FlinkPlannerImpl.validate(FlinkPlannerImpl.scala:205)
Caused by: org.apache.calcite.sql.validate.SqlValidatorException: Object 'nope' not found
\tat java.base/jdk.internal.reflect.DirectConstructorHandleAccessor.newInstance(Unknown Source)"""
PARSE = """Caused by: org.apache.flink.table.api.SqlParserException: SQL parse failed. Encountered "," at line 1, column 27.
Was expecting one of:
    "ARRAY" ...
    <IDENTIFIER> ...
\tat org.apache.flink.table.planner.parse.CalciteParser.parseSqlList(CalciteParser.java:82)"""
RUNNING = """Caused by: org.apache.flink.runtime.client.JobExecutionException: Job execution failed.
\tat org.apache.flink.runtime.jobmaster.JobResult.toJobExecutionResult(JobResult.java:149)
Caused by: java.lang.NumberFormatException: For input string: 'x'. Invalid character found.
\tat org.apache.flink.table.data.binary.BinaryStringDataUtil.toInt(BinaryStringDataUtil.java:1)"""


@pytest.mark.parametrize(
    ("causes", "words"),
    [
        (
            VALIDATION,
            "SQL validation failed. From line 1, column 15: Object 'nope' not found",
        ),
        (PARSE, 'SQL parse failed. Encountered "," at line 1, column 27.'),
        (RUNNING, "For input string: 'x'. Invalid character found."),
    ],
    ids=["validation", "parse", "running"],
)
def test_complaint_is_the_reason_without_the_stack(causes: str, words: str) -> None:
    """Of a Java stack trace a person gets the parser's, the validator's or the deepest cause's words."""
    assert complaint(TRACE.format(causes=causes)) == words


def test_complaint_of_something_else_is_its_beginning() -> None:
    """What is no stack trace is shown as it is, and nothing is never shown."""
    assert complaint("gateway timeout") == "gateway timeout"
    assert complaint("") == "no reason given"


def test_print_table_cuts_rows_and_cells_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """More rows than the limit are not read, long and strange cells stay one line."""
    rows = iter([("a\nb\x1b[2J", None), ("x" * 500, "2"), ("not shown", "3")])
    print_table(Answer(("text", "n"), rows), 2)
    out = capsys.readouterr().out

    assert "| a b\ufffd[2J" in out
    assert "NULL" in out
    assert max(len(line) for line in out.splitlines()) < 140
    assert "not shown" not in out
    assert "the first 2 rows" in out


def test_print_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty answer is an answer."""
    print_table(Answer(("text",), iter(())), 2)

    assert capsys.readouterr().out == "Empty set\n"


def test_print_table_of_a_plan_is_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    """EXPLAIN answers one cell of many lines, which is no table."""
    print_table(Answer(("result",), iter([("== Plan ==\nCalc",)])), 2)

    assert capsys.readouterr().out == "== Plan ==\nCalc\n"


def test_write_files_renders_every_file_for_its_owner_only(tmp_path: Path) -> None:
    """All files and the session are written, readable by nobody else: properties may hold a password."""
    settings = Settings(_env_file=None, kafka={"bootstrap_servers": "broker.test:1234"})
    written = write_files(settings, tmp_path, load_fleets(settings))

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
    settings = Settings(_env_file=None)
    write_files(settings, tmp_path, load_fleets(settings))

    assert (tmp_path / "session.sql").read_text() != "old"


def test_write_files_model_statement_holds_every_agent_once_and_the_operators_prompt(
    tmp_path: Path,
) -> None:
    """Names and prompt come from the definitions, in the words that the operator uses; a key is not written."""
    settings = Settings(
        _env_file=None,
        model={
            "provider": "openai",
            "base_url": "http://model.test/v1/",
            "name": "m'1",
            "api_key": "sk-no",
        },
    )
    active = load_fleets(settings)
    write_files(settings, tmp_path, active)
    text = (tmp_path / f"{model_sql.NAME}.sql").read_text()
    names = ", ".join(f"'{name}'" for name in sorted(active.agents))

    assert f"IN ({names})" in text
    assert all(f"\n## {name}\n" in text for name in active.agents)
    assert "'endpoint' = 'http://model.test/v1/chat/completions'" in text
    assert "'model' = 'm''1'" in text
    assert "sk-no" not in text
    assert "'api-key' = 'none'" in text


@pytest.mark.parametrize(
    ("model", "address"),
    [
        (
            {"provider": "ollama", "base_url": "http://o.test:1/"},
            "http://o.test:1/v1/chat/completions",
        ),
        (
            {"provider": "openai", "base_url": "http://v.test/v1"},
            "http://v.test/v1/chat/completions",
        ),
        ({"provider": "embedded"}, "http://127.0.0.1:11434/v1/chat/completions"),
    ],
)
def test_model_endpoint_is_the_chat_completions_of_the_server(
    model: dict[str, str], address: str
) -> None:
    """Ollama has them below /v1, others where their base address says."""
    assert model_sql.endpoint(Settings(_env_file=None, model=model).model) == address


@pytest.mark.parametrize("model", [{}, {"provider": "ollama"}])
def test_model_without_a_server_or_a_name_is_refused(model: dict[str, str]) -> None:
    """Flink cannot ask the embedded scorer, nor a model without a name; the message names the setting."""
    with pytest.raises(ConfigurationError, match="SIGNALBOX_MODEL__"):
        model_sql.require_server(Settings(_env_file=None, model=model).model)


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


def test_ask_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A file that cannot be read is an error before anything is started."""
    result = CliRunner().invoke(app, ["ask", "--file", str(tmp_path / "none.sql")])

    assert "cannot be read" in str(result.exception)
