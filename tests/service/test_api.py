"""Everything over HTTP that is not a camera: scores, pictures, alerts, health, metrics, errors."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket as sockets
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus

from lookout.models.vision.overlay import jpeg, overlay
from lookout.service.api import worker
from lookout.service.api.middleware import LOOPBACK_NAMES, allowed_hosts
from lookout.service.core import metrics
from lookout.service.core.clock import Moment
from lookout.service.core.errors import AddressError
from lookout.service.core.messages import Alert, AlertEvent, InferenceReport
from lookout.service.core.settings import Settings
from lookout.service.inference.reports import StageCounters
from lookout.service.storage import pictures
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.outcomes import ScoredFrame
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.store import Store
from tests.conftest import Urls, with_wide_forms
from tests.owning import add_frames, add_scores, own
from tests.service.api_server import (
    RTSP,
    Apart,
    Api,
    answers,
    apart,
    api,
    camera,
    frame,
    free_port,
    heat,
    is_problem,
    one_api,
    report_online,
    running_api,
    score,
    settings_for,
    show,
    watch,
)
from tests.waiting import wait_until

__all__ = ["apart", "api", "one_api"]


@pytest.fixture
def gate(api: Api, store: Store, bus: Bus) -> None:
    watch(store, bus, "gate")


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


# Scores


def test_scores_are_paged_forward_each_once(api: Api, gate: None, bus: Bus) -> None:
    add_scores(bus, [(score("gate", seq), heat("gate", seq)) for seq in range(25)])
    assert ids(api.get("/cameras/gate/scores", limit=3)) == ["1000-22", "1000-23", "1000-24"]
    assert api.get("/cameras/gate/scores", limit=3).json()["next"] is None
    since, found = "1000-4", []
    while since:
        page = api.get("/cameras/gate/scores", since=since, limit=10)
        found += ids(page)
        since = page.json()["next"]
    assert found == [f"1000-{seq}" for seq in range(5, 25)]
    assert ids(api.get("/cameras/gate/scores", since="1000-24")) == []
    assert ids(api.get("/cameras/gate/scores", since="999-0", limit=1)) == ["1000-0"]
    assert len(ids(api.get("/cameras/gate/scores"))) == 25


def test_a_perfect_prediction_is_json_all_the_same(api: Api, gate: None, bus: Bus) -> None:
    perfect = score("gate", 0, None)
    object.__setattr__(perfect, "psnr_db", float("inf"))
    add_scores(bus, [(perfect, heat("gate", 0))])
    item = api.get("/cameras/gate/scores").json()["items"][0]
    assert (item["psnr_db"], item["value"]) == (None, None)


@pytest.mark.parametrize(
    "query",
    [
        {"since": "abc"},
        {"since": ""},
        {"since": "1-"},
        {"since": "-1-2"},
        {"since": f"{2**64}-0"},
        {"since": f"{2**64 - 1}-{2**64 - 1}"},  # nothing can come after it
        {"since": "1-٣"},
        {"limit": 0},
        {"limit": 1001},
        {"limit": "x"},
        {"limit": "1e3"},
    ],
)
def test_wrong_questions_are_refused(api: Api, gate: None, query: dict[str, Any]) -> None:
    assert is_problem(api.get("/cameras/gate/scores", **query), 422)


# Pictures


def image(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_heatmap_lies_on_the_frame_of_the_same_id(api: Api, gate: None, bus: Bus) -> None:
    for seq in range(3):
        show(bus, "gate", seq)
    add_frames(bus, frame("gate", 3))  # not scored yet
    newest = api.get("/cameras/gate/heatmap")
    assert (newest.headers["content-type"], newest.headers["x-frame-id"]) == ("image/png", "1000-2")
    assert newest.headers["cache-control"] == "no-store"
    expected = overlay(frame("gate", 2).pixels, heat("gate", 2).cells)
    assert np.array_equal(image(newest)[..., ::-1], expected)
    older = api.get("/cameras/gate/heatmap", id="1000-1", format="jpeg")
    assert (older.headers["content-type"], older.headers["x-frame-id"]) == ("image/jpeg", "1000-1")
    assert image(older).shape == (96, 128, 3)
    raw = api.get("/cameras/gate/heatmap", raw=1)
    assert np.array_equal(image(raw), heat("gate", 2).cells)
    assert image(raw).dtype == np.uint16
    plain = api.get("/cameras/gate/frame")
    assert (plain.headers["x-frame-id"], plain.headers["x-captured-at"]) == ("1000-3", "1000.3")
    assert np.array_equal(image(plain)[..., ::-1], frame("gate", 3).pixels)


def test_what_is_not_there_is_said(api: Api, gate: None, bus: Bus) -> None:
    for path in ("heatmap", "frame"):
        assert "yet" in is_problem(api.get(f"/cameras/gate/{path}"), 404)
        assert is_problem(api.get(f"/cameras/gate/{path}", id="1000-9"), 404)
        assert is_problem(api.get(f"/cameras/gate/{path}", id="latest"), 422)
    add_scores(bus, [(score("gate", 0), heat("gate", 0))])
    assert "any more" in is_problem(api.get("/cameras/gate/heatmap"), 404)
    assert api.get("/cameras/gate/heatmap", raw=1).status_code == 200


# Alerts


def add_alerts(store: Store, name: str, times: list[float], state: Any = "closed") -> list[str]:
    made = [
        Alert(f"{name}:1000-{i}", name, state, at, None, 0.75, 0.9, at)
        for i, at in enumerate(times)
    ]
    store.save_alerting(name, 0, {}, [AlertEvent("new", alert) for alert in made])
    return [alert.id for alert in made]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_alerts_are_paged_newest_first_across_cameras_without_loss_where_times_tie(
    api: Api, store: Store, limit: int
) -> None:
    made = add_alerts(store, "gate", [5.0, 5.0, 7.25, 5.0, 1.0]) + add_alerts(
        store, "yard", [5.0, 9.5, 5.0, 5.0]
    )
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get("/alerts", limit=limit, **cursor)
        found += ids(page)
        if page.json()["next"] is None:
            break
        assert len(ids(page)) == limit
        cursor = {"cursor": page.json()["next"]}
    assert sorted(found) == sorted(made)
    assert (found[:2], found[-1]) == (["yard:1000-1", "gate:1000-2"], "gate:1000-4")


def test_alerts_by_camera_and_state(api: Api, store: Store) -> None:
    add_alerts(store, "gate", [float(i) for i in range(120)])
    (opened,) = add_alerts(store, "yard", [50.5], "open")
    assert ids(api.get("/alerts", state="open")) == [opened]
    assert ids(api.get("/alerts", state="open", camera="gate")) == []
    assert ids(api.get("/alerts", camera="nobody")) == []
    assert len(ids(api.get("/alerts", state="closed", limit=1000))) == 120
    first = api.get("/alerts", camera="gate", limit=60)
    rest = api.get("/alerts", camera="gate", limit=60, cursor=first.json()["next"])
    assert len({*ids(first), *ids(rest)}) == 120
    assert rest.json()["next"] is None
    for query in (
        {"state": "ajar"},
        {"limit": 0},
        {"cursor": "x"},
        {"cursor": "W05hTiwgIngiXQ=="},
        {"cursor": "MQ=="},
    ):
        assert is_problem(api.get("/alerts", **query), 422)


def test_an_alert_outlives_its_camera_with_its_picture(api: Api, store: Store, gate: None) -> None:
    (alert,) = add_alerts(store, "gate", [5.0], "open")
    assert "no picture" in is_problem(api.get(f"/alerts/{alert}/picture"), 404)
    pictures.keep(
        pictures.picture_path(api.settings.data_dir, alert), jpeg(frame("gate", 0).pixels)
    )
    api.delete("/cameras/gate")
    answer = api.get(f"/alerts/{alert}/picture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert image(answer).shape == (96, 128, 3)
    assert ids(api.get("/alerts")) == [alert]
    assert api.get(f"/alerts/{alert}").json() == {
        "id": "gate:1000-0",
        "camera": "gate",
        "state": "open",
        "opened_at": 5.0,
        "closed_at": None,
        "threshold": 0.75,
        "peak_value": 0.9,
        "peak_at": 5.0,
        "kind": "anomaly",
        "detail": "",
        "zone": None,
        "suppressed_by": None,
        "acknowledged_at": None,
        "acknowledged_by": "",
        "verdict": None,
        "note": "",
        "keep": False,
        "suppresses_until": None,
        "clip": {
            "state": "none",
            "begins_at": None,
            "seconds": None,
            "bytes": None,
            "sha256": None,
            "error": None,
        },
        "regions": {"open": [], "peak": [], "tracks": [], "tracks_dropped": 0},
    }


@pytest.mark.parametrize(
    "alert",
    [
        "gate:1000-99",
        "x",
        ":",
        "..%2F..%2Fetc%2Fpasswd",
        "%2e%2e:1-2",
        "gate:..%2f1-2",
        "%00:1-2",
        "a:1-2%0a",
    ],
)
def test_an_alert_that_is_not_there_opens_no_file(api: Api, store: Store, alert: str) -> None:
    add_alerts(store, "gate", [5.0])
    for path in (f"/alerts/{alert}", f"/alerts/{alert}/picture", f"/alerts/{alert}/clip"):
        assert is_problem(api.get(path), 404)


def test_an_alert_with_a_foreign_id_opens_no_file(api: Api, store: Store) -> None:
    evil = Alert("..:../../etc/passwd", "..", "open", 1.0, None, 0.75, 0.9, 1.0)
    store.save_alerting("..", 0, {}, [AlertEvent("new", evil)])
    assert is_problem(api.get("/alerts/..:1-2/picture"), 404)
    assert is_problem(api.get("/alerts/..:..%2F..%2Fetc%2Fpasswd/clip"), 404)


def test_the_rule_is_told(api: Api) -> None:
    assert api.get("/alert-rule").json()["threshold"] == api.settings.alert_threshold


# Errors of the framework itself


def test_every_error_is_a_problem(api: Api) -> None:
    assert is_problem(api.get("/nothing"), 404)
    assert is_problem(api.http.get("/assets/../app.py"), 404)
    assert is_problem(api.http.get("/assets/%2e%2e/app.py"), 404)
    assert is_problem(api.get("/cameras/a/b/c"), 404)
    assert is_problem(api.get("/live"), 404)
    refused = api.http.put("/api/v1/cameras")
    assert is_problem(refused, 405)
    assert refused.headers["allow"]


def test_what_is_broken_in_redis_is_a_problem_and_no_trace(
    api: Api, urls: Urls, bus: Bus, store: Store
) -> None:
    store.add_camera(camera("gate"))
    client = connect(urls.bus)
    client.set("ingest:{gate}", b"nonsense")
    client.xadd("frames:{gate}", {"nonsense": "1"}, id="1-1")
    assert api.get("/cameras/gate").json()["state"] == "starting"
    assert is_problem(api.get("/cameras/gate/frame"), 500)
    client.set("frames:{gate}", "of another type")
    assert is_problem(api.get("/cameras/gate/frame"), 503)
    client.close()


def test_without_redis_it_says_so_and_goes_on(urls: Urls, tmp_path: Path) -> None:
    away = Urls(f"unix://{tmp_path}/away.sock", urls.store)
    with running_api(settings_for(away, tmp_path)) as api:
        assert api.http.get("/healthz").json() == {"status": "ok"}
        assert "bus" in is_problem(api.http.get("/readyz"), 503)
        answer = api.get("/cameras")
        assert is_problem(answer, 503)
        assert answer.headers["retry-after"]
        shown = api.http.get("/metrics").text
    assert 'lookout_up{server="bus"} 0.0' in shown
    assert 'lookout_up{server="store"} 1.0' in shown


def test_a_store_that_refuses_writes_is_said_in_one_line(
    apart: Apart, caplog: pytest.LogCaptureFixture
) -> None:
    """-NOREPLICAS here; a full disk (-MISCONF) or memory (-OOM) comes the same way."""
    apart.store.add_camera(camera("gate"))
    with running_api(apart.settings) as api:
        apart.store_refuses(True)
        caplog.clear()
        refused = [
            api.post("/cameras", {"url": RTSP}),
            api.patch("/cameras/gate", {"fps": 5}),  # a script: its error is of another type
            api.delete("/cameras/gate"),
        ]
        for answer in refused:
            assert "try again" in is_problem(answer, 503)
            assert answer.headers["retry-after"]
        assert api.get("/cameras").status_code == 200
        lines = [
            record for record in caplog.records if record.name.startswith(("lookout", "uvicorn"))
        ]
        assert [line.exc_info for line in lines] == [None] * 3
        assert all(
            "NOREPLICAS" in line.getMessage() and "\n" not in line.getMessage() for line in lines
        )
        apart.store_refuses(False)
        assert api.patch("/cameras/gate", {"fps": 5}).status_code == 200


# Other sites


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1.evil.example"]
)
def test_a_page_of_another_site_changes_nothing(
    api: Api, gate: None, store: Store, origin: str
) -> None:
    foreign = {"Origin": origin}
    assert "another site" in is_problem(
        api.http.delete("/api/v1/cameras/gate", headers=foreign), 403
    )
    assert is_problem(api.http.patch("/api/v1/cameras/gate", json={"fps": 5}, headers=foreign), 403)
    assert is_problem(
        api.http.post("/api/v1/cameras", json={"id": "yard", "url": RTSP}, headers=foreign), 403
    )
    assert {name: made.revision for name, made in store.cameras().items()} == {"gate": 1}
    assert (
        api.http.get("/api/v1/cameras", headers=foreign).status_code == 200
    )  # browsers keep the answer from it


def get_as(api: Api, host: str, path: str) -> int:
    return api.http.get(path, headers={"Host": host}).status_code


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.7", "a b"])
def test_a_name_that_resolves_to_loopback_is_refused_without_a_token(
    api: Api, gate: None, host: str
) -> None:
    """DNS rebinding: the page of another site then counts as ours."""
    for path in ("/", "/api/v1/cameras", "/assets/page.js", "/api/v1/openapi.json"):
        answer = api.http.get(path, headers={"Host": host})
        assert "LOOKOUT_ALLOWED_HOSTS" in is_problem(answer, 400)
    with pytest.raises(InvalidStatus, match="400"):
        api.listen(additional_headers={"Host": host, "Origin": f"http://{host}"})
    for path in ("/healthz", "/api/v1/healthz", "/metrics"):  # kubelet and Prometheus use addresses
        assert get_as(api, host, path) == 200
    assert get_as(api, host, "/readyz") == 503


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "Camera-Box"])
def test_loopback_and_the_names_that_are_set_are_allowed(api: Api, host: str) -> None:
    assert get_as(api, host, "/api/v1/cameras") == 200


def test_allowed_hosts() -> None:
    token = SecretStr("a-token-that-nobody-guesses-0123")
    loopback = [*LOOPBACK_NAMES, "127.0.0.1"]
    assert allowed_hosts(Settings()) == loopback
    assert allowed_hosts(Settings(token=token, host="0.0.0.0")) == ["*"]  # noqa: S104
    names = Settings(token=token, allowed_hosts="lookout.example, *.cameras.example,")
    assert allowed_hosts(names) == [
        *LOOPBACK_NAMES,
        "lookout.example",
        "*.cameras.example",
        "127.0.0.1",
    ]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:{port}", "127.0.0.1:{port}"),
        ("http://Camera-Box:8000", "camera-box:8000"),
        ("https://lookout.example", "lookout.example"),  # behind a proxy
        ("http://lookout.example", "lookout.example:80"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_our_own_page_changes_what_it_wants(api: Api, gate: None, origin: str, host: str) -> None:
    headers = {"Origin": origin.format(port=api.port), "Host": host.format(port=api.port)}
    assert (
        api.http.patch("/api/v1/cameras/gate", json={"fps": 5}, headers=headers).status_code == 200
    )


# Health and metrics


def test_it_is_ready_when_every_stage_works(api: Api, bus: Bus) -> None:
    for stage, missing in (
        ("ingest", "ingest, inference, alerting"),
        ("inference", "inference, alerting"),
    ):
        assert missing in is_problem(api.http.get("/readyz"), 503)
        bus.heartbeat(stage, "one")
    assert "missing: alerting" in is_problem(api.http.get("/readyz"), 503)
    bus.heartbeat("alerting", "one")
    assert api.http.get("/readyz").status_code == 200


def test_metrics_tell_of_every_camera(api: Api, gate: None, bus: Bus, store: Store) -> None:
    show(bus, "gate", 0)
    bus.count("gate", "bus_restart", 3)
    reasons = ("lag", "size", "broken", "bus")  # the last from a version whose word is another
    for times, reason in enumerate(reasons, 1):
        bus.count("gate", f"dropped_{reason}", times)
    add_alerts(store, "gate", [5.0], "open")
    report_online(bus, "gate")
    answer = api.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'lookout_frames_total{camera="gate"} 1.0',
        'lookout_scores_total{camera="gate"} 1.0',
        'lookout_frames_dropped_total{camera="gate",reason="lag"} 1.0',
        'lookout_frames_dropped_total{camera="gate",reason="size"} 2.0',
        'lookout_frames_dropped_total{camera="gate",reason="broken"} 3.0',
        'lookout_frames_dropped_total{camera="gate",reason="other"} 4.0',
        'lookout_frames_dropped_total{camera="gate",reason="takeover"} 0.0',
        'lookout_bus_restart_total{camera="gate"} 3.0',
        'lookout_memory_decisions_total{camera="gate",decision="updated"} 1.0',
        'lookout_memory_decisions_total{camera="gate",decision="kept"} 0.0',
        'lookout_camera_state{camera="gate",state="online"} 1.0',
        'lookout_camera_state{camera="gate",state="failed"} 0.0',
        'lookout_alerts_open{camera="gate"} 1.0',
        'lookout_alerts_total{camera="gate"} 1.0',
        'lookout_frames_waiting{camera="gate"} 5.0',
        'lookout_scores_waiting{camera="gate"} 1.0',
        'lookout_up{server="bus"} 1.0',
        'lookout_workers{stage="inference"} 0.0',
        "lookout_live_listeners 0.0",
    ):
        assert line in answer.text.splitlines()


def test_what_all_workers_do_is_told_together(api: Api, gate: None, bus: Bus, urls: Urls) -> None:
    """Two processes that know nothing of each other; and one that is gone takes nothing back."""
    for frames, seconds in ((2, 0.04), (5, 0.5)):
        with closing(connect(urls.bus)) as client:
            counters = StageCounters("inference")
            counters.add_step(frames, seconds)
            for failures in (0, 2, 2, 3):
                counters.set_store_failures(failures)
            counters.flush(Bus(client, frames_kept=16, scores_kept=16, heats_kept=16))
    token = own(bus, "gate", "inference")
    for seq in range(2):
        made = replace(score("gate", seq), captured_at=time.time() - 0.7)
        bus.add_outcomes(
            [(token, ScoredFrame(made, heat("gate", seq), captured=Moment(made.captured_at)))] * 2
        )  # sent twice, counted once
    bus.heartbeat("inference", "one", 20.0)
    shown = api.http.get("/metrics").text.splitlines()
    for line in (
        "lookout_batch_frames_sum 7.0",
        'lookout_batch_frames_bucket{le="2"} 1.0',
        'lookout_batch_frames_bucket{le="8"} 2.0',
        "lookout_step_seconds_count 2.0",
        "lookout_store_failures_total 6.0",
        "lookout_step_seconds_sum 0.54",
        'lookout_latency_seconds_bucket{camera="gate",le="0.5"} 0.0',
        'lookout_latency_seconds_bucket{camera="gate",le="1"} 2.0',
        'lookout_latency_seconds_count{camera="gate"} 2.0',
        'lookout_worker_load{stage="inference",worker="one"} 20.0',
    ):
        assert line in shown


def test_a_score_is_told_while_it_is_fresh(api: Api, gate: None, bus: Bus) -> None:
    at = time.time()
    bus.report_inference(
        "gate",
        InferenceReport(
            "online", at, 1, score=0.25, score_peak=0.75, drift=0.5, rollbacks=2, views_dropped=3
        ),
    )
    shown = api.http.get("/metrics").text.splitlines()
    for name, value in (
        ("score", 0.25),
        ("score_peak", 0.75),
        ("memory_drift", 0.5),
        ("memory_rollbacks_total", 2.0),
        ("camera_views_dropped_total", 3.0),
    ):
        assert f'lookout_{name}{{camera="gate"}} {value}' in shown
    bus.report_inference("gate", InferenceReport("online", at - 60, 1, score=0.25, score_peak=0.75))
    assert "lookout_score{" not in api.http.get("/metrics").text


def test_metrics_are_the_list_and_nothing_else_and_promtool_takes_them(
    api: Api, gate: None, bus: Bus, store: Store
) -> None:
    show(bus, "gate", 0)
    bus.report_inference(
        "gate", InferenceReport("online", time.time(), 1, score=0.2, score_peak=0.3, drift=0.5)
    )
    text = api.http.get("/metrics").text
    listed = {metric.name: metric.kind for told in metrics.ALL.values() for metric in told}
    # Nobody is refused without a token; test_lock.py and test_guesses.py have one.
    del listed[metrics.REFUSED.name]
    del listed[metrics.GUESSES.name]
    assert (
        dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE")) == listed
    )
    if promtool := shutil.which("promtool"):
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_removed_camera_leaves_no_series_behind(
    api: Api, gate: None, bus: Bus, store: Store
) -> None:
    watch(store, bus, "yard")
    for name in ("gate", "yard"):
        show(bus, name, 0)
        add_alerts(store, name, [5.0], "open")
    assert 'camera="yard"' in api.http.get("/metrics").text
    assert api.delete("/cameras/yard").status_code == 204
    bus.count("yard", "reconnects")  # a late writer
    assert 'camera="yard"' not in (left := api.http.get("/metrics").text)
    assert 'lookout_alerts_total{camera="gate"} 1.0' in left


def test_the_openapi_document_has_examples_and_no_password(api: Api) -> None:
    document = api.get("/openapi.json").json()
    assert {
        "/api/v1/cameras",
        "/api/v1/cameras/{camera}/scores",
        "/api/v1/alerts/{alert}/picture",
    } <= set(document["paths"])
    example = document["components"]["schemas"]["CameraView"]["examples"][0]
    assert example["id"] == "gate"
    assert set(example["dropped"]) <= {"lag", "size", "broken", "bus"}
    assert set(example) <= set(document["components"]["schemas"]["CameraView"]["properties"])
    assert document["paths"]["/api/v1/cameras"]["post"]["requestBody"]["content"][
        "application/json"
    ]["examples"]


# The process


def test_an_address_that_is_taken_is_one_clear_line(api: Api, urls: Urls, tmp_path: Path) -> None:
    settings = settings_for(urls, tmp_path).model_copy(update={"port": api.port})
    with pytest.raises(
        AddressError, match=rf"cannot listen on 127\.0\.0\.1:{api.port}: Address already in use"
    ):
        worker.run(settings, threading.Event())
    with pytest.raises(AddressError, match=r"cannot listen on nowhere\.invalid"):
        worker.run(settings.model_copy(update={"host": "nowhere.invalid"}), threading.Event())


def test_ordinary_failures_are_one_line_each(
    apart: Apart, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are no text, a client that is gone at once, a request that the end cuts off."""
    caplog.set_level(logging.INFO)
    with ExitStack() as later, running_api(apart.settings) as api:
        with api.listen() as socket:
            socket.send(b"\xff\xfe", text=True)
            wait_until(lambda: "Invalid UTF-8" in caplog.text, "the bytes to be noticed")
        for _ in range(20):
            sockets.create_connection(("127.0.0.1", api.port)).close()
        later.enter_context(apart.store_hangs())
        asking = later.enter_context(sockets.create_connection(("127.0.0.1", api.port)))
        asking.sendall(b"GET /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert [api.http.get("/healthz").status_code for _ in range(3)] == [
            200
        ] * 3  # by now it waits for the store
    lines = [record for record in caplog.records if record.name.startswith(("lookout", "uvicorn"))]
    assert (
        "Exception in ASGI application: Task cancelled, timeout graceful shutdown exceeded"
        in caplog.messages
    )
    assert [line.exc_info for line in lines] == [None] * len(lines)


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("api", signal.SIGTERM),
        ("alerting", signal.SIGINT),
        pytest.param("api", signal.SIGINT, marks=pytest.mark.long),
        pytest.param("alerting", signal.SIGTERM, marks=pytest.mark.long),
    ],
)
def test_a_stage_ends_soon_and_cleanly_when_it_is_told_to(
    stage: str, number: signal.Signals, urls: Urls, tmp_path: Path, bus: Bus
) -> None:
    """In a process of its own, with a WebSocket open.

    Our signal handlers and our log lines hold, not uvicorn's.
    """
    port = free_port()
    code = (
        f"from lookout.service.{stage}.worker import run\n"
        "from lookout.service.core import logging as logs\n"
        "from lookout.service.core.lifecycle import stop_on_signals\n"
        "from lookout.service.core.settings import load_settings\n"
        "logs.set_up('stage', 'info')\n"
        "with stop_on_signals() as stop:\n"
        "    run(load_settings(), stop)\n"
        "    print('ended', stop.is_set())"
    )
    environment = {
        "BUS_URL": urls.bus,
        "STORE_URL": urls.store,
        "DATA_DIR": str(tmp_path),
        "PORT": str(port),
        "SECRET_KEY": "11" * 32,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **{f"LOOKOUT_{name}": value for name, value in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process, ExitStack() as listening:
        running = Api(port, settings_for(urls, tmp_path))
        listening.callback(running.http.close)
        if stage == "api":
            wait_until(lambda: answers(running), "an API that answers")
            listening.enter_context(running.listen())
        else:
            wait_until(lambda: bus.has_workers("alerting"), "alerting to beat")
        began = time.monotonic()
        process.send_signal(number)
        said, _ = process.communicate(timeout=10)
    begins = {"api": f"listening on http://127.0.0.1:{port}", "alerting": "alerting is up"}[stage]
    logged, ended = said.splitlines()
    assert logged.endswith(f" stage INFO {begins}")
    assert (process.returncode, ended) == (0, "ended True")
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("stage", with_wide_forms(["api", "alerting"], {"api"}))
def test_no_torch_is_loaded(stage: str) -> None:
    code = f"import sys, lookout.service.{stage}.worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_many_at_once_get_their_answers(api: Api, gate: None, bus: Bus) -> None:
    add_scores(bus, [(score("gate", seq), heat("gate", seq)) for seq in range(100)])
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda: done.append(api.get("/cameras/gate/scores").status_code))
        for _ in range(30)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(done) == len(threads), "all answers")
    assert set(done) == {200}
