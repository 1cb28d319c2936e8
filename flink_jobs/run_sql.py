"""Runs one file of `sql/` as a Flink job: `flink run -py flink_jobs/run_sql.py NAME`, settings from the environment.

The SQL client does the same with the rendered file. PyFlink has no SET, so those statements become configuration here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, Final

from pyflink.table import EnvironmentSettings, TableEnvironment, TableResult

from connectors.kafka import KafkaBroker
from connectors.registry import read_active_set
from flink_jobs import model_sql, sql_files
from signalbox.errors import ConfigurationError, UsageError
from signalbox.settings import Settings

_SET: Final = re.compile(r"^SET\s+'([^']+)'\s*=\s*'([^']*)'$", re.IGNORECASE)


def submit(name: str, settings: Settings) -> TableResult:
    """Run the statements of `sql/<name>.sql` and return the result of the last, which starts the job.

    Raises:
        UsageError: there is no such file, or no job in it: a table's file would end well and do nothing.
        ConfigurationError: it asks a model, and there is none, or no agents are active.
    """
    found = sql_files.resolve(name)
    if found not in sql_files.job_names():
        msg = (
            f"sql/{found}.sql starts no job; the files that do: {', '.join(sql_files.job_names())}"
        )
        raise UsageError(msg)
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    parameters = _generated(settings, found)
    result = execute(tables, sql_files.statements(settings, found, parameters=parameters))
    assert result is not None
    return result


def _generated(settings: Settings, name: str) -> dict[str, Any]:
    """Return what the file is generated from, where it is: the definitions that are active now, the model and its key."""
    if name != model_sql.NAME:
        return {}
    model_sql.require_server(settings.model)
    prefix = settings.kafka.topic_prefix
    active = read_active_set(KafkaBroker.of(settings.kafka), topic_prefix=prefix)
    if active is None or not active.agents:
        msg = "no agents are active; `signalbox agents apply DIR` first"
        raise ConfigurationError(msg)
    return model_sql.template_values(settings.model, active, api_key=settings.model.key())


def execute(tables: TableEnvironment, statements: Iterable[str]) -> TableResult | None:
    """Run statements one after the other; return the result of the last one that has any (SET has none)."""
    result: TableResult | None = None
    for statement in statements:
        setting = _SET.match(statement)
        if setting:
            tables.get_config().set(setting[1], setting[2])
        else:
            result = tables.execute_sql(statement)
    return result


def main(name: str) -> None:
    """Submit one file and say which job it became: `flink run` itself says so of DataStream jobs only."""
    client = submit(name, Settings()).get_job_client()
    if client is not None:
        sys.stdout.write(f"Job has been submitted with JobID {client.get_job_id()}\n")


if __name__ == "__main__":
    main(sys.argv[1])
