-- How busy was it? Messages a minute, by the time they were taken.
SELECT
    window_start,
    COUNT(*) AS messages,
    COUNT(DISTINCT conversation_id) AS conversations
FROM TABLE(TUMBLE(TABLE messages, DESCRIPTOR(record_time), INTERVAL '1' MINUTES))
GROUP BY window_start, window_end
ORDER BY window_start DESC
LIMIT 60;
