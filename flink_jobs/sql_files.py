"""The files of `sql/` as statements: the only way a Kafka table comes into a job, the SQL client or a test.

A file is a jinja2 template whose variables all have local defaults, so it also says something unrendered. Nothing is
read but the file and the settings given; nothing is remembered between calls.
"""

from __future__ import annotations

import itertools
import re
import zipfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from jinja2 import Environment, FunctionLoader, StrictUndefined

from connectors.kafka_security import java_properties
from signalbox.contracts.dead_letter import MAX_RAW_BYTES
from signalbox.errors import UsageError
from signalbox.settings import Settings
from signalbox.topics import MAX_ADMITTED_BYTES


def _beside_this_package(name: str) -> Path | zipfile.Path:
    found: Any = files(__package__)
    folder: Path | zipfile.Path = found.parent / name
    return folder


SQL_FOLDER: Final = _beside_this_package("sql")
"""A folder, or one inside the archive that a job was submitted with."""

Mode = Literal["job", "adhoc"]
"""`job` tables are unbounded and go on from committed offsets; `adhoc` ones end at what is there now."""

BROKER_PARAMETER: Final = "signalbox.bootstrap-servers"
PREFIX_PARAMETER: Final = "signalbox.topic-prefix"
"""Job parameters by which a session tells the Python functions which broker its tables are on."""

_NUMBER: Final = re.compile(r"^\d+_")
_TOKEN: Final = re.compile(
    r"(?P<quoted>'(?:[^']|'')*'|`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\")"
    r"|(?P<comment>--[^\n]*|/\*(?!\+).*?\*/)"
    r"|(?P<opens>\b(?:BEGIN|CASE)\b)|(?P<closes>\bEND\b)|(?P<end>;)|(?P<other>\w+|.)",
    re.IGNORECASE | re.DOTALL,
)


def names() -> tuple[str, ...]:
    """Return the names of all files, in the order of the flow, without `.sql`: `01_incoming_leads`, `questions/…`."""
    numbered = sorted(name for name in _stems(SQL_FOLDER) if name[0].isdigit())
    questions = sorted(f"questions/{name}" for name in _stems(SQL_FOLDER / "questions"))
    return (*numbered, *questions)


def _stems(folder: Path | zipfile.Path) -> Iterator[str]:
    names = (entry.name for entry in folder.iterdir())
    return (name.removesuffix(".sql") for name in names if name.endswith(".sql"))


def _source(name: str) -> str:
    return (SQL_FOLDER / name).read_text(encoding="utf-8")


def session_names() -> tuple[str, ...]:
    """Return the files that a person's session starts with: settings, tables, functions, views; not the jobs (20 to 29)."""
    return tuple(name for name in names() if re.match(r"[0134]\d_", name))


def job_names() -> tuple[str, ...]:
    """Return the files that start a job each."""
    return tuple(name for name in names() if re.match(r"2\d_", name))


def resolve(name: str) -> str:
    """Return the file name that `name` means, with or without its number and folder.

    Raises:
        UsageError: there is no such file; the message lists those there are.
    """
    wanted = name.removesuffix(".sql")
    for candidate in names():
        last = candidate.rpartition("/")[2]
        if wanted in {candidate, last, _NUMBER.sub("", last)}:
            return candidate
    msg = f"no SQL file is called '{name}'; there are {', '.join(names())}"
    raise UsageError(msg)


def headline(name: str) -> str:
    """Return the first comment of a file: what it is, or what it asks."""
    text = _source(f"{resolve(name)}.sql")
    first = re.search(r"^-- (?!sqlfluff:)(.*)$", text, re.MULTILINE)
    return first[1] if first else ""


def variables(
    settings: Settings, *, mode: Mode = "job", job: str = "orchestrate"
) -> dict[str, Any]:
    """Return what the templates are rendered with; `sql/_kafka.sql` says what each one means."""
    return {
        "bootstrap_servers": settings.kafka.servers,
        "topic_prefix": settings.kafka.topic_prefix,
        "group_prefix": settings.kafka.group_prefix,
        "delivery": settings.delivery,
        "kafka_properties": java_properties(settings.kafka.security),
        "broker_parameter": BROKER_PARAMETER,
        "prefix_parameter": PREFIX_PARAMETER,
        "max_admitted_bytes": MAX_ADMITTED_BYTES,
        "max_raw_bytes": MAX_RAW_BYTES,
        "mode": mode,
        "job": job,
    }


def render(
    settings: Settings,
    name: str,
    *,
    mode: Mode = "job",
    job: str = "orchestrate",
    parameters: Mapping[str, Any] | None = None,
) -> str:
    """Return the text of one file, ready for the SQL client.

    Args:
        settings: the broker, prefixes and delivery.
        name: the file, with or without its number.
        mode: how the tables read; a file that belongs to a job says so itself.
        job: whose consumer group and transactional ids the tables use.
        parameters: what a question asks about (`{"conversation": "lead-0-0"}`), or what `model_sql` says of the definitions.

    Raises:
        UsageError: there is no such file.
    """
    environment = Environment(
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    template = environment.get_template(f"{resolve(name)}.sql")
    values = {**(parameters or {}), **variables(settings, mode=mode, job=job)}
    return template.render(values).lstrip()


def render_session(settings: Settings) -> str:
    """Return what the SQL client is started with (`-i`): every setting, table, function and view."""
    return "\n".join(render(settings, name, mode="adhoc") for name in session_names())


def statements(
    settings: Settings,
    name: str,
    *,
    mode: Mode = "job",
    job: str = "orchestrate",
    parameters: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Return the single statements of `sql/<name>.sql`, in order, without their semicolons.

    Args:
        settings: the broker, prefixes and delivery.
        name: the file, with or without its number (`20_incoming_leads_to_agent_messages`).
        mode: how the tables read; a file that belongs to a job says so itself.
        job: whose consumer group and transactional ids the tables use.
        parameters: as for `render`.

    Raises:
        UsageError: there is no such file.
    """
    return split(render(settings, name, mode=mode, job=job, parameters=parameters))


def table_ddl(
    settings: Settings, *tables: str, mode: Mode = "job", job: str = "orchestrate"
) -> tuple[str, ...]:
    """Return the CREATE statements of `tables` (`"agent_messages"`, `"orchestrator_output"`, …), in the order given.

    Raises:
        UsageError: a table has no file.
    """
    return tuple(
        statement
        for table in tables
        for statement in statements(settings, table, mode=mode, job=job)
    )


def split(text: str) -> tuple[str, ...]:
    """Split SQL text at the semicolons that end statements: not those in literals, comments or a `BEGIN … END`.

    Comments are left out (hints stay): the SQL client shows statements back to a person, and jobs log them.
    """
    return tuple(statement for statement in _split(text) if statement)


def _split(text: str) -> Iterator[str]:
    parts: list[tuple[bool, str]] = []
    depth = 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "comment":
            continue
        # CASE … END inside a statement set closes its own END, so both are counted.
        depth += (kind == "opens") - (kind == "closes")
        if kind == "end" and depth == 0:
            yield _tidy(parts)
            parts = []
        else:
            parts.append((kind == "quoted", match.group()))
    yield _tidy(parts)


def _tidy(parts: list[tuple[bool, str]]) -> str:
    """Join tokens without the empty lines and blanks that comments left; what stands in quotes stays as it is."""
    runs = (
        (is_quoted, "".join(text for _, text in run))
        for is_quoted, run in itertools.groupby(parts, key=lambda part: part[0])
    )
    return "".join(
        text if is_quoted else re.sub(r"[ \t]*\n(?:[ \t]*\n)*", "\n", text)
        for is_quoted, text in runs
    ).strip()
