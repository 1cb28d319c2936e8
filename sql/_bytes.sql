{# Questions about BYTES that Flink has no function for: in ISO-8859-1 every byte is one character and comes back as it was. #}
{% macro size(value) -%}
CHAR_LENGTH(DECODE({{ value }}, 'ISO-8859-1'))
{%- endmacro %}

{% macro first(value, count) -%}
ENCODE(SUBSTRING(DECODE({{ value }}, 'ISO-8859-1'), 1, {{ count }}), 'ISO-8859-1')
{%- endmacro %}

{# CAST and DECODE put U+FFFD for what is not UTF-8, so only UTF-8 survives the way there and back. #}
{% macro is_utf8(value) -%}
ENCODE(DECODE({{ value }}, 'UTF-8'), 'UTF-8') = {{ value }}
{%- endmacro %}

{# RFC 3339, milliseconds, UTC. Right only where 'table.local-time-zone' is UTC: whoever uses it sets that. #}
{% macro rfc3339(moment) -%}
DATE_FORMAT({{ moment }}, 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')
{%- endmacro %}
