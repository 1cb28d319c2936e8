-- sqlfluff:exclude_rules:RF02,RF03,RF04,RF06,ST06,AM04,AM07,CV10,LT01,LT02,CP02
{% import '_kafka.sql' as kafka with context -%}
-- Everything the orchestrator writes, through one sink: `topic` says where each record goes.
-- A record whose topic does not match the pattern stops the job in a loop, so the writer checks names before.
CREATE TABLE orchestrator_output (
    topic STRING METADATA,
    conversation_key STRING,
    record BYTES,
    headers MAP<STRING, BYTES> METADATA
) WITH (
    {{ kafka.connection('conversation_key') }},
    {{ kafka.topic_pattern('(agent_tasks_[a-z][a-z0-9_]{0,62}|agent_(decisions|outcomes|review|messages(_dlq)?|control|heartbeats))') }},
    {{ kafka.sink('output') }}
);
