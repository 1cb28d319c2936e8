-- Which conversations cost most? Deciding, and the answers that claim to be agents' own work.
WITH deciding AS (
    SELECT
        conversation_id,
        COUNT(*) AS decided,
        SUM(tokens_in + tokens_out) AS tokens
    FROM decisions
    GROUP BY conversation_id
),

working AS (
    SELECT
        conversation_id,
        SUM(tokens_used) AS tokens
    FROM messages
    WHERE source LIKE 'agent/%'
    GROUP BY conversation_id
)

SELECT
    deciding.conversation_id,
    deciding.decided,
    deciding.tokens AS deciding_tokens,
    COALESCE(working.tokens, 0) AS working_tokens,
    deciding.tokens + COALESCE(working.tokens, 0) AS tokens
FROM deciding
LEFT JOIN working ON deciding.conversation_id = working.conversation_id
ORDER BY tokens DESC, conversation_id ASC
LIMIT 50;
