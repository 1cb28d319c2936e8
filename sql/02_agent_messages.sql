{% import '_kafka.sql' as kafka with context -%}
-- Every message of every conversation, in CloudEvents envelopes: what the orchestrator decides on.
CREATE TABLE agent_messages (
    conversation_key STRING,
    envelope BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('conversation_key') }},
    {{ kafka.topic('agent_messages') }},
    {{ kafka.scan() }},
    {{ kafka.sink('agent_messages') }}
);
