-- sqlfluff:exclude_rules:RF02,RF03,RF04,RF06,ST06,AM04,AM07,CV10,AL03
{% set conversation = conversation | default('lead-0-0') | replace("'", "''") -%}
-- The path of one conversation, everything that was written about it in the order of its records.
SELECT
    moment,
    kind,
    name,
    detail
FROM (
    SELECT
        record_time AS moment,
        'message' AS kind,
        type AS name,
        'from ' || source AS detail
    FROM messages
    WHERE conversation_id = '{{ conversation }}'
    UNION ALL
    SELECT
        record_time,
        'decision',
        agent,
        path || ': ' || reason
    FROM decisions
    WHERE conversation_id = '{{ conversation }}'
    UNION ALL
    SELECT
        record_time,
        'task',
        agent,
        'hop ' || CAST(hop AS STRING)
    FROM tasks
    WHERE conversation_id = '{{ conversation }}'
    UNION ALL
    SELECT
        record_time,
        'review',
        message_type,
        reason
    FROM reviews
    WHERE conversation_id = '{{ conversation }}'
    UNION ALL
    SELECT
        record_time,
        'dead letter',
        reason,
        detail
    FROM dead_letters
    WHERE conversation_id = '{{ conversation }}'
    UNION ALL
    SELECT
        record_time,
        'outcome',
        status,
        detail
    FROM outcomes
    WHERE conversation_id = '{{ conversation }}'
) AS path
ORDER BY moment, CASE kind WHEN 'message' THEN 1 WHEN 'decision' THEN 2 WHEN 'task' THEN 3 ELSE 4 END;
