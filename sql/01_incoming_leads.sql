{% import '_kafka.sql' as kafka with context -%}
-- Leads as they come in: bare JSON objects, keyed by whoever sends them, or not at all.
CREATE TABLE incoming_leads (
    lead_key STRING,
    `lead` BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('lead_key') }},
    {{ kafka.topic('incoming_leads') }},
    {{ kafka.scan() }},
    {{ kafka.sink('incoming_leads') }}
);
