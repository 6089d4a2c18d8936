"""Dashboards and alert rules for a Grafana and a Prometheus that are not ours.

    python -m deploy DIRECTORY --docs-url https://example.org/lookout

The dashboards ask for a data source when they are imported (`__inputs`); the rules are the
`PrometheusRule` of the Prometheus operator, with absolute addresses of the runbook.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import yaml

from deploy.dashboards import dashboards
from deploy.panels import DATASOURCE

RULES = Path(__file__).parent / "prometheus" / "rules.yml"
INPUT = "DS_PROMETHEUS"


def importable(docs_url: str) -> dict[str, str]:
    """Return the content of each file by name.

    docs_url: below which `docs/` is found. Raises ValueError where it is no http address.
    """
    parts = urlsplit(docs_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{docs_url!r} is no address such as https://example.org/lookout")
    boards = {name: imported_board(json.loads(text)) for name, text in dashboards().items()}
    return boards | {"prometheus-rule.yaml": prometheus_rule(docs_url.rstrip("/") + "/")}


def imported_board(board: dict[str, Any]) -> str:
    """Return a dashboard that asks for its data source."""
    asks = {
        "name": INPUT,
        "label": "Prometheus",
        "description": "which scrapes Lookout's API",
        "type": "datasource",
        "pluginId": "prometheus",
        "pluginName": "Prometheus",
    }
    board = {"__inputs": [asks], **with_input(board), "id": None}
    return json.dumps(board, indent=1, sort_keys=True) + "\n"


def with_input(part: Any) -> Any:
    """Return a part of a dashboard with the input in place of our data source."""
    if isinstance(part, dict):
        if part.get("uid") == DATASOURCE.uid and part.get("type") == "prometheus":
            return part | {"uid": f"${{{INPUT}}}"}
        return {name: with_input(value) for name, value in part.items()}
    if isinstance(part, list):
        return [with_input(value) for value in part]
    return part


def prometheus_rule(docs_url: str) -> str:
    """Return the rules as an object of the Prometheus operator."""
    spec = yaml.safe_load(RULES.read_text())
    for group in spec["groups"]:
        for rule in group["rules"]:
            notes = rule.get("annotations", {})
            if "runbook_url" in notes:
                notes["runbook_url"] = urljoin(docs_url, notes["runbook_url"])
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "lookout", "labels": {"app.kubernetes.io/name": "lookout"}},
        "spec": spec,
    }
    text: str = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=120)
    return text
