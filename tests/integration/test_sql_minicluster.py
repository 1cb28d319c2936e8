"""Every statement of `sql/` in a cluster inside this process: the leads statement on any bytes, views, questions, functions."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment

from connectors import jars
from connectors.kafka import KafkaBroker
from connectors.registry import publish
from flink_jobs import model_sql, run_sql, sql_files
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import Identifier
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.local_stack.fleets import load_fleets
from signalbox.local_stack.java import find_java
from signalbox.local_stack.temporary import TemporaryBroker
from signalbox.settings import Settings
from signalbox.topics import MAX_ADMITTED_BYTES, TOPICS
from tests.support.fleets import agent, message
from tests.support.lead_values import CASES, Case

pytestmark = pytest.mark.integration

LEADS = "20_incoming_leads_to_agent_messages"
SETTINGS = Settings(_env_file=None)
TAKEN_AT = datetime(2026, 1, 31, 8, 0, 0, 123_000, tzinfo=UTC)
FATES = dict(enumerate(CASES))
NAMES = [case.name for case in CASES]


def environment(*, batch: bool) -> TableEnvironment:
    """A table environment whose cluster is in this process, with the Kafka connector."""
    os.environ["JAVA_HOME"] = str(find_java().home)
    settings = (
        EnvironmentSettings.in_batch_mode() if batch else EnvironmentSettings.in_streaming_mode()
    )
    tables = TableEnvironment.create(settings)
    options = {
        "pipeline.jars": ";".join(path.as_uri() for path in jars.ensure("flink")),
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "parallelism.default": "1",
        "table.local-time-zone": "UTC",
    }
    for key, value in options.items():
        tables.get_config().set(key, value)
    return tables


def rows_of(tables: TableEnvironment, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with tables.execute_sql(query).collect() as found:
        return [tuple(row) for row in found]


@pytest.fixture(scope="module", autouse=True)
def own_environment() -> Iterator[None]:
    """PyFlink gives this process the environment of a Python worker, which Flink's processes that later tests start would inherit."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def session() -> TableEnvironment:
    """What a person's session holds: every table, function and view."""
    tables = environment(batch=True)
    for name in sql_files.session_names():
        run_sql.execute(
            tables,
            [
                statement
                for statement in sql_files.statements(SETTINGS, name, mode="adhoc")
                if "execution.runtime-mode" not in statement
            ],
        )
    return tables


class Ended:
    """What the leads statement wrote, by the offset of the lead."""

    def __init__(self) -> None:
        self.keys: dict[int, str] = {}
        self.messages: dict[int, Envelope] = {}
        self.dead_letters: dict[int, DeadLetter] = {}
        self.largest_message_bytes = 0
        self.largest_dead_letter_bytes = 0


@pytest.fixture(scope="module")
def ended() -> Ended:
    """All cases through the statement's own views and both its INSERTs' queries."""
    tables = environment(batch=False)
    field = DataTypes.FIELD
    rows = [
        (
            case.key,
            None if case.value is None else bytearray(case.value),
            "incoming_leads",
            2,
            number,
            TAKEN_AT,
        )
        for number, case in enumerate(CASES)
    ]
    columns = [
        field("lead_key", DataTypes.STRING()),
        field("lead", DataTypes.BYTES()),
        field("topic", DataTypes.STRING()),
        field("partition_id", DataTypes.INT()),
        field("record_offset", DataTypes.BIGINT()),
        field("record_time", DataTypes.TIMESTAMP_LTZ(3)),
    ]
    tables.create_temporary_view(
        "incoming_leads", tables.from_elements(rows, DataTypes.ROW(columns))
    )
    *declared, statement_set = sql_files.statements(SETTINGS, LEADS)
    run_sql.execute(tables, [item for item in declared if "CREATE TABLE" not in item])
    found = Ended()
    for insert in sql_files.split(statement_set.partition("BEGIN")[2].rpartition("END")[0]):
        into, query = re.split(r"\([a-z_, ]+\)\n", insert, maxsplit=1)
        for key, value in rows_of(tables, query):
            if "agent_messages_dlq" in into:
                found.largest_dead_letter_bytes = max(found.largest_dead_letter_bytes, len(value))
                letter = cast("DeadLetter", DeadLetter.from_json(bytes(value)))
                found.dead_letters[cast("int", letter.offset)] = letter
                found.keys[cast("int", letter.offset)] = key
            else:
                found.largest_message_bytes = max(found.largest_message_bytes, len(value))
                sent = cast("Envelope", Envelope.from_json(bytes(value)))
                found.messages[int(sent.id.rpartition("-")[2])] = sent
                found.keys[int(sent.id.rpartition("-")[2])] = key
    return found


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=NAMES)
def test_lead_ends_in_one_place(ended: Ended, number: int, case: Case) -> None:
    """Each value is one message or one dead letter with its reason, and the statement goes on."""
    letter = ended.dead_letters.get(number)

    assert (number in ended.messages) == (case.fate == "message")
    assert (letter.reason if letter else "message") == case.fate


@pytest.mark.parametrize(
    ("number", "case"),
    [(number, case) for number, case in FATES.items() if case.fate == "message"],
    ids=[case.name for case in CASES if case.fate == "message"],
)
def test_lead_message_carries_what_was_sent(ended: Ended, number: int, case: Case) -> None:
    """The envelope holds the lead itself, the record's time, and ids made of partition and offset."""
    sent = ended.messages[number]

    assert sent.data == {"lead": json.loads(case.value or b"")}
    assert (sent.id, sent.type, sent.source) == (
        f"lead-2-{number}",
        "lead.submitted",
        "connector/incoming_leads",
    )
    assert sent.time == TAKEN_AT
    assert sent.target is None
    assert sent.model_extra == {}
    assert ended.keys[number] == sent.subject


@pytest.mark.parametrize(
    ("number", "case"),
    [(number, case) for number, case in FATES.items() if case.fate != "message"],
    ids=[case.name for case in CASES if case.fate != "message"],
)
def test_lead_dead_letter_is_the_one_python_would_write(
    ended: Ended, number: int, case: Case
) -> None:
    """Value or base64, cut, digest and place are those of `DeadLetter.of`."""
    letter = ended.dead_letters[number]
    kept = {"value", "value_base64", "truncated", "sha256", "topic", "partition", "offset"}
    python = DeadLetter.of(
        case.value,
        topic="incoming_leads",
        partition=2,
        offset=number,
        reason=case.fate,
        failed_at=TAKEN_AT,
    )

    assert letter.model_dump(include=kept) == python.model_dump(include=kept)
    assert letter.key == (None if case.key is None else case.key[:256])
    assert letter.detail


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=NAMES)
def test_lead_conversation_is_the_key_where_it_can_be_one(
    ended: Ended, number: int, case: Case
) -> None:
    """A key that is no identifier does not become a conversation; partition and offset do."""
    from pydantic import TypeAdapter, ValidationError

    def is_identifier(key: str) -> bool:
        try:
            TypeAdapter(Identifier).validate_python(key)
        except ValidationError:
            return False
        return "\ufffd" not in key

    usable = case.key is not None and is_identifier(case.key)

    assert ended.keys[number] == (case.key if usable else f"lead-2-{number}")


def test_leads_written_fit_their_topics(ended: Ended) -> None:
    """Nothing is written that the orchestrator or the broker would refuse for its size."""
    assert 0 < ended.largest_message_bytes <= MAX_ADMITTED_BYTES
    assert 0 < ended.largest_dead_letter_bytes < TOPICS["agent_messages_dlq"].max_message_bytes


@pytest.mark.parametrize(
    "name",
    [name for name in sql_files.session_names() if int(name[:2]) not in {0, 30}],
)
def test_table_has_the_columns_that_are_stated(session: TableEnvironment, name: str) -> None:
    """Names, types and order of a table's or view's columns are those written beside it."""
    assert columns_of(session.from_path(name[3:])) == stated(name)


@pytest.mark.parametrize(
    "name", [name for name in sql_files.names() if name.startswith("questions/")]
)
def test_question_is_planned_with_the_columns_that_are_stated(
    session: TableEnvironment, name: str
) -> None:
    """Every question is one query that Flink plans, and its columns are those written beside it."""
    [query] = sql_files.statements(SETTINGS, name, mode="adhoc")

    assert columns_of(session.sql_query(query)) == stated(name)
    assert "Optimized" in session.explain_sql(query)


def test_question_unusual_minutes_finds_the_one_that_is() -> None:
    """Of steady, rising, young and unfinished flows none is listed, only the minute that breaks with its own flow's hour before."""
    tables = environment(batch=True)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    first = now - timedelta(minutes=80)
    counts = {
        # 3 a minute, 5 in every tenth: usual 3.2 and deviation 0.6, under the floor of 1.8; 30 is 15 floors more.
        ("messages", "brief"): [5 if minute % 10 == 9 else 3 for minute in range(60)] + [30, 3, 3],
        # Never more or less than 1, then 2 and 3: without a floor under the deviation that is infinitely much.
        ("decisions", "contract"): [1] * 60 + [2, 3],
        # A burst without ten minutes before it.
        ("dead_letters", "malformed"): [1] * 9 + [50],
        # More by and by is what is usual then.
        ("outcomes", "completed"): [10 + minute // 10 for minute in range(60)],
    }
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for (view, name), each in counts.items():
        rows[view] = [
            (name, f"c-{minute}-{number:02}", first + timedelta(minutes=minute, seconds=number))
            for minute, count in enumerate(each)
            for number in range(count)
        ]
    # A minute that is not over, whenever this runs.
    rows["messages"] += [
        ("brief", f"late-{number}", now + timedelta(minutes=9)) for number in range(50)
    ]
    rows["decisions"] = [(*row, "writer") for row in rows["decisions"]]
    # NONE is a flow of its own: 30 in a minute of 2, by the same path that others take too.
    none = [2] * 12 + [30]
    rows["decisions"] += [
        ("model", f"n-{minute}-{number:02}", first + timedelta(minutes=minute), "NONE")
        for minute, count in enumerate(none)
        for number in range(count)
    ]
    rows["decisions"] += [
        ("model", f"m-{minute}-{number:02}", first + timedelta(minutes=minute), "writer")
        for minute, count in enumerate(none)
        for number in range(40 - count)
    ]
    rows["dead_letters"] = [(*row, "key") for row in rows["dead_letters"]]
    columns = {
        "messages": ["type"],
        "decisions": ["path"],
        "dead_letters": ["reason"],
        "outcomes": ["status"],
    }
    more = {"decisions": ["agent"], "dead_letters": ["record_key"]}
    for view, own in columns.items():
        names = [*own, "conversation_id", "record_time", *more.get(view, [])]
        row_type = DataTypes.ROW(
            [
                DataTypes.FIELD(
                    name,
                    DataTypes.TIMESTAMP_LTZ(3) if name == "record_time" else DataTypes.STRING(),
                )
                for name in names
            ]
        )
        tables.create_temporary_view(view, tables.from_elements(rows[view], row_type))

    [query] = sql_files.statements(SETTINGS, "questions/unusual_minutes", mode="adhoc")
    found = [
        (start.replace(tzinfo=UTC), flow, number, float(usual), float(z), example)
        for start, flow, number, usual, z, example in rows_of(tables, query)
    ]

    assert found == [
        (first + timedelta(minutes=60), "message brief", 30, 3.2, 15.0, "c-60-00"),
        (first + timedelta(minutes=12), "decision NONE", 30, 2.0, 19.8, "n-12-00"),
    ]


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize(
    "name", [name for name in sql_files.names() if not name.startswith("questions/")]
)
def test_statements_of_a_job_are_taken_by_flinks_own_parser(name: str, delivery: str) -> None:
    """Every statement of every file, as a job runs it, is read by Flink itself; the linter passes over what it cannot."""
    settings = Settings(_env_file=None, delivery=delivery)
    tables = environment(batch=False)
    before = () if int(name[:2]) < 40 else sql_files.session_names()
    for earlier in (other for other in before if other < name):
        run_sql.execute(tables, sql_files.statements(settings, earlier))
    generated = model_sql.template_values(settings.model, load_fleets(settings))
    for statement in sql_files.statements(settings, name, parameters=generated):
        parse(tables, statement)


@pytest.mark.parametrize("name", sql_files.session_names())
def test_statement_with_a_comma_too_many_is_refused(name: str) -> None:
    """The check above can fail: a syntax error in any declaration is one for Flink."""
    broken = [
        re.sub(r"\n(?=\) WITH|FROM )", ",,\n", statement).replace("SET '", "SET ,'")
        for statement in sql_files.statements(SETTINGS, name)
    ]
    broken = [re.sub(r" LANGUAGE PYTHON$", " LANGUAGE , PYTHON", item) for item in broken]

    for statement in broken:
        with pytest.raises(Exception, match=r"SQL parse failed|Encountered"):
            parse(environment(batch=False), statement)


def parse(tables: TableEnvironment, statement: str) -> None:
    """Let Flink's parser read a statement; what later statements need is declared as well."""
    if statement.startswith(("SET ", "CREATE ")):
        parsed = tables._j_tenv.getParser().parse(statement)
        assert len(parsed) == 1
        run_sql.execute(tables, [statement])
    else:
        assert len(tables._j_tenv.getParser().parse(statement)) == 1


def test_route_stream_is_planned() -> None:
    """The router as one INSERT is a statement that Flink plans, whole."""
    tables = environment(batch=False)
    *declared, insert = sql_files.statements(SETTINGS, "21_route_stream")
    run_sql.execute(tables, declared)

    assert "PythonCalc" in tables.explain_sql(insert)


@pytest.fixture(scope="module")
def registry(broker: TemporaryBroker) -> Settings:
    """A broker with definitions on it."""
    settings = broker.settings(kafka={"topic_prefix": "udf."})
    broker.create_topics(prefix="udf.")
    writer = agent("writer", ["brief"])
    active = ActiveSet.of([Fleet(FleetPolicy(name="test"), {"writer": writer})])
    publish(KafkaBroker(settings.kafka.servers), active, topic_prefix="udf.", applied_at=TAKEN_AT)
    return settings


def test_functions_answer_by_the_registry_of_the_tables_broker(registry: Settings) -> None:
    """The functions decide by the definitions of the broker that the session names, for any value, in one SELECT."""
    tables = environment(batch=False)
    run_sql.execute(tables, sql_files.statements(registry, "30_functions", mode="adhoc"))
    good = message("m-1", {"brief": "b"}).to_json()
    values = [good, message("m-2", {"x": 1}).to_json(), b"\xff", None]
    rows = [
        (number, None if value is None else bytearray(value)) for number, value in enumerate(values)
    ]
    row_type = DataTypes.ROW(
        [DataTypes.FIELD("number", DataTypes.INT()), DataTypes.FIELD("envelope", DataTypes.BYTES())]
    )
    tables.create_temporary_view("sent", tables.from_elements(rows, row_type))
    found = rows_of(
        tables,
        "SELECT number, route(envelope), route_explained(envelope), task(envelope, route(envelope)) FROM sent",
    )
    agents = {number: name for number, name, *_ in found}
    explained = {number: json.loads(text) for number, _, text, _ in found if text is not None}
    tasks = {number: bytes(raw) for number, *_, raw in found if raw is not None}

    assert agents == {0: "writer", 1: "NONE", 2: "INVALID", 3: None}
    assert {number: item["agent"] for number, item in explained.items()} == {
        0: "writer",
        1: "NONE",
        2: "INVALID",
    }
    assert {number: Envelope.from_json(raw).target for number, raw in tasks.items()} == {
        0: "writer"
    }


def columns_of(table: Any) -> dict[str, str]:
    """Column → type as SQL writes it; nullability and time attributes are not part of what is stated."""
    columns = table._j_table.getResolvedSchema().getColumns()
    return {
        column.getName(): re.sub(r" NOT NULL| \*\w+\*", "", column.getDataType().toString())
        for column in columns
    }


def stated(name: str) -> dict[str, str]:
    """The columns written beside a file."""
    from ruamel.yaml import YAML

    text = (sql_files.SQL_FOLDER / f"{name}.yml").read_text(encoding="utf-8")
    columns = YAML(typ="safe").load(text)["columns"]
    return {
        key: column["type"] if isinstance(column, dict) else column
        for key, column in columns.items()
    }
