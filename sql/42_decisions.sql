{% from '_json.sql' import moment -%}
-- Every decision: which agent, or NONE, by which path, and why.
CREATE VIEW decisions AS
SELECT
    JSON_VALUE(json, '$.message_id') AS message_id,
    JSON_VALUE(json, '$.slot') AS slot,
    JSON_VALUE(json, '$.conversation_id') AS conversation_id,
    TRY_CAST(JSON_VALUE(json, '$.hop') AS INT) AS hop,
    JSON_VALUE(json, '$.agent') AS agent,
    JSON_VALUE(json, '$.path') AS path,
    JSON_VALUE(json, '$.reason') AS reason,
    JSON_QUERY(json, '$.candidates') AS candidates,
    TRY_CAST(JSON_VALUE(json, '$.accepted_total') AS INT) AS accepted_total,
    TRY_CAST(JSON_VALUE(json, '$.rejected_total') AS INT) AS rejected_total,
    JSON_QUERY(json, '$.shortlist') AS shortlist,
    JSON_VALUE(json, '$.calibration') AS calibration,
    TRY_CAST(JSON_VALUE(json, '$.confidence') AS DOUBLE) AS confidence,
    JSON_VALUE(json, '$.model') AS model,
    JSON_VALUE(json, '$.prompt_digest') AS prompt_digest,
    JSON_VALUE(json, '$.definitions_digest') AS definitions_digest,
    JSON_VALUE(json, '$.answer') AS answer,
    TRY_CAST(JSON_VALUE(json, '$.tokens_in') AS BIGINT) AS tokens_in,
    TRY_CAST(JSON_VALUE(json, '$.tokens_out') AS BIGINT) AS tokens_out,
    TRY_CAST(JSON_VALUE(json, '$.latency_ms') AS BIGINT) AS latency_ms,
    TRY_CAST(JSON_VALUE(json, '$.attempts') AS INT) AS attempts,
    TRY_CAST(JSON_VALUE(json, '$.cached') AS BOOLEAN) AS is_cached,
    JSON_VALUE(json, '$.data_from') AS data_from,
    {{ moment('decided_at') }} AS decided_at,
    partition_id,
    record_offset,
    record_time
FROM (
    SELECT
        *,
        CAST(record AS STRING) AS json
    FROM agent_decisions
) AS parsed
WHERE json IS JSON OBJECT;
