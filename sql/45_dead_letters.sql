{% from '_json.sql' import moment -%}
-- What could not go on: where it was, why, and the value itself.
CREATE VIEW dead_letters AS
SELECT
    JSON_VALUE(json, '$.reason') AS reason,
    JSON_VALUE(json, '$.detail') AS detail,
    JSON_VALUE(json, '$.topic') AS topic,
    TRY_CAST(JSON_VALUE(json, '$.partition') AS INT) AS partition_id,
    TRY_CAST(JSON_VALUE(json, '$.offset') AS BIGINT) AS record_offset,
    JSON_VALUE(json, '$.key') AS record_key,
    JSON_VALUE(json, '$.message_id') AS message_id,
    JSON_VALUE(json, '$.conversation_id') AS conversation_id,
    TRY_CAST(JSON_VALUE(json, '$.attempts') AS INT) AS attempts,
    {{ moment('failed_at') }} AS failed_at,
    TRY_CAST(JSON_VALUE(json, '$.truncated') AS BOOLEAN) AS is_truncated,
    JSON_VALUE(json, '$.sha256') AS sha256,
    JSON_VALUE(json, '$.value') AS text,
    JSON_VALUE(json, '$.value_base64') AS base64,
    record_time
FROM (
    SELECT
        *,
        CAST(record AS STRING) AS json
    FROM agent_messages_dlq
) AS parsed
WHERE json IS JSON OBJECT;
