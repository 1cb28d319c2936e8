"""The SQL files as text: rendered, split, and in agreement with topics, records and what is written beside them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from flink_jobs import run_sql, sql_files
from signalbox.contracts.record import Record
from signalbox.errors import UsageError
from signalbox.settings import Settings
from signalbox.topics import AGENT_TASKS_PREFIX, DAY_MS, TOPICS, spec_of

SETTINGS = Settings(_env_file=None)
KEYS = {"kind", "owner", "key", "event_time", "retention_days"}


def contract(name: str) -> dict[str, Any]:
    """What is written beside a file."""
    text = (sql_files.SQL_FOLDER / f"{name}.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = YAML(typ="safe").load(text)
    return found


def of_kind(kind: str) -> list[str]:
    """The files whose contract says this kind."""
    return [name for name in sql_files.names() if contract(name)["kind"] == kind]


def option(statement: str, name: str) -> str | None:
    """The value of one option of a CREATE TABLE."""
    found = re.search(rf"'{re.escape(name)}' = '((?:[^']|'')*)'", statement)
    return found[1].replace("''", "'") if found else None


def ddl(table: str, **settings: Any) -> str:
    """The one statement that declares a table for a job."""
    [statement] = sql_files.table_ddl(Settings(_env_file=None, **settings), table)
    return statement


class TestSplit:
    def test_split_semicolons_inside_literals_comments_and_sets_do_not_end_a_statement(
        self,
    ) -> None:
        """Only a semicolon at the outermost level ends a statement."""
        text = """
        -- a comment; with a semicolon
        SET 'a' = 'x;y';
        /* another; one */ SELECT `c;d`, 'it''s; fine' FROM t;
        EXECUTE STATEMENT SET BEGIN
        INSERT INTO a SELECT CASE WHEN x = ';' THEN 1 END FROM b;
        INSERT INTO c SELECT 1;
        END;
        """

        first, second, third = sql_files.split(text)

        assert first == "SET 'a' = 'x;y'"
        assert second == "SELECT `c;d`, 'it''s; fine' FROM t"
        assert third.startswith("EXECUTE STATEMENT SET BEGIN")
        assert third.endswith("END")
        assert third.count("INSERT") == 2

    def test_split_hints_stay(self) -> None:
        """A hint is no comment."""
        assert sql_files.split("SELECT * FROM t /*+ OPTIONS('a'='b') */;") == (
            "SELECT * FROM t /*+ OPTIONS('a'='b') */",
        )

    def test_split_literals_with_empty_lines_stay_as_they_are(self) -> None:
        """A prompt in a literal keeps its lines; comments leave no empty ones behind."""
        text = "SELECT  \n\n-- gone\n  'a  \n\n b' AS x;"

        assert sql_files.split(text) == ("SELECT\n  'a  \n\n b' AS x",)

    @given(st.lists(st.from_regex(r"\A[a-z ';]{0,12}\Z"), min_size=1, max_size=5))
    def test_split_any_literals_come_back_as_they_were(self, values: list[str]) -> None:
        """As many statements as there were, each with its own literal, whatever is in it."""
        written = ["SELECT '" + value.replace("'", "''") + "'" for value in values]

        assert sql_files.split(";\n".join(written)) == tuple(written)


class TestRender:
    def test_resolve_unknown_name_lists_what_there_is(self) -> None:
        """An unknown file is an error that names the known ones."""
        with pytest.raises(UsageError, match="02_agent_messages"):
            sql_files.resolve("agent_mesages")

    @pytest.mark.parametrize("name", sql_files.names())
    def test_render_without_variables_says_the_local_defaults(self, name: str) -> None:
        """A template needs no variable: by itself it is what a person's local session runs."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(sql_files.SQL_FOLDER), undefined=StrictUndefined
        )
        text = environment.get_template(f"{name}.sql").render()

        assert sql_files.split(text) == sql_files.statements(SETTINGS, name, mode="adhoc")

    def test_table_job_goes_on_where_its_group_was(self) -> None:
        """A job's table starts at committed offsets, else at the beginning, and never ends."""
        statement = ddl("agent_messages", kafka={"group_prefix": "g-"})

        assert option(statement, "scan.startup.mode") == "group-offsets"
        assert option(statement, "properties.auto.offset.reset") == "earliest"
        assert option(statement, "properties.group.id") == "g-orchestrate"
        assert option(statement, "properties.isolation.level") == "read_committed"
        assert option(statement, "scan.bounded.mode") is None

    def test_table_question_ends_and_belongs_to_no_group(self) -> None:
        """A question reads what is there now and moves nobody's offsets."""
        [statement] = sql_files.table_ddl(SETTINGS, "agent_messages", mode="adhoc")

        assert option(statement, "scan.bounded.mode") == "latest-offset"
        assert option(statement, "properties.group.id") is None

    def test_table_registry_is_read_from_its_beginning_by_every_job(self) -> None:
        """Definitions are never continued from an offset: all of them count."""
        assert option(ddl("agent_registry"), "scan.startup.mode") == "earliest-offset"

    def test_sink_exactly_once_has_an_id_of_its_own_and_a_short_timeout(self) -> None:
        """Each job and table has its own transactional ids, open for at most two minutes."""
        settings = Settings(
            _env_file=None,
            delivery="exactly_once",
            kafka={"group_prefix": "g-", "topic_prefix": "t."},
        )
        prefixes = [
            option(statement, "sink.transactional-id-prefix")
            for job in ("orchestrate", "incoming_leads")
            for statement in sql_files.table_ddl(
                settings, "orchestrator_output", "agent_messages", job=job
            )
        ]

        assert len(set(prefixes)) == 4
        assert prefixes[0] == "g-t.orchestrate-output"
        timeout = option(
            ddl("orchestrator_output", delivery="exactly_once"), "properties.transaction.timeout.ms"
        )
        assert int(timeout or 0) <= 120_000

    def test_sink_takes_the_largest_dead_letter(self) -> None:
        """The client's own limit is above the topic's payload, else a large dead letter would stop the job."""
        largest = option(ddl("agent_messages_dlq"), "properties.max.request.size")

        assert int(largest or 0) >= TOPICS["agent_messages_dlq"].max_message_bytes

    def test_pattern_prefix_with_dots_matches_itself_only(self) -> None:
        """A dot in the prefix is a dot; agents' topics and the fixed ones match, nothing else does."""
        pattern = option(
            ddl("orchestrator_output", kafka={"topic_prefix": "a.b."}), "topic-pattern"
        )

        assert pattern is not None
        assert re.fullmatch(pattern, "a.b.agent_tasks_lead_scoring")
        assert re.fullmatch(pattern, "a.b.agent_messages_dlq")
        assert not re.fullmatch(pattern, "axb.agent_decisions")
        assert re.fullmatch(pattern, "a.b.agent_messages")  # the orchestrator's own events
        assert not re.fullmatch(pattern, "a.b.agent_registry")

    def test_option_with_a_quote_stays_one_literal(self) -> None:
        """What comes from settings or a person cannot leave its literal."""
        text = sql_files.render(
            SETTINGS, "conversation_path", mode="adhoc", parameters={"conversation": "x' OR '1'='1"}
        )

        assert "= 'x'' OR ''1''=''1'" in text

    def test_settings_win_over_parameters(self) -> None:
        """A question's parameter cannot change where tables are."""
        text = sql_files.render(SETTINGS, "agent_messages", parameters={"topic_prefix": "evil."})

        assert "evil." not in text


class TestContracts:
    @pytest.mark.parametrize("name", sql_files.names())
    def test_contract_beside_every_file_says_the_same_things(self, name: str) -> None:
        """Columns, key, event time, retention and owner are stated for every file."""
        said = contract(name)

        assert said.keys() >= KEYS
        assert said.get("describes") or said.get("asks")

    def test_contract_without_a_file_does_not_exist(self) -> None:
        """Nothing is described that is gone."""
        written = {path.with_suffix("") for path in sql_files.SQL_FOLDER.rglob("*.yml")}

        assert written == {sql_files.SQL_FOLDER / Path(name) for name in sql_files.names()}

    def test_tables_cover_every_topic_once(self) -> None:
        """Every topic is declared in exactly one file, and no file declares another."""
        declared = [contract(name)["topic"] for name in of_kind("table")]

        assert sorted(declared) == sorted([*TOPICS, f"{AGENT_TASKS_PREFIX}<agent>"])

    @pytest.mark.parametrize("name", of_kind("table"))
    def test_table_agrees_with_its_topic(self, name: str) -> None:
        """Topic, key, retention and partitions are those of topics.py and of the DDL."""
        said = contract(name)
        base = said["topic"].replace("<agent>", "writer")
        spec = spec_of(base)
        statement = ddl(name)
        where = option(statement, "topic") or option(statement, "topic-pattern")

        assert where is not None
        assert re.fullmatch(where, base)
        assert option(statement, "key.fields") == said["key"]
        assert said["partitions"] == spec.partitions
        assert said["retention_days"] == (None if spec.compacted else spec.retention_ms // DAY_MS)

    @pytest.mark.parametrize("name", of_kind("view"))
    def test_view_shows_every_field_of_its_record(self, name: str) -> None:
        """A view's columns come from fields the record has, and none is missing but constants."""
        said = contract(name)
        fields = record_of(said["record"]).model_fields
        shown = {
            (column.get("field", key) or "").partition(".")[0]
            for key, column in said["columns"].items()
        } - {""}

        assert shown <= fields.keys()
        assert fields.keys() - shown <= {"specversion", "datacontenttype", *UNSHOWN.get(name, ())}

    @pytest.mark.parametrize("name", [*of_kind("view"), *of_kind("question")])
    def test_reads_names_what_the_statement_reads(self, name: str) -> None:
        """What a file says it reads is what its FROM and JOIN name."""
        text = "\n".join(sql_files.statements(SETTINGS, name, mode="adhoc"))
        known = {re.sub(r"^\d+_", "", other) for other in sql_files.session_names()}
        named = set(re.findall(r"(?:FROM|JOIN|TABLE)\s+(\w+)", text)) & known
        reads = contract(name)["reads"]

        assert named == set([reads] if isinstance(reads, str) else reads)


# A message's own view leaves out what means something on tasks only, and the other way round.
UNSHOWN = {
    "40_messages": ("hop", "definitions"),
    "41_tasks": ("source", "type", "tokensused", "replystatus", "processingms"),
}


def record_of(path: str) -> type[Record]:
    """The record that `module:Name` says."""
    module, name = path.split(":")
    found: type[Record] = getattr(importlib.import_module(module), name)
    assert issubclass(found, Record)
    return found


def test_file_without_a_job_is_not_submitted_as_one():
    """`run_sql` refuses the file of a table, which would end well and do nothing, and names those that start a job."""
    with pytest.raises(UsageError, match="20_incoming_leads_to_agent_messages"):
        run_sql.submit("incoming_leads", Settings())

    assert sql_files.job_names() == (
        "20_incoming_leads_to_agent_messages",
        "21_route_stream",
        "22_ml_predict",
    )
