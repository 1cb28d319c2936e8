{% from '_json.sql' import moment -%}
-- Agent processes as they see themselves; one beat every few seconds each.
CREATE VIEW heartbeats AS
SELECT
    JSON_VALUE(json, '$.agent') AS agent,
    JSON_VALUE(json, '$.instance') AS instance,
    TRY_CAST(JSON_VALUE(json, '$.active') AS INT) AS active,
    TRY_CAST(JSON_VALUE(json, '$.max_concurrent') AS INT) AS max_concurrent,
    TRY_CAST(JSON_VALUE(json, '$.handled') AS BIGINT) AS handled,
    TRY_CAST(JSON_VALUE(json, '$.failed') AS BIGINT) AS failed,
    JSON_VALUE(json, '$.definitions') AS definitions_digest,
    JSON_VALUE(json, '$.digest') AS definition_digest,
    TRY_CAST(JSON_VALUE(json, '$.draining') AS BOOLEAN) AS is_draining,
    TRY_CAST(JSON_VALUE(json, '$.paused') AS BOOLEAN) AS is_paused,
    JSON_VALUE(json, '$.capability') AS capability,
    TRY_CAST(JSON_VALUE(json, '$.busy_ms') AS BIGINT) AS busy_ms,
    {{ moment('at') }} AS beat_at,
    record_time
FROM (
    SELECT
        *,
        CAST(record AS STRING) AS json
    FROM agent_heartbeats
) AS parsed
WHERE json IS JSON OBJECT;
