"""The files for Prometheus and Grafana: tested rules with a runbook, dashboards of real metrics."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.importable import importable
from lookout.service.core import metrics
from lookout.service.core.stages import STAGES
from tests.prometheus import FOLDER

DOCS = FOLDER.parents[1] / "docs"
GRAFANA = FOLDER.parent / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
TESTS = [
    one
    for test in yaml.safe_load((FOLDER / "rules.test.yml").read_text())["tests"]
    for one in test["alert_rule_test"]
]
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return found


def exprs() -> list[str]:
    asked = [
        one["expr"] for path in DASHBOARDS for panel in panels(path) for one in panel["targets"]
    ]
    return [*asked, *(rule["expr"] for rule in RULES)]


@pytest.mark.prometheus
@pytest.mark.parametrize(
    "words",
    [
        ["check", "rules", "rules.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["test", "rules", "rules.test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_is_content(words: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stage_that_may_be_missing_wakes_nobody() -> None:
    (expr,) = [rule["expr"] for rule in RULES if rule["alert"] == "LookoutNoWorker"]
    optional = {stage.name for stage in STAGES if stage.is_optional}
    assert set(re.findall(r'stage!="(\w+)"', expr)) == optional


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_is_tried_both_ways_and_says_what_to_do(rule: dict[str, Any]) -> None:
    tried = [bool(one["exp_alerts"]) for one in TESTS if one["alertname"] == rule["alert"]]
    assert set(tried) == {True, False}
    assert rule["labels"]["severity"] in ("critical", "warning")
    told = rule["annotations"]
    assert 10 < len(told["summary"]) < 100
    assert told["description"].endswith((".", "{{ end }}"))
    page, anchor = told["runbook_url"].split("#")
    assert (DOCS.parent / page).is_file()
    headings = re.findall(r"^## (.+)$", (DOCS / "runbook.md").read_text(), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_only_metrics_that_exist_are_asked_for_and_hardly_one_is_left_out() -> None:
    told = {
        metric.name + suffix: metric.name
        for metrics_of in metrics.ALL.values()
        for metric in metrics_of
        for suffix in SUFFIXES.get(metric.kind, ("",))
    }
    asked = {name for expr in exprs() for name in re.findall(r"\blookout_\w+", expr)}
    assert asked <= told.keys()
    assert set(told.values()) - {told[name] for name in asked} == {
        metrics.BROKEN.name,
        metrics.BUS_RESTART.name,
        metrics.LEARNING_FRAMES.name,
        metrics.WINDOW.name,
    }


def test_dashboards_and_data_sources_fit_together() -> None:
    sources = yaml.safe_load(
        (GRAFANA / "provisioning" / "datasources" / "lookout.yml").read_text()
    )["datasources"]
    assert [source["uid"] for source in sources] == ["prometheus", "alertmanager"]
    for path in DASHBOARDS:
        uids = re.findall(r'"datasource": \{\s*"type": "(\w+)",\s*"uid": "(\w+)"', path.read_text())
        assert set(uids) == {("prometheus", "prometheus")}
        assert json.loads(path.read_text())["uid"] == path.stem
    assert [path.stem.removeprefix("lookout-") for path in DASHBOARDS] == [
        "alerts",
        "camera",
        "inference",
        "overview",
    ]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_says_what_it_is(path: Path) -> None:
    ids = [panel["id"] for panel in panels(path)]
    assert len(set(ids)) == len(ids)
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "state-timeline"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_alerts_are_marked_on_every_panel_with_scores_and_on_no_other() -> None:
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        with_scores = [
            panel["id"]
            for panel in board["panels"]
            if any("lookout_score_peak" in one["expr"] for one in panel["targets"])
        ]
        marked = [
            number
            for marks in board["annotations"].get("list") or []
            for number in marks["filter"]["ids"]
        ]
        assert marked == with_scores


def test_importable_dashboards_ask_for_a_data_source_and_know_none_of_ours() -> None:
    files = importable("https://example.org/lookout/")
    assert set(files) == {path.name for path in DASHBOARDS} | {"prometheus-rule.yaml"}
    for path in DASHBOARDS:
        ours = json.loads(path.read_text())
        made = json.loads(files[path.name])
        (asked,) = made["__inputs"]
        assert (asked["name"], asked["type"]) == ("DS_PROMETHEUS", "datasource")
        assert '"uid": "prometheus"' not in files[path.name]
        assert '"uid": "${DS_PROMETHEUS}"' in files[path.name]
        assert [one["title"] for one in made["panels"]] == [one["title"] for one in ours["panels"]]


@pytest.mark.prometheus
def test_importable_rules_are_ours_with_absolute_runbooks(tmp_path: Path) -> None:
    made = yaml.safe_load(importable("https://example.org/lookout")["prometheus-rule.yaml"])
    assert (made["apiVersion"], made["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    rules = [rule for group in made["spec"]["groups"] for rule in group["rules"]]
    assert [(rule["alert"], rule["expr"]) for rule in rules] == [
        (rule["alert"], rule["expr"]) for rule in RULES
    ]
    for rule in rules:
        begin = "https://example.org/lookout/docs/runbook.md#"
        assert rule["annotations"]["runbook_url"].startswith(begin)
    spec = tmp_path / "rules.yml"
    spec.write_text(yaml.safe_dump(made["spec"]))
    words = ["promtool", "check", "rules", str(spec)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("url", ["", "example.org", "file:///docs", "https://"])
def test_runbooks_at_no_address_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        importable(url)
