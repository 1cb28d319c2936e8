{#
  What every Kafka table shares. Variables and their local defaults:
    bootstrap_servers   host:port[,…]
    topic_prefix        before every topic's base name
    group_prefix        before every consumer group and transactional id
    mode                job:   unbounded, from the group's committed offsets, else from the beginning
                        adhoc: from the beginning to what is there now, so that a query ends
    job                 the job's name: its consumer group and the start of its transactional ids
    delivery            at_least_once | exactly_once
    kafka_properties    further client properties (SASL, TLS …), name → value
  Everything that is put into a literal goes through `option`, which doubles quotes.
#}
{% macro option(name, value) -%}
'{{ name | replace("'", "''") }}' = '{{ value | string | replace("'", "''") }}'
{%- endmacro %}

{% macro topic(name) -%}
{{ option('topic', topic_prefix | default('') ~ name) }}
{%- endmacro %}

{# The whole topic name must match. A prefix may hold dots, which a regular expression would take for any character. #}
{% macro topic_pattern(pattern) -%}
{{ option('topic-pattern', topic_prefix | default('') | replace('.', '\\.') ~ pattern) }}
{%- endmacro %}

{# Keys and values stay bytes: a value that is not what it should be must not stop a job. #}
{% macro connection(key) -%}
'connector' = 'kafka',
    {{ option('properties.bootstrap.servers', bootstrap_servers | default('127.0.0.1:9092')) }},
    {% for name, value in (kafka_properties | default({})).items() -%}
    {{ option('properties.' ~ name, value) }},
    {% endfor -%}
    'key.format' = 'raw',
    {{ option('key.fields', key) }},
    'value.format' = 'raw',
    'value.fields-include' = 'EXCEPT_KEY'
{%- endmacro %}

{% macro scan() -%}
'properties.isolation.level' = 'read_committed',
    {% if mode | default('adhoc') == 'job' -%}
    {{ option('properties.group.id', group_prefix | default('') ~ (job | default('orchestrate'))) }},
    'scan.startup.mode' = 'group-offsets',
    'properties.auto.offset.reset' = 'earliest'
    {%- else -%}
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset'
    {%- endif %}
{%- endmacro %}

{# The whole topic from its beginning at every start, whatever was read before; no group, no committed offsets. #}
{% macro scan_everything() -%}
'properties.isolation.level' = 'read_committed',
    'scan.startup.mode' = 'earliest-offset'
    {%- if mode | default('adhoc') != 'job' %},
    'scan.bounded.mode' = 'latest-offset'
    {%- endif %}
{%- endmacro %}

{# What is written from the start of a job on; a job that is restored goes on where it was. No group, no committed offsets. #}
{% macro scan_new() -%}
'properties.isolation.level' = 'read_committed',
    {% if mode | default('adhoc') == 'job' -%}
    'scan.startup.mode' = 'latest-offset'
    {%- else -%}
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset'
    {%- endif %}
{%- endmacro %}

{#
  A dead letter holds up to 1 MiB of value and may not be refused by the client (default 1 MiB): max.request.size.
  An open transaction hides what is behind it from read_committed readers: at most 120 s.
  POOLING takes a sink's transactional ids from a handful and uses them again. The default names a new one at each checkpoint, and the
  broker remembers each for a week: a million of them at two checkpoints a second, in its memory.
  gzip is the one compression that every client reads without further packages.
#}
{% macro sink(table) -%}
{% if mode | default('adhoc') == 'job' and delivery | default('at_least_once') == 'exactly_once' -%}
    'sink.delivery-guarantee' = 'exactly-once',
    {{ option('sink.transactional-id-prefix', group_prefix | default('') ~ topic_prefix | default('') ~ (job | default('orchestrate')) ~ '-' ~ table) }},
    'sink.transaction-naming-strategy' = 'POOLING',
    'properties.transaction.timeout.ms' = '120000',
    {% else -%}
    'sink.delivery-guarantee' = 'at-least-once',
    {% endif -%}
    'properties.max.request.size' = '2097152',
    'properties.compression.type' = 'gzip',
    'properties.linger.ms' = '1'
{%- endmacro %}

{# Jobs here run on processing time; a question wants windows over event time. #}
{% macro watermark(column) -%}
{% if mode | default('adhoc') != 'job' -%}
, WATERMARK FOR {{ column }} AS {{ column }} - INTERVAL '5' SECONDS
{%- endif %}
{%- endmacro %}
