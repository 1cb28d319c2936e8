{% import '_kafka.sql' as kafka with context -%}
-- Why each message went where it went.
CREATE TABLE agent_decisions (
    conversation_key STRING,
    record BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('conversation_key') }},
    {{ kafka.topic('agent_decisions') }},
    {{ kafka.scan() }},
    {{ kafka.sink('agent_decisions') }}
);
