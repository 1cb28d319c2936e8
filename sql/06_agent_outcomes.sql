{% import '_kafka.sql' as kafka with context -%}
-- How each conversation ended.
CREATE TABLE agent_outcomes (
    conversation_key STRING,
    record BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('conversation_key') }},
    {{ kafka.topic('agent_outcomes') }},
    {{ kafka.scan() }},
    {{ kafka.sink('agent_outcomes') }}
);
