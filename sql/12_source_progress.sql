{% import '_kafka.sql' as kafka with context -%}
-- How far each lead source has read; written in one transaction with the leads, so neither is there without the other.
CREATE TABLE source_progress (
    source STRING,
    progress BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('source') }},
    {{ kafka.topic('source_progress') }},
    {{ kafka.scan_everything() }},
    {{ kafka.sink('source_progress') }}
);
