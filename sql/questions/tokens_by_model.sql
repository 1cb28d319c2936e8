-- What did deciding cost? `embedded` spends none; a decision that was answered from the cache neither.
SELECT
    COALESCE(model, 'none asked') AS model,
    COUNT(*) AS decided,
    SUM(CASE WHEN is_cached THEN 1 ELSE 0 END) AS from_cache,
    SUM(tokens_in) AS tokens_in,
    SUM(tokens_out) AS tokens_out,
    CAST(AVG(latency_ms) AS BIGINT) AS mean_latency_ms,
    MAX(latency_ms) AS max_latency_ms
FROM decisions
GROUP BY model
ORDER BY decided DESC;
