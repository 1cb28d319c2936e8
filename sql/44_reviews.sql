{% from '_json.sql' import moment -%}
-- Messages that a person was asked to decide on. Whether one did is among `decisions` (path `human`).
CREATE VIEW reviews AS
SELECT
    JSON_VALUE(json, '$.conversation_id') AS conversation_id,
    JSON_VALUE(json, '$.message.id') AS message_id,
    JSON_VALUE(json, '$.message.type') AS message_type,
    JSON_QUERY(json, '$.message') AS message,
    JSON_QUERY(json, '$.candidates') AS candidates,
    TRY_CAST(JSON_VALUE(json, '$.accepted_total') AS INT) AS accepted_total,
    TRY_CAST(JSON_VALUE(json, '$.rejected_total') AS INT) AS rejected_total,
    JSON_VALUE(json, '$.reason') AS reason,
    {{ moment('opened_at') }} AS opened_at,
    {{ moment('deadline') }} AS deadline,
    JSON_VALUE(json, '$.definitions_digest') AS definitions_digest,
    JSON_VALUE(json, '$.model') AS model,
    JSON_VALUE(json, '$.prompt_digest') AS prompt_digest,
    JSON_VALUE(json, '$.answer') AS answer,
    TRY_CAST(JSON_VALUE(json, '$.confidence') AS DOUBLE) AS confidence,
    JSON_VALUE(json, '$.calibration') AS calibration,
    JSON_QUERY(json, '$.shortlist') AS shortlist,
    TRY_CAST(JSON_VALUE(json, '$.tokens_in') AS BIGINT) AS tokens_in,
    TRY_CAST(JSON_VALUE(json, '$.tokens_out') AS BIGINT) AS tokens_out,
    TRY_CAST(JSON_VALUE(json, '$.latency_ms') AS BIGINT) AS latency_ms,
    TRY_CAST(JSON_VALUE(json, '$.attempts') AS INT) AS attempts,
    TRY_CAST(JSON_VALUE(json, '$.cached') AS BOOLEAN) AS is_cached,
    JSON_VALUE(json, '$.workflow') AS workflow,
    JSON_VALUE(json, '$.step') AS step,
    JSON_VALUE(json, '$.token') AS token,
    JSON_VALUE(json, '$.default') AS `default`,
    partition_id,
    record_offset,
    record_time
FROM (
    SELECT
        *,
        CAST(record AS STRING) AS json
    FROM agent_review
) AS parsed
WHERE json IS JSON OBJECT;
