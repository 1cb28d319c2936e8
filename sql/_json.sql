{# A moment of a record of ours, written by `signalbox.contracts.record.rfc3339`; NULL where it is not one. #}
{% macro moment(field) -%}
TO_TIMESTAMP_LTZ(JSON_VALUE(json, '$.{{ field }}'), 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''', 'UTC')
{%- endmacro %}

{# TIMESTAMPDIFF knows no unit below a second: whole seconds, and the milliseconds within them. #}
{% macro ms_between(earlier, later) -%}
1000 * TIMESTAMPDIFF(SECOND, FLOOR({{ earlier }} TO SECOND), FLOOR({{ later }} TO SECOND))
    + EXTRACT(MILLISECOND FROM {{ later }}) - EXTRACT(MILLISECOND FROM {{ earlier }})
{%- endmacro %}
