r"""Reference: Flink's own ML_PREDICT with its OpenAI provider, asynchronous and unordered, between two topics.

    PYTHONPATH=$PWD flink run -py benchmarks/references/ml_predict.py \
        --bootstrap-servers HOST:PORT --topic-in A --topic-out B --model-url URL/v1

Every value of A is put to an OpenAI-compatible server; a record with the same key and the model's text goes to B.
`sql/22_ml_predict.sql` is the router made of the same parts. Delivery: at least once.
"""

from __future__ import annotations

import argparse
import json
from typing import Final

from pyflink.table import StreamTableEnvironment

from benchmarks.references.job import ANSWER_SCHEMA, SYSTEM_PROMPT, declare, parser
from flink_jobs.environment import stream_environment
from flink_jobs.model_sql import SCHEMA_INTRODUCTION
from signalbox.settings import Settings

_MODEL: Final = """
    CREATE TEMPORARY MODEL router
    INPUT (question STRING)
    OUTPUT (answer STRING)
    WITH (
        'provider' = 'openai',
        'endpoint' = '{endpoint}',
        'model' = 'stub',
        'api-key' = 'none',
        'system-prompt' = '{prompt}',
        'temperature' = '0',
        'response-format' = 'json_object'
    )"""
_INSERT: Final = """
    INSERT INTO records_out
    SELECT `key`, ENCODE(answer, 'UTF-8')
    FROM ML_PREDICT(TABLE questions, MODEL router, DESCRIPTOR(question))"""


def main(arguments: argparse.Namespace) -> None:
    """Build the job and submit it."""
    tables = StreamTableEnvironment.create(stream_environment(Settings()))
    options = {
        "pipeline.name": "reference_ml_predict",
        "table.exec.async-ml-predict.max-concurrent-operations": str(arguments.capacity),
        "table.exec.async-ml-predict.timeout": f"{arguments.timeout_seconds} s",
        "table.exec.async-ml-predict.output-mode": "ALLOW_UNORDERED",
    }
    for name, value in options.items():
        tables.get_config().set(name, value)
    declare(tables, arguments)
    # The provider knows no structured output, so the schema stands in the prompt.
    prompt = f"{SYSTEM_PROMPT}\n{SCHEMA_INTRODUCTION}\n{json.dumps(ANSWER_SCHEMA)}\n"
    endpoint = arguments.model_url.rstrip("/") + "/chat/completions"
    tables.execute_sql(_MODEL.format(endpoint=endpoint, prompt=prompt.replace("'", "''")))
    tables.execute_sql(
        "CREATE TEMPORARY VIEW questions AS "
        "SELECT `key`, CAST(`value` AS STRING) AS question FROM records_in"
    )
    tables.execute_sql(_INSERT)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--capacity", type=int, default=256, help="calls in flight a subtask")
    options.add_argument("--timeout-seconds", type=int, default=180)
    main(options.parse_args())
