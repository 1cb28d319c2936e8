{% import '_kafka.sql' as kafka with context -%}
{% import '_bytes.sql' as bytes -%}
{% set mode = 'job' -%}
{% set job = 'ml_predict' -%}
{% set agents = agents | default([]) -%}
{% set max_raw_bytes = max_raw_bytes | default(524288) -%}
{% set answer_seconds = answer_seconds | default(120) -%}
{% set max_data_chars = max_data_chars | default(24000) -%}
{% macro place(topic) %}'{{ topic_prefix | default('') }}{{ topic }}'{% endmacro -%}
-- The router as a model that Flink itself asks: CREATE MODEL and ML_PREDICT. Agents and prompt are those of the definitions
-- at the moment this file was rendered; when they change, render and start it again.
-- For: a SQL-only team, a few messages a second, a model server near by. Else the operator (flink_jobs/orchestrate.py) is the
-- better way: Flink's OpenAI client keeps five connections to a host, which stopped near 12 calls a second (measured); every
-- message costs a call, for contracts are not looked at; a call that fails for good or hangs fails the job, which starts again and asks again.
-- And a statement has no memory: no budgets, no duplicates dropped, no reviews, no decision records.
-- What the model names is compared with the agents: another word, or no answer, is a dead letter, never a topic.
-- Stop the job `orchestrate` first: both would dispatch.
SET 'pipeline.name' = 'ml_predict';
SET 'table.local-time-zone' = 'UTC';
SET 'table.exec.async-ml-predict.max-concurrent-operations' = '64';
SET 'table.exec.async-ml-predict.timeout' = '{{ answer_seconds + 60 }} s';
SET 'table.exec.async-ml-predict.output-mode' = 'ALLOW_UNORDERED';

{% include '02_agent_messages.sql' %}
{% include '10_orchestrator_output.sql' %}
{% include '30_functions.sql' %}
-- A key never stands in this file: `flink run -py flink_jobs/run_sql.py 22_ml_predict` puts it in when it submits.
-- From there on it is an option of the model in the job's graph, which Flink keeps; SHOW CREATE MODEL says it, too.
CREATE TEMPORARY MODEL router
INPUT (question STRING)
OUTPUT (answer STRING)
WITH (
    'provider' = 'openai',
    {{ kafka.option('endpoint', model_endpoint | default('http://127.0.0.1:11434/v1/chat/completions')) }},
    {{ kafka.option('model', model_name | default('llama3.2')) }},
    {{ kafka.option('api-key', model_api_key | default('none')) }},
    {{ kafka.option('system-prompt', system_prompt | default('Name the agent that acts next.')) }},
    'temperature' = '0',
    'seed' = '1',
    {{ kafka.option('max-tokens', max_tokens | default(1024)) }},
    'response-format' = 'json_object',
    'error-handling-strategy' = 'retry',
    {{ kafka.option('retry-num', retries | default(3)) }},
    -- The other choice, `ignore`, drops the row of a call that failed for good, and with it the message (seen; the column that
    -- would keep it cannot be declared in SQL). So the job fails, and starts again at its checkpoint: loud, and nothing is lost.
    'retry-fallback-strategy' = 'failover'
);

CREATE TEMPORARY VIEW questions AS
SELECT
    *,
    'Message type: ' || COALESCE(JSON_VALUE(json, '$.type'), '?')
    || U&'\000ASent by: ' || COALESCE(JSON_VALUE(json, '$.source'), '?')
    || U&'\000A<message>\000A' || SUBSTRING(COALESCE(JSON_QUERY(json, '$.data'), '{}'), 1, {{ max_data_chars }})
    || U&'\000A</message>' AS question
FROM (
    SELECT
        conversation_key,
        envelope,
        topic,
        partition_id,
        record_offset,
        CAST(envelope AS STRING) AS json
    FROM agent_messages
) AS read_values
WHERE json IS JSON OBJECT;

CREATE TEMPORARY VIEW answers AS
SELECT
    conversation_key,
    envelope,
    topic AS read_topic,
    partition_id,
    record_offset,
    JSON_VALUE(json, '$.id') AS message_id,
    CASE WHEN answer IS JSON OBJECT THEN JSON_VALUE(answer, '$.agent') END AS agent,
    answer
FROM ML_PREDICT(TABLE questions, MODEL router, DESCRIPTOR(question));

CREATE TEMPORARY VIEW named AS
SELECT
    *,
    {% if agents -%}
    COALESCE(agent IN ({% for name in agents %}'{{ name }}'{{ ', ' if not loop.last }}{% endfor %}), FALSE)
    {%- else -%}
    FALSE
    {%- endif %} AS is_agent
FROM answers
WHERE agent IS DISTINCT FROM 'NONE';

CREATE TEMPORARY VIEW tasked AS
SELECT
    *,
    CASE WHEN is_agent THEN task(envelope, agent) END AS task_record
FROM named;

CREATE TEMPORARY VIEW refused AS
SELECT
    conversation_key,
    envelope,
    read_topic,
    partition_id,
    record_offset,
    message_id,
    CASE WHEN is_agent THEN 'invalid_envelope' ELSE 'model_failed' END AS reason,
    CASE
        WHEN is_agent THEN 'no message that could be handed on'
        WHEN answer IS NULL THEN 'the model did not answer'
        ELSE 'the model named none of the agents: ' || SUBSTRING(answer, 1, 500)
    END AS detail
FROM tasked
WHERE task_record IS NULL
UNION ALL
SELECT
    conversation_key,
    envelope,
    topic,
    partition_id,
    record_offset,
    CAST(NULL AS STRING),
    'malformed_json',
    'not a JSON object'
FROM agent_messages
WHERE COALESCE(NOT (CAST(envelope AS STRING) IS JSON OBJECT), TRUE);

INSERT INTO orchestrator_output (topic, conversation_key, record)
SELECT
    {{ place('agent_tasks_') }} || agent AS topic,
    conversation_key,
    task_record AS record
FROM tasked
WHERE task_record IS NOT NULL
UNION ALL
SELECT
    {{ place('agent_messages_dlq') }},
    conversation_key,
    ENCODE(
        JSON_OBJECT(
            'value_base64' VALUE {{ bytes.first('envelope', max_raw_bytes) }},
            'truncated' VALUE COALESCE({{ bytes.size('envelope') }} > {{ max_raw_bytes }}, FALSE),
            'sha256' VALUE SHA2(COALESCE(envelope, X''), 256),
            'topic' VALUE read_topic,
            'partition' VALUE partition_id,
            'offset' VALUE record_offset,
            'key' VALUE SUBSTRING(conversation_key, 1, 256),
            'message_id' VALUE SUBSTRING(message_id, 1, 256),
            'reason' VALUE reason,
            'detail' VALUE detail,
            'attempts' VALUE 1,
            'failed_at' VALUE {{ bytes.rfc3339('CURRENT_TIMESTAMP') }}
            ABSENT ON NULL
        ),
        'UTF-8'
    )
FROM refused;
