-- What would be decided otherwise today? Decisions beside what route() says now, by the definitions active now.
WITH sent AS (
    SELECT
        envelope,
        JSON_VALUE(CAST(envelope AS STRING), '$.id') AS message_id,
        JSON_VALUE(CAST(envelope AS STRING), '$.type') AS type
    FROM agent_messages
)

SELECT
    decisions.decided_at,
    decisions.conversation_id,
    sent.type,
    decisions.agent AS decided,
    route(sent.envelope) AS today,
    decisions.path,
    decisions.definitions_digest
FROM decisions
INNER JOIN sent ON decisions.message_id = sent.message_id
WHERE decisions.slot = 'route' AND decisions.agent <> route(sent.envelope)
ORDER BY decisions.decided_at DESC
LIMIT 50;
