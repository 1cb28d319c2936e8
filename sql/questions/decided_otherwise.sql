-- What would be decided otherwise today? Decisions beside what route() says now, by the definitions active now.
SELECT
    decisions.decided_at,
    decisions.conversation_id,
    messages.type,
    decisions.agent AS decided,
    route(messages.envelope) AS today,
    decisions.path,
    decisions.definitions_digest
FROM decisions
INNER JOIN (
    SELECT
        envelope,
        JSON_VALUE(CAST(envelope AS STRING), '$.id') AS message_id,
        JSON_VALUE(CAST(envelope AS STRING), '$.type') AS type
    FROM agent_messages
) AS messages ON decisions.message_id = messages.message_id
WHERE decisions.slot = 'route' AND decisions.agent <> route(messages.envelope)
ORDER BY decisions.decided_at DESC
LIMIT 50;
