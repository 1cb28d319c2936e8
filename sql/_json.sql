{# A moment of a record of ours, written by `signalbox.contracts.record.rfc3339`; NULL where it is not one. #}
{% macro moment(field) -%}
TO_TIMESTAMP_LTZ(JSON_VALUE(json, '$.{{ field }}'), 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''', 'UTC')
{%- endmacro %}
