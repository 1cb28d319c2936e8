-- sqlfluff:exclude_rules:RF02,RF03,RF04,RF06,ST06,AM04,AM07,CV10,LT01,CP02
-- Which minutes were unusual? Flows whose count is three deviations and more away from their own last hour, the newest first.
-- A flow is a type of message, a path of decisions (and NONE), a reason of dead letters, a status of outcomes. Its minute is
-- held against up to 60 minutes of the same flow before it, and against at least 10: fewer say nothing about what is usual.
-- A minute in which nothing came has no row, so `usual` is that of minutes in which something came. That nothing comes at all
-- is not asked here but watched: dashboards/alerts.yml, UnusualTraffic.
WITH happened AS (
    SELECT
        'message ' || type AS flow,
        conversation_id,
        record_time
    FROM messages
    UNION ALL
    SELECT
        'decision ' || path AS flow,
        conversation_id,
        record_time
    FROM decisions
    UNION ALL
    SELECT
        'decision NONE' AS flow,
        conversation_id,
        record_time
    FROM decisions
    WHERE agent = 'NONE'
    UNION ALL
    SELECT
        'dead letter ' || reason AS flow,
        COALESCE(conversation_id, record_key) AS conversation_id,
        record_time
    FROM dead_letters
    UNION ALL
    SELECT
        'outcome ' || status AS flow,
        conversation_id,
        record_time
    FROM outcomes
),

minutes AS (
    SELECT
        window_start,
        window_end,
        flow,
        COUNT(*) AS number,
        MIN(conversation_id) AS example
    FROM TABLE(TUMBLE(TABLE happened, DESCRIPTOR(record_time), INTERVAL '1' MINUTES))
    GROUP BY window_start, window_end, flow
),

compared AS (
    SELECT
        window_start,
        window_end,
        flow,
        number,
        example,
        COUNT(number) OVER hour_before AS known_minutes,
        AVG(CAST(number AS DOUBLE)) OVER hour_before AS usual,
        STDDEV_POP(CAST(number AS DOUBLE)) OVER hour_before AS deviation
    FROM minutes
    WINDOW hour_before AS (PARTITION BY flow ORDER BY window_start ROWS BETWEEN 60 PRECEDING AND 1 PRECEDING)
),

scored AS (
    SELECT
        window_start,
        window_end,
        flow,
        number,
        usual,
        example,
        -- What comes independently of each other varies by the root of its mean, though nothing is the matter, and counts are
        -- whole: without this floor a flow of 1 a minute, never more or less, would be infinitely unusual at 2.
        (number - usual) / GREATEST(deviation, SQRT(usual), CAST(1 AS DOUBLE)) AS z
    FROM compared
    WHERE known_minutes >= 10
)

SELECT
    window_start,
    flow,
    number,
    CAST(usual AS DECIMAL(12, 1)) AS usual,
    CAST(z AS DECIMAL(12, 1)) AS z,
    example
FROM scored
-- The minute that is not over yet has too few of everything.
WHERE ABS(z) >= 3 AND window_end <= LOCALTIMESTAMP
ORDER BY window_start DESC, ABS(z) DESC, flow ASC
LIMIT 50;
