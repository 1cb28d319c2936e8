-- sqlfluff:exclude_rules:RF02,RF03,RF04,RF06,ST06,AM04,AM07,CV10,LT01,CP02
-- How busy was it? Messages a minute, by the time they were taken.
SELECT
    window_start,
    COUNT(*) AS messages,
    COUNT(DISTINCT conversation_id) AS conversations
FROM TABLE(TUMBLE(TABLE messages, DESCRIPTOR(record_time), INTERVAL '1' MINUTES))
GROUP BY window_start, window_end
ORDER BY window_start DESC
LIMIT 60;
