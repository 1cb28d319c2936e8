-- What did the agents' own work cost? From the messages they answered with.
SELECT
    claimed_agent AS agent,
    COUNT(*) AS answers,
    SUM(tokens_used) AS tokens,
    CAST(AVG(processing_ms) AS BIGINT) AS mean_processing_ms,
    MAX(processing_ms) AS max_processing_ms
FROM messages
WHERE source LIKE 'agent/%'
GROUP BY claimed_agent
ORDER BY tokens DESC, agent ASC;
