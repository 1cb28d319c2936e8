-- sqlfluff:exclude_rules:RF02,RF03,RF04,RF06,ST06,AM04,AM07,CV10,LT01,LT02,CP02
{% import '_bytes.sql' as bytes -%}
{% set mode = 'job' -%}
{% set job = 'incoming_leads' -%}
{% set max_admitted_bytes = max_admitted_bytes | default(262144) -%}
{% set max_raw_bytes = max_raw_bytes | default(524288) -%}
-- Every lead becomes a message, or a dead letter that says why not. A job of its own, in SQL only.
-- Delivery: as `delivery` says; ids come from partition and offset, so a lead that is read twice is one message.
SET 'pipeline.name' = 'incoming_leads';
SET 'table.local-time-zone' = 'UTC';

{% include '01_incoming_leads.sql' %}
{% include '02_agent_messages.sql' %}
{% include '08_agent_messages_dlq.sql' %}
-- `nested` finds out whether the value is one JSON value and nothing else: Flink's parser stops at the first one and
-- ignores the rest. Behind the value stands its own digest, which no value can contain, so if it is found there, the value
-- ended where it seems to end. Eight brackets leave room for the levels the envelope adds (the parser takes 1,000).
CREATE TEMPORARY VIEW leads_read AS
SELECT
    `lead`,
    lead_key,
    topic,
    partition_id,
    record_offset,
    record_time,
    CAST(`lead` AS STRING) AS lead_text,
    {{ bytes.size('`lead`') }} AS lead_bytes,
    SHA2(COALESCE(`lead`, X''), 256) AS lead_sha256,
    '[[[[[[[[' || CAST(`lead` AS STRING) || ',"' || SHA2(`lead`, 256) || '"]]]]]]]]' AS nested,
    'lead-' || CAST(partition_id AS STRING) || '-' || CAST(record_offset AS STRING) AS lead_id,
    CASE
        -- An id as the envelope's subject takes it; U+FFFD stands for bytes that were no UTF-8, two such keys may look equal.
        WHEN REGEXP(lead_key, '\A[^\x00-\x1F\x7F\x{FFFD}]{1,256}\z') THEN lead_key
        ELSE 'lead-' || CAST(partition_id AS STRING) || '-' || CAST(record_offset AS STRING)
    END AS conversation_id
FROM incoming_leads;

-- The order matters: nothing is parsed that is too large or not text.
CREATE TEMPORARY VIEW leads_checked AS
SELECT
    *,
    CASE
        WHEN `lead` IS NULL THEN 'the value is null; send a JSON object'
        WHEN lead_bytes > {{ max_admitted_bytes }}
            THEN CAST(lead_bytes AS STRING) || ' bytes; at most {{ max_admitted_bytes }} are admitted'
        WHEN NOT ({{ bytes.is_utf8('`lead`') }}) THEN 'not UTF-8; send JSON in UTF-8'
        WHEN NOT (lead_text IS JSON OBJECT)
            THEN 'not a JSON object; send one lead as {"name": …, "email": …}'
        WHEN NOT (nested IS JSON ARRAY)
            THEN 'something follows the JSON object, or it nests too deep; send one lead per record'
        WHEN JSON_VALUE(nested, '$[0][0][0][0][0][0][0][1]') IS DISTINCT FROM lead_sha256
            THEN 'something follows the JSON object; send one lead per record'
    END AS problem
FROM leads_read;

-- JSON(…) takes the parsed value, never the text: what looks like the end of the data cannot end it.
CREATE TEMPORARY VIEW leads_wrapped AS
SELECT
    *,
    CASE
        WHEN problem IS NULL THEN ENCODE(
            JSON_OBJECT(
                'specversion' VALUE '1.0',
                'id' VALUE lead_id,
                'source' VALUE 'connector/incoming_leads',
                'type' VALUE 'lead.submitted',
                'time' VALUE {{ bytes.rfc3339('record_time') }},
                'datacontenttype' VALUE 'application/json',
                'subject' VALUE conversation_id,
                'correlationid' VALUE lead_id,
                'data' VALUE JSON_OBJECT('lead' VALUE JSON(lead_text))
            ),
            'UTF-8'
        )
    END AS envelope
FROM leads_checked;

CREATE TEMPORARY VIEW leads_judged AS
SELECT
    *,
    COALESCE({{ bytes.size('envelope') }} <= {{ max_admitted_bytes }}, FALSE) AS is_admitted,
    COALESCE(problem, 'more than {{ max_admitted_bytes }} bytes with its envelope') AS detail,
    CASE
        WHEN problem IS NULL OR COALESCE(lead_bytes, 0) > {{ max_admitted_bytes }} THEN 'payload_too_large'
        ELSE 'malformed_json'
    END AS reason,
    {{ bytes.first('`lead`', max_raw_bytes) }} AS kept
FROM leads_wrapped;

-- Text, unless it is none or JSON's escapes would blow it up; a cut may fall inside a character, which then is dropped.
CREATE TEMPORARY VIEW leads_refused AS
SELECT
    *,
    CASE
        WHEN {{ bytes.is_utf8('`lead`') }}
            AND {{ bytes.size("ENCODE(JSON_STRING(DECODE(kept, 'UTF-8')), 'UTF-8')") }} <= {{ 2 * max_raw_bytes }}
            THEN CASE
                WHEN lead_bytes > {{ max_raw_bytes }} THEN TRIM(TRAILING U&'\FFFD' FROM DECODE(kept, 'UTF-8'))
                ELSE DECODE(kept, 'UTF-8')
            END
    END AS kept_text
FROM leads_judged
WHERE NOT is_admitted;

EXECUTE STATEMENT SET BEGIN
INSERT INTO agent_messages (conversation_key, envelope)
SELECT
    conversation_id,
    envelope
FROM leads_judged
WHERE is_admitted;

INSERT INTO agent_messages_dlq (conversation_key, record)
SELECT
    conversation_id,
    ENCODE(
        JSON_OBJECT(
            'value' VALUE kept_text,
            'value_base64' VALUE CASE WHEN kept_text IS NULL THEN kept END,
            'truncated' VALUE COALESCE(lead_bytes > {{ max_raw_bytes }}, FALSE),
            'sha256' VALUE lead_sha256,
            'topic' VALUE topic,
            'partition' VALUE partition_id,
            'offset' VALUE record_offset,
            'key' VALUE SUBSTRING(lead_key, 1, 256),
            'message_id' VALUE lead_id,
            'conversation_id' VALUE conversation_id,
            'reason' VALUE reason,
            'detail' VALUE detail,
            'attempts' VALUE 1,
            'failed_at' VALUE {{ bytes.rfc3339('CURRENT_TIMESTAMP') }}
            ABSENT ON NULL
        ),
        'UTF-8'
    )
FROM leads_refused;
END;
