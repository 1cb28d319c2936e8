{% from '_json.sql' import ms_between -%}
-- How long does a hop take, and where? Deciding: from the message's record to its task's. Working: from there to the answer's.
-- So what waits in a topic counts to the step it waits for.
SELECT
    tasks.agent,
    COUNT(*) AS hops,
    CAST(AVG({{ ms_between('asked.record_time', 'tasks.record_time') }}) AS BIGINT) AS mean_deciding_ms,
    MAX({{ ms_between('asked.record_time', 'tasks.record_time') }}) AS max_deciding_ms,
    CAST(AVG({{ ms_between('tasks.record_time', 'answers.record_time') }}) AS BIGINT) AS mean_working_ms,
    MAX({{ ms_between('tasks.record_time', 'answers.record_time') }}) AS max_working_ms
FROM tasks
INNER JOIN messages AS asked ON tasks.causation_id = asked.message_id
LEFT JOIN messages AS answers ON tasks.task_id = answers.causation_id
GROUP BY tasks.agent
ORDER BY tasks.agent;
