-- Every message, a column per attribute of its envelope. Values that are no JSON objects are in `dead_letters`.
CREATE VIEW messages AS
SELECT
    JSON_VALUE(json, '$.id') AS message_id,
    JSON_VALUE(json, '$.subject') AS conversation_id,
    JSON_VALUE(json, '$.type') AS type,
    JSON_VALUE(json, '$.source') AS source,
    REGEXP_EXTRACT(JSON_VALUE(json, '$.source'), '^agent/(.+)$', 1) AS claimed_agent,
    JSON_VALUE(json, '$.correlationid') AS correlation_id,
    JSON_VALUE(json, '$.causationid') AS causation_id,
    JSON_VALUE(json, '$.traceparent') AS traceparent,
    TRY_CAST(JSON_VALUE(json, '$.priority') AS INT) AS priority,
    JSON_VALUE(json, '$.target') AS target,
    TRY_CAST(JSON_VALUE(json, '$.tokensused') AS BIGINT) AS tokens_used,
    JSON_VALUE(json, '$.replystatus') AS reply_status,
    TRY_CAST(JSON_VALUE(json, '$.processingms') AS BIGINT) AS processing_ms,
    JSON_VALUE(json, '$.time') AS claimed_time,
    JSON_VALUE(json, '$.deadline') AS deadline,
    JSON_QUERY(json, '$.data') AS data,
    partition_id,
    record_offset,
    record_time
FROM (
    SELECT
        *,
        CAST(envelope AS STRING) AS json
    FROM agent_messages
) AS parsed
WHERE json IS JSON OBJECT;
