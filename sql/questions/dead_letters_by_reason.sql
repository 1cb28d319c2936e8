-- What could not go on, and why? One example each; `signalbox dlq show` has the rest.
SELECT
    reason,
    topic,
    COUNT(*) AS dead_letters,
    MIN(failed_at) AS first_at,
    MAX(failed_at) AS last_at,
    MAX(detail) AS example
FROM dead_letters
GROUP BY reason, topic
ORDER BY dead_letters DESC, reason ASC, topic ASC;
