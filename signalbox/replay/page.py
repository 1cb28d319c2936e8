"""A replay's report as one HTML page: no network, no script, readable in light and dark and on a narrow screen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
)

_PAGE: Final = _ENVIRONMENT.from_string(
    """\
{% macro fate(one) %}
{{ one.agent or one.ending }}
<span class="path">{{ one.path }}{% if one.code is defined %}, {{ one.code }}{% endif %}</span>
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>What-if replay</title>
<style>
:root { color-scheme: light dark; --line: #8886; --faint: #8881; --good: #1a7f37; --bad: #cf222e; --open: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #ff7b72; --open: #d29922; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.4rem; margin: 0; }
.told { margin: .2rem 0 1.5rem; opacity: .75; overflow-wrap: anywhere; }
.numbers { display: grid; gap: .75rem; margin: 0 0 1.5rem; }
.numbers { grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); }
.numbers div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
dt { font-size: .85rem; opacity: .75; }
dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
dd small { display: block; font-size: .85rem; line-height: 1.4; opacity: .75; }
.bar { display: flex; height: .75rem; border-radius: .4rem; overflow: hidden; background: var(--faint); margin: 0 0 1.5rem; }
.same { background: var(--good); } .changed { background: var(--bad); } .unknown { background: var(--open); }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .8rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; }
th:nth-child(1) { width: 26%; } th:nth-child(2), th:nth-child(3) { width: 18%; }
th, td { text-align: left; vertical-align: top; padding: .45rem .8rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
th { font-size: .8rem; font-weight: 600; }
code { font-size: .85em; }
.path { font-size: .8rem; opacity: .75; display: block; }
.is-changed { color: var(--bad); } .is-unknown { color: var(--open); }
.is-changed .path, .is-unknown .path { opacity: 1; }
@media (max-width: 40rem) {
  thead { display: none; }
  tr { display: block; border-top: 1px solid var(--line); padding: .4rem 0; }
  td { display: block; border: 0; padding: .1rem .8rem; }
  td::before { content: attr(data-is) " "; font-size: .8rem; opacity: .75; }
}
</style>
</head>
<body>
<h1>What-if replay</h1>
<p class="told">{{ title }}</p>
<dl class="numbers">
{% for name, value, more in numbers %}
<div><dt>{{ name }}</dt><dd>{{ value }}{% if more %} <small>{{ more }}</small>{% endif %}</dd></div>
{% endfor %}
</dl>
<div class="bar" role="img"
aria-label="{{ report.same }} same, {{ report.changed }} changed, {{ report.unknown }} unknown">
{% for name in ('same', 'changed', 'unknown') %}
{% if report[name] %}
<span class="{{ name }}" style="flex: {{ report[name] }}" title="{{ report[name] }} {{ name }}"></span>
{% endif %}
{% endfor %}
</div>
{% if report.skipped %}
<p class="told">Not compared, because definitions have no say in them:
{% for name, count in report.skipped.items() %}{{ count }} {{ name }}{{ "" if loop.last else ", " }}{% endfor %}.</p>
{% endif %}
{% if not report.conversations %}
<p>No conversation would have gone another way.</p>
{% endif %}
{% for conversation in report.conversations %}
<details{% if loop.index <= 20 %} open{% endif %}>
<summary><code>{{ conversation.conversation }}</code> · {{ conversation.messages | length }} differ</summary>
<table>
<thead><tr><th>message</th><th>then</th><th>now</th><th>why</th></tr></thead>
<tbody>
{% for message in conversation.messages %}
<tr>
<td data-is="message">{{ message.type }}
<span class="path"><code>{{ message.id }}</code> · hop {{ message.hop }} · {{ message.at }}</span></td>
<td data-is="then">{{ fate(message.before) }}</td>
<td data-is="now" class="is-{{ message.status }}">{% if message.after %}{{ fate(message.after) }}{% else %}unknown{% endif %}</td>
<td data-is="why">{{ message.why }}</td>
</tr>
{% endfor %}
</tbody>
</table>
</details>
{% endfor %}
{% if more %}
<p class="told">{{ more }} more conversations differ; raise --limit to see them.</p>
{% endif %}
</body>
</html>
"""
)


def page(report: Mapping[str, Any], title: str) -> str:
    """Write the JSON form of a report as a page; everything in it is escaped.

    Args:
        report: what `Report.as_json` returns.
        title: one line: the range and the definitions.
    """
    numbers = [
        ("decisions", report["total"], ""),
        ("same", report["same"], ""),
        ("changed", report["changed"], ""),
        ("unknown", report["unknown"], "a model's answer is missing" if report["unknown"] else ""),
        ("NONE → agent", report["none_to_agent"], ""),
        ("agent → NONE", report["agent_to_none"], ""),
        ("model calls", report["calls_after"], f"before {report['calls_before']}"),
        ("tokens", report["tokens_after"], f"before {report['tokens_before']}"),
    ]
    more = report["conversations_affected"] - len(report["conversations"])
    return _PAGE.render(report=report, title=title, numbers=numbers, more=more)
