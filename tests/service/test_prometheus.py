"""A real Prometheus scrapes a running Lookout: every query of a panel or rule has an answer."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from lookout.service.alerting import worker as alerting
from lookout.service.core import metrics
from lookout.service.core.self_test import SelfTest
from lookout.service.core.settings import Settings
from lookout.service.inference import worker as inference
from lookout.service.ingest import worker as ingest
from lookout.service.storage.connections import open_store
from tests.clips import write_clip
from tests.conftest import Urls
from tests.prometheus import FOLDER, Prometheus, running_prometheus
from tests.service.api_server import BEARER, TOKEN, Api, running_api
from tests.stage import working
from tests.tiny import write_tiny
from tests.waiting import wait_until

pytestmark = pytest.mark.prometheus

DASHBOARDS = sorted((FOLDER.parent / "grafana" / "dashboards").glob("*.json"))
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]


@dataclass(frozen=True)
class Watched:
    settings: Settings
    scoring: contextlib.ExitStack  # with the inference worker in it
    api: Api
    prometheus: Prometheus


@pytest.fixture(scope="module")
def watched(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run every stage, a live camera that alarms soon, a camera that fails, and Prometheus."""
    redis_urls.emptied()
    folder = tmp_path_factory.mktemp("watched")
    write_tiny(folder)
    write_clip(folder / "gate.mp4", range(600), size_px=(64, 48))
    (folder / "broken.mp4").write_bytes(b"no film")
    settings = Settings(
        bus_url=redis_urls.bus,
        store_url=redis_urls.store,
        data_dir=folder,
        media_dir=folder,
        models_dir=folder,
        device="cpu",
        precision="fp32",
        threads=1,
        token=SecretStr(TOKEN),
        alert_threshold=0.02,
        alert_hysteresis=0.01,
        alert_min_duration_s=0,
        webhook_networks="127.0.0.0/8",
    )
    with contextlib.ExitStack() as stack:
        for stage in (ingest, alerting):
            stack.enter_context(working(stage.run, settings))
        scoring = stack.enter_context(contextlib.ExitStack())
        scoring.enter_context(working(inference.run, settings))
        api = stack.enter_context(running_api(settings))
        api.http.headers.update(BEARER)
        prometheus = stack.enter_context(running_prometheus(folder, f"127.0.0.1:{api.port}", TOKEN))
        often: dict[str, object] = {"alarm_budget": {"per_day": 86400}}
        for name, clip, alert in (
            ("gate", "gate", {}),
            ("broken", "broken", {}),
            ("budgeted", "gate", often),
        ):
            camera = {
                "id": name,
                "url": str(folder / f"{clip}.mp4"),
                "model": "tiny",
                "calibration": "model",
                "alert": alert,
            }
            assert api.post("/cameras", camera).status_code == 201
        with contextlib.closing(open_store(settings)) as store:
            revision = store.camera("gate").revision
            store.save_self_test("gate", SelfTest(time.time(), revision, made=1, noticed=1))
        assert api.post("/sinks", {"url": "http://127.0.0.1:1/nobody"}).status_code == 201
        wait_until(lambda: prometheus.query("lookout_alerts_open > 0"), "an alert is open", 30)
        yield Watched(settings, scoring, api, prometheus)


def asked(path: Path) -> dict[str, str]:
    """Return the queries of a dashboard, by panel, and those of its annotations.

    The variables have the values that Grafana would fill in.
    """
    board = json.loads(path.read_text())
    found = {
        f"{panel['title']} {one['refId']}": one["expr"]
        for panel in board["panels"]
        for one in panel["targets"]
    }
    found |= {
        f"marks: {marks['name']}": marks["expr"] for marks in board["annotations"].get("list") or []
    }
    return {
        what: expr.replace("$__rate_interval", "20s").replace("$camera", ".*")
        for what, expr in found.items()
    }


def finds_all(prometheus: Prometheus, exprs: dict[str, str]) -> None:
    """Wait until every query has an answer; fail with the names of those that have none."""
    silent = dict(exprs)

    def ask() -> bool:
        for what in list(silent):
            if prometheus.query(silent[what]):
                del silent[what]
        return not silent

    with contextlib.suppress(AssertionError):
        wait_until(ask, "all are answered", 15, every_s=0.25)
    assert silent == {}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_finds_something(path: Path, watched: Watched) -> None:
    finds_all(watched.prometheus, asked(path))
    chosen = [one["query"] for one in json.loads(path.read_text())["templating"].get("list") or []]
    for query in chosen:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()  # type: ignore[union-attr]
        assert set(watched.prometheus.ask(f"label/{label}/values", **{"match[]": metric})) == {
            "gate",
            "broken",
            "budgeted",
        }


def test_every_rule_looks_at_something(watched: Watched) -> None:
    """Ask each rule's expression without its limit, which nothing here exceeds."""
    finds_all(
        watched.prometheus,
        {rule["alert"]: re.sub(r" [=<>]+ [\d.]+", "", rule["expr"]) for rule in RULES},
    )
    (group,) = watched.prometheus.ask("rules")["groups"]
    assert [(rule["name"], rule["health"]) for rule in group["rules"]] == [
        (rule["alert"], "ok") for rule in RULES
    ]


def test_a_rule_notices_the_camera_that_fails_and_no_other(watched: Watched) -> None:
    down = 'ALERTS{alertname="LookoutCameraDown"}'
    wait_until(
        lambda: watched.prometheus.query(f'{down} and on () up{{job="lookout"}}'), "it is noticed"
    )
    wait_until(
        lambda: [one["camera"] for one, _ in watched.prometheus.query(down)] == ["broken"],
        "it alone",
    )


def test_no_counter_goes_back_when_the_camera_changes_hands(watched: Watched) -> None:
    def scored_more_than(count: float) -> list[float]:
        """The count, where it is higher; none while a scrape takes too long on a busy machine."""
        found = watched.prometheus.query('lookout_scores_total{camera="gate"}')
        return [value for _, value in found if value > count]

    watched.scoring.close()
    before = wait_until(lambda: scored_more_than(0), "what was scored")[0]
    watched.scoring.enter_context(working(inference.run, watched.settings))
    wait_until(lambda: scored_more_than(before + 5), "scores go on", 60)
    counters = [one.name for told in metrics.ALL.values() for one in told if one.kind == "counter"]
    counters += [
        f"{one.name}_{part}"
        for one in (metrics.LATENCY, metrics.STEP)
        for part in ("count", "sum", "bucket")
    ]
    went_back = {name: watched.prometheus.query(f"max(resets({name}[1h]))") for name in counters}
    assert went_back == {name: [({}, 0.0)] for name in counters}


def test_a_removed_camera_is_gone_with_the_next_scrape(watched: Watched) -> None:
    assert watched.api.delete("/cameras/broken").status_code == 204
    wait_until(
        lambda: not watched.prometheus.query('{camera="broken", job="lookout"}'), "its series end"
    )
    assert watched.prometheus.query('{camera="gate", job="lookout"}')
