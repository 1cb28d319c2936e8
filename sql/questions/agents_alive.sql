-- Which agent processes are there, what are they doing? The last beat of each instance.
SELECT
    agent,
    instance,
    active,
    max_concurrent,
    handled,
    failed,
    TIMESTAMPDIFF(SECOND, beat_at, CURRENT_TIMESTAMP) AS silent_seconds,
    definitions_digest
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (PARTITION BY agent, instance ORDER BY record_time DESC) AS newest
    FROM heartbeats
) AS beats
WHERE newest = 1
ORDER BY agent, instance;
