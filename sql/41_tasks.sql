{% from '_json.sql' import moment -%}
-- Every task, of all agents.
CREATE VIEW tasks AS
SELECT
    JSON_VALUE(json, '$.id') AS task_id,
    JSON_VALUE(json, '$.target') AS agent,
    JSON_VALUE(json, '$.subject') AS conversation_id,
    JSON_VALUE(json, '$.correlationid') AS correlation_id,
    JSON_VALUE(json, '$.causationid') AS causation_id,
    JSON_VALUE(json, '$.traceparent') AS traceparent,
    TRY_CAST(JSON_VALUE(json, '$.hop') AS INT) AS hop,
    JSON_VALUE(json, '$.definitions') AS definitions_digest,
    TRY_CAST(JSON_VALUE(json, '$.priority') AS INT) AS priority,
    {{ moment('time') }} AS assigned_at,
    {{ moment('deadline') }} AS deadline,
    JSON_QUERY(json, '$.data') AS data,
    topic,
    partition_id,
    record_offset,
    record_time
FROM (
    SELECT
        *,
        CAST(envelope AS STRING) AS json
    FROM agent_tasks
) AS parsed
WHERE json IS JSON OBJECT;
