-- route(envelope)            the agent that would be next, NONE, INVALID; NULL where nobody can say
-- route_explained(envelope)  the same as JSON: agent, path, reason, candidates, model
-- task(envelope, agent)      the task for that agent, as it goes to the agent's topic
-- They read the definitions from the broker of the tables beside them; the model is the settings' one, where they run.
{% set parameters = {
    broker_parameter | default('signalbox.bootstrap-servers'): bootstrap_servers | default('127.0.0.1:9092'),
    prefix_parameter | default('signalbox.topic-prefix'): topic_prefix | default(''),
} -%}
SET 'pipeline.global-job-parameters' = '{{ parameters | tojson }}';
CREATE TEMPORARY FUNCTION route AS 'flink_jobs.udf.route' LANGUAGE PYTHON;
CREATE TEMPORARY FUNCTION route_explained AS 'flink_jobs.udf.route_explained' LANGUAGE PYTHON;
CREATE TEMPORARY FUNCTION task AS 'flink_jobs.udf.task' LANGUAGE PYTHON;
