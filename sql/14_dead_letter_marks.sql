{% import '_kafka.sql' as kafka with context -%}
-- What people said of dead letters: which of them nobody will send again.
CREATE TABLE dead_letter_marks (
    place STRING,
    record BYTES,
    topic STRING METADATA VIRTUAL,
    partition_id INT METADATA FROM 'partition' VIRTUAL,
    record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
    record_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
    {{ kafka.watermark('record_time') }}
) WITH (
    {{ kafka.connection('place') }},
    {{ kafka.topic('dead_letter_marks') }},
    {{ kafka.scan_everything() }},
    {{ kafka.sink('dead_letter_marks') }}
);
