{% from '_json.sql' import moment -%}
-- How each episode of each conversation ended.
CREATE VIEW outcomes AS
SELECT
    JSON_VALUE(json, '$.conversation_id') AS conversation_id,
    TRY_CAST(JSON_VALUE(json, '$.episode') AS INT) AS episode,
    JSON_VALUE(json, '$.status') AS status,
    JSON_VALUE(json, '$.last_agent') AS last_agent,
    TRY_CAST(JSON_VALUE(json, '$.hops') AS INT) AS hops,
    TRY_CAST(JSON_VALUE(json, '$.tokens') AS BIGINT) AS tokens,
    {{ moment('started_at') }} AS started_at,
    {{ moment('ended_at') }} AS ended_at,
    JSON_VALUE(json, '$.detail') AS detail,
    JSON_QUERY(json, '$.result') AS `result`,
    partition_id,
    record_offset,
    record_time
FROM (
    SELECT
        *,
        CAST(record AS STRING) AS json
    FROM agent_outcomes
) AS parsed
WHERE json IS JSON OBJECT;
