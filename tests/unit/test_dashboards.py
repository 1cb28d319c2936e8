"""Dashboards and alerts: what the code says, and no query asks for a metric or a label that is not there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from signalbox.dashboards.__main__ import FOLDER, files
from signalbox.dashboards.alerts import ALERTS
from signalbox.dashboards.panels import DATASOURCE
from signalbox.dashboards.queries import level, quantile, rate
from signalbox.metric_names import METRICS, exposed

# PromQL's own words; functions are told by the bracket behind them.
WORDS = {
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "bool",
    "offset",
    "group_left",
    "group_right",
}
PROMETHEUS_OWN = {"up"}
# Labels that Prometheus or a target file gives, and Flink's reporter for what it tells of.
LABELS = {
    *("job", "instance", "agent", "process", "le"),
    *("job_name", "job_id", "task_name", "operator_name", "subtask_index", "tm_id", "host"),
}
LISTED = {exposed(name): METRICS[name] for name in METRICS}


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression of every file, with where it stands."""
    for path in sorted((FOLDER / "grafana" / "boards").glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]
    rules = YAML(typ="safe", pure=True).load((FOLDER / "alerts.yml").read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def tokens(expression: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that an expression names.

    Raises:
        ValueError: brackets do not close.
    """
    for opening, closing in ("()", "[]", "{}"):
        if expression.count(opening) != expression.count(closing):
            raise ValueError(expression)
    labels = set(re.findall(r"[{,]\s*([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)", expression))
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression):
        labels |= {label.strip() for label in group.split(",") if label.strip()}
    rest = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", expression)
    names = re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", rest)
    return {name for name in names if name not in WORDS}, labels


def problems(expression: str) -> list[str]:
    """What an expression asks for that nobody tells."""
    found = []
    names, labels = tokens(expression)
    known = set(LABELS)
    for name in names - PROMETHEUS_OWN:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        metric = LISTED.get(name) or LISTED.get(base)
        if metric is None:
            found.append(f"no metric {name}")
        elif (metric.kind == "histogram") != (name != base and base in LISTED):
            found.append(f"{name} is asked for as what it is not: {metric.kind}")
        else:
            known |= set(metric.labels)
    return [*found, *(f"no label {label}" for label in sorted(labels - known))]


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize(
    ("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS]
)
def test_every_query_asks_for_what_is_there(where: str, expression: str) -> None:
    """Each metric is in the list, and each label is one that it has."""
    assert tokens(expression)[0]
    assert problems(expression) == []


def test_a_misspelt_query_is_noticed() -> None:
    """Mutation: each name in each query is misspelt, one after the other, and each time the check says so."""
    tried = 0
    for _, expression in EXPRESSIONS:
        names, labels = tokens(expression)
        for word in (names | labels) - PROMETHEUS_OWN:
            wrong = re.sub(rf"\b{re.escape(word)}\b", f"{word}x", expression)
            assert problems(wrong), wrong
            tried += 1
    assert tried > 100


def test_a_histogram_asked_for_without_its_buckets_is_noticed() -> None:
    """The bare name has no series."""
    assert problems("rate(signalbox_readmodel_hop_seconds[5m])")
    assert problems("signalbox_agent_in_flight_bucket")


def test_the_files_are_what_the_code_says() -> None:
    """Those in the repository are those that `make docs` writes, and no others."""
    made = files()
    there = {
        str(path.relative_to(FOLDER))
        for path in FOLDER.rglob("*")
        if path.is_file() and path.suffix != ".md"
    }

    assert there == set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text("utf-8") == text, name


def test_panels_have_a_place_an_explanation_and_the_datasource() -> None:
    """None covers another; each says how to read it, and asks the data source that is provisioned."""
    provisioned = YAML(typ="safe", pure=True).load(
        (FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    )
    assert [one["uid"] for one in provisioned["datasources"]] == [DATASOURCE["uid"]]
    for path in (FOLDER / "grafana" / "boards").glob("*.json"):
        board = json.loads(path.read_text("utf-8"))
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells
            assert len(panel["description"]) > 5
            assert panel["datasource"] == DATASOURCE


def test_every_alert_says_what_is_and_what_to_do() -> None:
    """A name of its own, a sentence each, and commands and pages that exist."""
    assert len({one.name for one in ALERTS}) == len(ALERTS)
    for one in ALERTS:
        assert one.summary
        assert one.runbook.endswith(".")
        for page in re.findall(r"docs/[\w-]+\.md", one.runbook):
            assert (Path(FOLDER).parent / page).is_file()


def test_what_must_not_be_missing_is_missed_when_it_tells_nothing() -> None:
    """A level that nobody tells is no level of 0: gateway, read model and the operator that decides, each by what it tells."""
    expressions_of = {one.name: one.expression for one in ALERTS}
    for alert, metric in (
        ("GatewayWithoutBroker", exposed("signalbox_gateway_broker_up")),
        ("ReadModelBehind", exposed("signalbox_readmodel_broker_up")),
        # The job's own: beside it runs another one, which goes on.
        ("JobGone", exposed("signalbox.messages")),
    ):
        missed = f"(max (present_over_time({metric}[1d])) unless max ({metric}))"
        assert expressions_of[alert].endswith(f" or {missed}")


def test_without_a_broker_no_agent_is_said_to_be_silent() -> None:
    """Nobody is heard then: the alert on the broker says what is wrong, and not one for each agent besides."""
    (silent,) = [one.expression for one in ALERTS if one.name == "AgentSilent"]
    away = f"(max ({exposed('signalbox_readmodel_broker_up')}) == 0)"

    assert silent.endswith(f" unless on () {away}")


def test_a_query_that_a_metrics_kind_does_not_allow_is_refused() -> None:
    """A rate of a level, a level of a counter, a quantile of either: none of them is written."""
    with pytest.raises(ValueError, match="gauge"):
        rate("signalbox_agent_in_flight")
    with pytest.raises(ValueError, match="counter"):
        level("sum", "signalbox.messages")
    with pytest.raises(ValueError, match="histogram"):
        quantile(0.5, "signalbox.messages")
