{% import '_kafka.sql' as kafka with context -%}
-- Dead letters: what could not go on, and why.
CREATE TABLE agent_messages_dlq (
    conversation_key STRING,
    record BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('conversation_key') }},
    {{ kafka.topic('agent_messages_dlq') }},
    {{ kafka.scan() }},
    {{ kafka.sink('agent_messages_dlq') }}
);
