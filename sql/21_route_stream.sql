{% set mode = 'job' -%}
{% set job = 'route_stream' -%}
-- The whole router as one INSERT: good for seeing what it is, and for a few messages a second.
-- Not what `up` runs. A scalar function asks the model and waits, one message at a time: with answers of 0.3 s median
-- (0.41 s in the mean) a subtask routes 2.4 messages a second, and whatever stands behind a slow answer waits with it,
-- checkpoints too. Flink's own ways out were tried. AsyncScalarFunction returns wrong rows in 2.3.0 (FLINK-39532). Its async
-- operators wait for every call in flight at each bundle's end: 3.2 to 4.4 s end to end (p50) at 20 messages a second with
-- that model, where the operator in flink_jobs/orchestrate.py took 0.35 s. ML_PREDICT stopped near 12 calls a second.
-- And a statement has no memory: no budgets, no duplicates dropped, no reviews, no retry; what cannot be decided (NULL) or
-- goes nowhere (NONE, INVALID) is left out here.
-- Stop the job `orchestrate` first: both would dispatch.
SET 'pipeline.name' = 'route_stream';

{% include '02_agent_messages.sql' %}
{% include '10_orchestrator_output.sql' %}
{% include '30_functions.sql' %}
CREATE TEMPORARY VIEW routed AS
SELECT
    conversation_key,
    envelope,
    route(envelope) AS agent
FROM agent_messages;

INSERT INTO orchestrator_output (topic, conversation_key, record)
SELECT
    '{{ topic_prefix | default('') }}agent_tasks_' || agent AS topic,
    conversation_key,
    task(envelope, agent) AS record
FROM routed
WHERE agent NOT IN ('NONE', 'INVALID');
