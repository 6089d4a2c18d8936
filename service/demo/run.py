"""`lookout demo`: everything started, one camera added, and a person told where to look."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lookout.service.core.errors import LookoutError
from lookout.service.core.settings import SHIPPED_MODELS, Settings
from lookout.service.core.urls import mask
from lookout.service.demo.scene import write_demo_video
from lookout.service.supervisor import supervisor as serve

CAMERA = "demo"
MODEL = "square"
PORTS_TRIED = 20
LOOK_EVERY_S = 1.0
COUNT_EVERY_S = 5.0

Say = Callable[[str], None]


def run_demo(
    settings: Settings, video: str | None, stop: threading.Event, say: Say, *, any_port: bool = True
) -> None:
    """Run until `stop`. `video`: a file, an rtsp:// URL, or None for the generated scene.

    Raises LookoutError where the video is not there or nothing can be started.
    """
    data_dir = settings.data_dir / "demo"
    try:
        url, media_dir = _source(video, data_dir, stop, say)
    except _StoppedError:
        return
    changes: dict[str, object] = {
        "data_dir": data_dir,
        "media_dir": media_dir,
        "models_dir": SHIPPED_MODELS,
    }
    if any_port:
        changes["port"] = _next_free_port(settings)
    guide = Guide(url, generated=video is None, say=say)
    serve.serve(settings.model_copy(update=changes), stop, guide.start, guide.look)


class _StoppedError(Exception):
    """Ctrl-C while the scene was being drawn."""


def _source(video: str | None, data_dir: Path, stop: threading.Event, say: Say) -> tuple[str, Path]:
    """The camera's URL and the media folder that it may lie in."""
    if video is None:
        path = (data_dir / "media" / "square.mp4").resolve()
        if not path.exists():
            say("Drawing the scene (once, some seconds) …")
            write_demo_video(path, on_frame=lambda: _unless(stop))
        return str(path), path.parent
    if "://" in video and not video.startswith("file://"):
        return video, data_dir / "media"
    path = (
        Path(unquote(video.removeprefix("file://"))).resolve()
        if "://" in video
        else Path(video).resolve()
    )
    if not path.is_file():
        raise LookoutError(f"there is no file {video}")
    return str(path), path.parent


def _unless(stop: threading.Event) -> None:
    if stop.is_set():
        raise _StoppedError


def _next_free_port(settings: Settings) -> int:
    """The wanted port, or the first free one behind it. Raises LookoutError where there is none."""
    for port in range(settings.port, settings.port + PORTS_TRIED):
        try:
            return serve.free_port(settings.host, port)
        except LookoutError as error:
            last = error
    raise last


class Guide:
    """Adds the camera, says where to look, and from then on what happens."""

    def __init__(self, url: str, *, generated: bool, say: Say) -> None:
        self._url = url
        self._generated = generated
        self._say = say
        self._base = ""
        self._learn_frames = 0
        self._headers = {"Content-Type": "application/json"}
        self._state: tuple[str, str | None] | None = None
        self._alerts: set[str] = set()
        self._looked_at = 0.0
        self._counted_at = 0.0

    def start(self, settings: Settings) -> None:
        """Once the service answers. Raises LookoutError where the camera is refused."""
        page = serve.address(settings)
        self._base, self._learn_frames = f"{page}/api/v1", settings.learn_frames
        if settings.token:
            self._headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        self._add_camera()
        curl = 'curl -H "Authorization: Bearer $LOOKOUT_TOKEN"' if settings.token else "curl"
        lines = [
            f"Lookout is at {page}",
            "",
            f"  {curl} {self._base}/cameras/{CAMERA}",
            f"  {curl} '{self._base}/cameras/{CAMERA}/scores?limit=5'",
            f"  {curl} -o heatmap.png {self._base}/cameras/{CAMERA}/heatmap",
            f"  {curl} {self._base}/alerts",
            "",
            "People walk on the square; the cyclist comes after about 15 s, then a runner and a van."
            if self._generated
            else f"The camera first learns what is normal: {self._learn_frames} frames without alerts.",
            "Ctrl-C ends it.",
        ]
        self._say("\n".join(lines))

    def look(self) -> None:
        """Say what is new; start the generated scene again when it has ended."""
        if not self._base or time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        try:
            camera = self._call("GET", f"/cameras/{CAMERA}")
            self._say_state(camera)
            self._say_alerts()
            self._say_count(camera)
            if self._generated and camera["state"] == "ended":
                self._call("PATCH", f"/cameras/{CAMERA}", {"enabled": True})
        except (LookoutError, OSError, http.client.HTTPException):
            return  # the API is being restarted; the next look will tell

    def _add_camera(self) -> None:
        with contextlib.suppress(LookoutError):  # where there was no earlier demo
            self._call("DELETE", f"/cameras/{CAMERA}")
        calibration = "model" if self._generated else "learn"
        self._call(
            "POST",
            "/cameras",
            {"id": CAMERA, "url": self._url, "model": MODEL, "calibration": calibration},
        )

    def _say_state(self, camera: dict[str, Any]) -> None:
        now = (camera["state"], camera["last_error"])
        if now != self._state:
            self._state = now
            self._say(f"camera {CAMERA}: {now[0]}" + (f" ({now[1]})" if now[1] else ""))
            if now[0] == "ended" and not self._generated and camera["scores"] <= self._learn_frames:
                self._say(
                    f"The video ended after {camera['scores']} scores, of {self._learn_frames} to learn from."
                )
                self._say("Take a longer one, or learn from fewer: LOOKOUT_LEARN_FRAMES.")

    def _say_count(self, camera: dict[str, Any]) -> None:
        """Every few seconds, while scores come: how many, and the newest value."""
        if time.monotonic() - self._counted_at < COUNT_EVERY_S or camera["state"] not in (
            "online",
            "learning",
        ):
            return
        self._counted_at = time.monotonic()
        for score in self._call("GET", f"/cameras/{CAMERA}/scores?limit=1")["items"]:
            value = "learning" if score["value"] is None else f"value {score['value']:.2f}"
            self._say(
                f"{camera['scores']} scores, the newest: {value}, PSNR {score['psnr_db']:.1f} dB"
            )

    def _say_alerts(self) -> None:
        for alert in reversed(self._call("GET", "/alerts?state=open")["items"]):
            if alert["id"] not in self._alerts:
                self._alerts.add(alert["id"])
                picture = f"{self._base}/alerts/{alert['id']}/picture"
                self._say(
                    f"ALERT, value {alert['peak_value']:.2f} (threshold {alert['threshold']:.2f}): {picture}"
                )

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request to our own API. Raises LookoutError with the reason that it gives."""
        request = urllib.request.Request(  # noqa: S310  always our own http address
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
        )
        try:
            with serve.LOCAL.open(request, timeout=5) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise LookoutError(mask(_reason(error))) from None
        return json.loads(text) if text else None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["detail"])
    except (ValueError, KeyError):
        return f"the API answers {error.code}"
