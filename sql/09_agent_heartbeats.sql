{% import '_kafka.sql' as kafka with context -%}
-- One beat every few seconds from each agent process; the job reads what is new, because old beats say nothing of now.
CREATE TABLE agent_heartbeats (
    agent_key STRING,
    record BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('agent_key') }},
    {{ kafka.topic('agent_heartbeats') }},
    {{ kafka.scan_new() }},
    {{ kafka.sink('agent_heartbeats') }}
);
