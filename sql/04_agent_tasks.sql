{% import '_kafka.sql' as kafka with context -%}
-- What agents were asked to do: one topic per agent, read together; `topic` says whose.
CREATE TABLE agent_tasks (
    conversation_key STRING,
    envelope BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('conversation_key') }},
    {{ kafka.topic_pattern('agent_tasks_[a-z][a-z0-9_]{0,62}') }},
    {{ kafka.scan() }}
);
