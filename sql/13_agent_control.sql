{% import '_kafka.sql' as kafka with context -%}
-- Who rests because of which event: the newest record of an agent holds.
CREATE TABLE agent_control (
    agent_key STRING,
    record BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('agent_key') }},
    {{ kafka.topic('agent_control') }},
    {{ kafka.scan_everything() }},
    {{ kafka.sink('agent_control') }}
);
