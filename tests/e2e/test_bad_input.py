"""Bad input of every kind at once, through the real service.

Each gets a clear reason, and the good camera goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests.clips import write_clip, write_sound
from tests.e2e.service_process import Service, running_service, wait_until
from tests.service.api_server import BEARER, TOKEN
from tests.tiny import write_tiny

PASSWORD = "s3cret%40x%3A%2Fy"  # noqa: S105


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    for name in ("models", "media", "elsewhere"):
        (folder / name).mkdir()
    write_tiny(folder / "models")
    write_tiny(folder / "models", "uncalibrated", calibrated=False)
    (folder / "models" / "damaged.safetensors").write_bytes(b"no weights")
    media = folder / "media"
    write_clip(media / "good.mp4", range(900), size_px=(64, 48))
    write_clip(folder / "elsewhere" / "outside.mp4", range(10), size_px=(64, 48))
    (media / "link.mp4").symlink_to(folder / "elsewhere" / "outside.mp4")
    (media / "text.mp4").write_text("this is no video\n" * 50)
    (media / "empty.mp4").write_bytes(b"")
    write_sound(media / "sound.mp4")
    (media / "playlist.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{folder}/elsewhere/outside.mp4\n")
    return folder


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Service]:
    settings = {
        "models_dir": home / "models",
        "media_dir": home / "media",
        "precision": "fp32",
        "threads": 1,
    }
    with running_service(
        home / "data",
        **settings,
        connect_timeout_s=2,
        token=TOKEN,
        log_format="json",
        learning_workers=0,
    ) as running:
        assert running.http.get("/cameras").status_code == 401
        running.http.headers.update(BEARER)
        running.add(
            id="good", url=str(home / "media" / "good.mp4"), model="tiny", calibration="model"
        )
        wait_until(lambda: running.camera("good")["scores"] > 3, "the good camera is scored")
        yield running


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "url"),
        ({"url": ""}, "at least 1 character"),
        ({"url": "http://127.0.0.1/stream"}, "rtsp://"),
        ({"url": "concat:/etc/passwd|/etc/hosts"}, "rtsp://"),
        ({"url": "/etc/passwd"}, "media folder"),
        ({"url": "file:///{media}/../elsewhere/outside.mp4"}, "media folder"),
        ({"url": "{media}/link.mp4"}, "media folder"),
        ({"url": "{media}/nowhere.mp4"}, "no such file"),
        ({"url": f"rtsp://user:{PASSWORD}@127.0.0.1:99999/x"}, "percent-encode"),
        ({"url": "{media}/good.mp4", "model": "nobody"}, "tiny"),
        ({"url": "{media}/good.mp4", "model": "damaged"}, "damaged"),
        ({"url": "{media}/good.mp4", "model": "uncalibrated", "calibration": "model"}, "calibrat"),
        ({"url": "{media}/good.mp4", "model": "tiny", "fps": 0}, "fps"),
        ({"url": "{media}/good.mp4", "model": "tiny", "pace": "slow"}, "pace"),
        ({"url": "{media}/good.mp4", "model": "tiny", "colour": "red"}, "colour"),
        ({"url": "{media}/good.mp4", "model": "tiny", "id": "a/b"}, "id"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    service: Service, home: Path, body: dict[str, Any], reason: str
) -> None:
    filled = json.loads(json.dumps(body).replace("{media}", str(home / "media")))
    answer = service.http.post("/cameras", json=filled)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert reason in answer.text
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("text.mp4", "failed", "cannot be opened as a video"),
        ("empty.mp4", "failed", "cannot be opened as a video"),
        ("sound.mp4", "failed", "no video in it"),
        ("playlist.m3u8", "failed", "cannot be opened as a video"),
        (f"rtsp://user:{PASSWORD}@127.0.0.1:1/x?token={PASSWORD}&n=1", "reconnecting", "refused"),
    ],
)
def test_what_turns_out_wrong_is_said_by_the_camera(
    service: Service, home: Path, name: str, state: str, reason: str
) -> None:
    before = service.camera("good")["scores"]
    url = name if "://" in name else str(home / "media" / name)
    made = service.add(url=url, model="tiny", calibration="model")
    assert PASSWORD not in json.dumps(made)
    wait_until(lambda: service.camera(made["id"])["state"] == state, f"it is {state}", 20)
    shown = service.camera(made["id"])
    assert reason in shown["last_error"]
    assert PASSWORD not in json.dumps(shown)
    wait_until(lambda: service.camera("good")["scores"] > before, "the good camera goes on")
    assert service.http.delete(f"/cameras/{made['id']}").status_code == 204


def test_the_token_is_told_to_the_api_alone(service: Service) -> None:
    """No decoder has the token, since it reads input from strangers."""
    main = psutil.Process(service.process.pid)
    told = [
        process.cmdline()[-1]
        for process in main.children(recursive=True)
        if TOKEN in process.environ().values()
    ]
    assert told == ["api"]


def test_nothing_that_was_printed_holds_a_password_or_a_stack_trace(service: Service) -> None:
    """Check everything that the tests above made the service print; must be last in this file."""
    printed = "\n".join(service.output.lines)
    assert "s3cret" not in printed
    assert TOKEN not in printed
    assert "Traceback" not in printed


def test_every_line_is_json_and_says_which_camera_it_is_about(service: Service) -> None:
    """Check the same lines; must be last in this file."""
    lines = [
        json.loads(line) for line in service.output.lines if not line.startswith("Lookout is at ")
    ]
    assert {"api", "ingest", "inference", "alerting"} <= {line["stage"] for line in lines}
    (online,) = [line for line in lines if line["message"] == "camera good: online"]
    assert (online["stage"], online["level"], online["camera"]) == ("ingest", "info", "good")
    assert online["session"] == service.camera("good")["session"]
    assert all(line["camera"] in line["message"] for line in lines if "camera" in line)
    assert any(line["level"] == "warning" and "reconnecting (" in line["message"] for line in lines)
