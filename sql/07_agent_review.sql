{% import '_kafka.sql' as kafka with context -%}
-- Messages that wait for a person.
CREATE TABLE agent_review (
    conversation_key STRING,
    record BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('conversation_key') }},
    {{ kafka.topic('agent_review') }},
    {{ kafka.scan() }},
    {{ kafka.sink('agent_review') }}
);
