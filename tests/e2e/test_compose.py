"""docker-compose.yml as an operator uses it: up, a camera, a lost worker, down; bad surroundings.

    pytest tests/e2e/test_compose.py --compose 'docker compose' --engine docker

Real containers of real images, which are built first: some minutes. PYTHON_IMAGE, REDIS_IMAGE,
PROMETHEUS_IMAGE and ALERTMANAGER_IMAGE name other images than the file does. Ports 8000, 9090 and
9093 must be free. Grafana is not started. Without `--compose` all of it is skipped;
test_deployment_files.py then checks what the file says.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.e2e.compose import ALERTMANAGER, API, PROJECT, PROMETHEUS, Ended, Stack, commands
from tests.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

BUILT = ("ingest", "inference", "alerting", "api", "camera")
SERVICES = (
    "bus",
    "store",
    "ingest",
    "inference",
    "alerting",
    "api",
    "prometheus",
    "alertmanager",
    "camera",
    "demo",
)


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Bring the stack up; remove it with its volumes afterwards."""
    options = (str(request.config.getoption(name)) for name in ("--compose", "--engine"))
    stack = Stack(*commands(*options), tmp_path_factory.mktemp("clone"))
    stack("build", *BUILT, limit_s=800)
    try:
        stack("up", "-d", *SERVICES, limit_s=120)
        wait_until(lambda: answers(f"{API}/readyz"), "every stage is heard of", 90, every_s=0.5)
        yield stack
    finally:
        stack("down", "--volumes", "--timeout", "10", limit_s=120)
    assert PROJECT not in stack.ask_engine("ps", "-a", "--format", "{{.Names}}")


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=5).status_code == 200
    return False


def live_scores(stack: Stack, camera: str, count: int, limit_s: float) -> list[dict[str, Any]]:
    """Return the next scores of a camera from the WebSocket."""
    found: list[dict[str, Any]] = []
    ends_at, headers = time.monotonic() + limit_s, {"Authorization": f"Bearer {stack.token}"}
    url = f"{API.replace('http', 'ws')}/api/v1/live?camera={camera}"
    with connect(url, additional_headers=headers) as live:
        while len(found) < count:
            message = json.loads(live.recv(timeout=ends_at - time.monotonic()))
            found += [message["data"]] if message["type"] == "score" else []
    return found


def firing(name: str) -> list[dict[str, str]]:
    """The labels of Prometheus' firing alerts of that name."""
    alerts = httpx.get(f"{PROMETHEUS}/api/v1/alerts", timeout=10).json()["data"]["alerts"]
    return [
        it["labels"]
        for it in alerts
        if it["labels"]["alertname"] == name and it["state"] == "firing"
    ]


def handed_on(name: str) -> list[dict[str, str]]:
    """The labels of the alerts of that name that Alertmanager holds as active."""
    alerts = httpx.get(
        f"{ALERTMANAGER}/api/v2/alerts", params={"active": "true"}, timeout=10
    ).json()
    return [it["labels"] for it in alerts if it["labels"]["alertname"] == name]


def test_the_demos_camera_is_scored_and_its_cyclist_gives_an_alert_with_a_picture(
    stack: Stack,
) -> None:
    wait_until(
        lambda: any(camera["id"] == "demo" for camera in stack.get("/cameras")["items"]),
        "it is added",
        60,
    )
    scores = live_scores(stack, "demo", 30, limit_s=60)
    assert all(score["camera"] == "demo" for score in scores)
    (alert, *_) = wait_until(lambda: stack.get("/alerts")["items"], "an alert", 90, every_s=1)
    picture = httpx.get(
        f"{API}/api/v1/alerts/{alert['id']}/picture",
        headers={"Authorization": f"Bearer {stack.token}"},
        timeout=10,
    )
    assert picture.status_code == 200
    assert picture.content.startswith(b"\xff\xd8")


def test_a_camera_that_is_posted_is_scored(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.token}"}
    gate = {"id": "gate", "url": "rtsp://camera:8554/square", "model": "square", "score": "local"}
    assert httpx.post(f"{API}/api/v1/cameras", json=gate, timeout=10).status_code == 401
    assert (
        httpx.post(f"{API}/api/v1/cameras", json=gate, headers=headers, timeout=10).status_code
        == 201
    )
    scores = live_scores(stack, "gate", 20, limit_s=60)
    assert {score["value"] for score in scores} == {None}  # it learns what is normal first
    assert (
        httpx.delete(f"{API}/api/v1/cameras/gate", headers=headers, timeout=10).status_code == 204
    )


def test_prometheus_comes_in_with_the_token(stack: Stack) -> None:
    def up() -> bool:
        (target,) = httpx.get(f"{PROMETHEUS}/api/v1/targets", timeout=10).json()["data"][
            "activeTargets"
        ]
        return bool(target["health"] == "up")

    wait_until(up, "the target is up", 30, every_s=1)


def test_more_workers_share_the_cameras(stack: Stack) -> None:
    stack("up", "-d", "inference-more")

    def workers() -> float:
        query = {"query": 'max(lookout_workers{stage="inference"})'}
        found = httpx.get(f"{PROMETHEUS}/api/v1/query", params=query, timeout=10).json()["data"][
            "result"
        ]
        return float(found[0]["value"][1]) if found else 0.0

    wait_until(lambda: workers() == 2, "both are heard of", 60, every_s=1)
    stack("stop", "inference-more")
    wait_until(lambda: workers() == 1, "the other one has left", 60, every_s=1)
    live_scores(stack, "demo", 5, limit_s=30)


def test_a_lost_worker_is_told_of_and_a_new_one_goes_on(stack: Stack) -> None:
    stack("kill", "inference")
    lost = {"stage": "inference", "severity": "critical"}

    def has_lost(alerts: list[dict[str, str]]) -> bool:
        return any(lost.items() <= told.items() for told in alerts)

    wait_until(
        lambda: has_lost(firing("LookoutNoWorker")), "Prometheus' alert fires", 150, every_s=1
    )
    wait_until(lambda: has_lost(handed_on("LookoutNoWorker")), "Alertmanager has it", 60, every_s=1)
    assert answers(f"{API}/healthz")
    assert not answers(f"{API}/readyz")
    stack("start", "inference")
    live_scores(stack, "demo", 10, limit_s=90)
    wait_until(lambda: not has_lost(firing("LookoutNoWorker")), "it is over", 60, every_s=1)


@pytest.mark.parametrize(
    ("service", "alert", "about"),
    [
        ("api", "LookoutDown", {}),
        ("bus", "LookoutRedisDown", {"server": "bus"}),
        ("store", "LookoutRedisDown", {"server": "store"}),
        ("alerting", "LookoutNoWorker", {"stage": "alerting"}),
        ("camera", "LookoutCameraDown", {"camera": "demo"}),
    ],
)
def test_the_runbooks_first_command_mends_what_was_lost(
    stack: Stack, service: str, alert: str, about: dict[str, str]
) -> None:
    """Start the container again, as docs/runbook.md says; everything else recovers by itself."""
    stack("stop", service)

    def has_fired() -> bool:
        return any(about.items() <= told.items() for told in firing(alert))

    wait_until(has_fired, f"{alert} fires", 240, every_s=1)
    stack("start", service)
    wait_until(lambda: answers(f"{API}/readyz"), "every stage is heard of", 90, every_s=0.5)
    live_scores(stack, "demo", 10, limit_s=90)
    wait_until(lambda: not has_fired(), "it is over", 90, every_s=1)


def test_an_upgrade_replaces_stage_after_stage(stack: Stack) -> None:
    """Run the commands of docs/operations.md; tests/e2e/test_upgrade.py counts their cost."""
    for stage in ("alerting", "api", "inference", "ingest"):
        before = stack.ask_engine("inspect", "--format", "{{.Id}}", stack.container(stage))
        stack("up", "-d", "--no-deps", "--force-recreate", stage)  # as with a new image
        assert stack.ask_engine("inspect", "--format", "{{.Id}}", stack.container(stage)) != before
        wait_until(lambda: answers(f"{API}/readyz"), f"{stage} is heard of again", 90, every_s=0.5)
        live_scores(stack, "demo", 10, limit_s=90)


def test_no_stage_can_write_to_its_root_or_is_root(stack: Stack) -> None:
    for stage in ("ingest", "inference", "alerting", "api"):
        told = stack.ask_engine(
            "exec", stack.container(stage), "sh", "-c", "id -u; touch /srv/x 2>&1 || true"
        )
        assert told.split()[0] == "10001"
        assert "Read-only file system" in told


def test_the_data_volume_is_for_its_owner_alone_at_each_start(stack: Stack) -> None:
    """A new volume has the mode of the image's folder: nothing is left to warn of."""
    for stage in ("ingest", "alerting", "api"):
        stack("stop", stage)
        stack("start", stage)
        wait_until(lambda: answers(f"{API}/readyz"), f"{stage} is heard of again", 90, every_s=0.5)
        name = stack.container(stage)
        assert stack.ask_engine("exec", name, "stat", "-c", "%a", "/srv/data").strip() == "700"
        assert "could be read by other users" not in stack.logs(name)


def test_the_api_carries_no_torch_and_the_sizes_are_told(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    no_torch = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is not None)"
    stack.ask_engine("exec", stack.container("api"), "python", "-c", no_torch)
    with capsys.disabled():
        for image in BUILT:
            size = int(
                stack.ask_engine(
                    "image", "inspect", "--format", "{{.Size}}", f"lookout-{image}:0.1.0"
                )
            )
            print(f"\nlookout-{image}: {size / 1e6:.0f} MB", end="")


REDIS = ("-e", "LOOKOUT_BUS_URL=redis://127.0.0.1:1", "-e", "LOOKOUT_STORE_URL=redis://127.0.0.1:1")


def last_line(ended: Ended) -> str:
    return str(json.loads(ended.said.splitlines()[-1])["message"])


@pytest.mark.parametrize(
    ("image", "options", "code", "says"),
    [
        ("ingest", (), 2, "LOOKOUT_BUS_URL is not set"),
        ("api", REDIS, 3, "LOOKOUT_TOKEN"),
        ("api", (*REDIS, "-e", "LOOKOUT_TOKEN=short"), 2, "LOOKOUT_TOKEN"),
        ("alerting", (*REDIS, "-e", "LOOKOUT_ALERT_THRESHOLD=1.5"), 2, "LOOKOUT_ALERT_THRESHOLD"),
        ("inference", (*REDIS, "-e", "LOOKOUT_DEVICE=cuda"), 5, "LOOKOUT_DEVICE"),
        (
            "ingest",
            ("-e", "LOOKOUT_BUS_URL=http://bus", "-e", "LOOKOUT_STORE_URL=redis://s"),
            2,
            "LOOKOUT_BUS_URL",
        ),
    ],
)
def test_a_wrong_variable_ends_the_container_with_one_line(
    stack: Stack, image: str, options: tuple[str, ...], code: int, says: str
) -> None:
    ended = stack.run(image, *options)
    assert ended.code == code
    assert says in last_line(ended)
    assert "Traceback" not in ended.said


def test_a_port_in_use_is_said(stack: Stack) -> None:
    ended = stack.ended("exec", stack.container("api"), "lookout", "api")  # a second one beside it
    assert ended.code == 4
    assert "cannot listen on 0.0.0.0:8000: Address already in use" in last_line(ended)


@pytest.mark.parametrize("stage", ["ingest", "inference", "alerting"])
def test_a_redis_that_is_not_there_is_waited_for_and_named(stack: Stack, stage: str) -> None:
    name = f"{PROJECT}-waits-{stage}"
    stack.ask_engine("run", "-d", "--name", name, *REDIS, f"lookout-{stage}:0.1.0")
    try:
        wait_until(lambda: "127.0.0.1:1" in stack.logs(name), "it is named", 40, every_s=0.5)
        said = stack.logs(name)
        assert stack.ask_engine("inspect", "--format", "{{.State.Running}}", name).strip() == "true"
        assert "Traceback" not in said
    finally:
        stack.ask_engine("rm", "-f", "-t", "5", name)


@pytest.mark.parametrize(
    ("volume", "folder", "why"),
    [
        (("--read-only",), "/srv/data", "Read-only file system"),
        (
            ("--tmpfs", "/tmp:size=16k", "-e", "LOOKOUT_DATA_DIR=/tmp"),
            "/tmp",
            "No space left on device",
        ),
    ],
    ids=["read-only", "full"],
)
def test_a_data_volume_that_takes_nothing_is_said_at_the_start(
    stack: Stack, volume: tuple[str, ...], folder: str, why: str
) -> None:
    name, line = (
        f"{PROJECT}-volume",
        f"alerts open without pictures: nothing can be written to {folder}: {why}",
    )
    stack.ask_engine("run", "-d", "--name", name, *volume, *REDIS, "lookout-alerting:0.1.0")
    try:
        wait_until(lambda: line in stack.logs(name), line, 40, every_s=0.5)
    finally:
        stack.ask_engine("rm", "-f", "-t", "5", name)
