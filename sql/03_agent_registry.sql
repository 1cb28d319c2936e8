{% import '_kafka.sql' as kafka with context -%}
-- Agent definitions (<agent>@<digest>), removals (retired/<agent>), and the manifest that makes a set of them active.
CREATE TABLE agent_registry (
    registry_key STRING,
    record BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('registry_key') }},
    {{ kafka.topic('agent_registry') }},
    {{ kafka.scan_everything() }},
    {{ kafka.sink('agent_registry') }}
);
