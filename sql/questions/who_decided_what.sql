-- Who decided what, and why? The latest fifty decisions.
SELECT
    decided_at,
    conversation_id,
    hop,
    agent,
    path,
    COALESCE(model, '') AS model,
    confidence,
    reason
FROM decisions
ORDER BY decided_at DESC
LIMIT 50;
