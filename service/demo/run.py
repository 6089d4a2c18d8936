"""`lookout demo`: start the service, add one camera and print what happens."""

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
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lookout.service.core import urls
from lookout.service.core.errors import LookoutError
from lookout.service.core.settings import SHIPPED_MODELS, Settings
from lookout.service.core.stages import STAGES
from lookout.service.demo.drawing import SceneDrawing
from lookout.service.supervisor import supervisor as serve

CAMERA = "demo"
MODEL = "square"
PORTS_TRIED = 20
POLL_EVERY_S = 1.0
COUNT_EVERY_S = 5.0
REDRAW_EVERY_S = 0.1

Say = Callable[[str], None]
"""Prints one message to the user."""


def run_demo(
    settings: Settings, video: str | None, stop: threading.Event, say: Say, *, any_port: bool = True
) -> None:
    """Run until `stop`. `video`: a file, an rtsp:// URL, or None for the generated scene.

    Raises LookoutError if the video does not exist, the scene cannot be drawn or the service cannot
    be started.
    """
    data_dir = settings.data_dir / "demo"
    url, media_dir = camera_source(video, data_dir)
    changes: dict[str, object] = {
        "data_dir": data_dir,
        "media_dir": media_dir,
        "models_dir": SHIPPED_MODELS,
    }
    if any_port:
        changes["port"] = next_free_port(settings)
    full = settings.model_copy(update=changes)
    with StartBar(say) as bar, contextlib.ExitStack() as closing:
        drawing = None
        if video is None and not Path(url).exists():
            drawing = closing.enter_context(SceneDrawing(Path(url)))
        guide = Guide(
            url,
            generated=video is None,
            drawing=drawing,
            say=say,
            bar=bar,
            page=serve.address(full),
        )
        bar.begin("Starting the service", len(STAGES))
        serve.serve(full, stop, guide.start, guide.poll)


class StartBar:
    """Progress until the first score: a bar on a terminal, else a line for each step.

    It is drawn by whoever calls it: the service's processes are started while no thread runs.
    """

    def __init__(self, say: Say, console: Console | None = None) -> None:
        """console: where the bar is drawn; None: standard output."""
        self._say = say
        self._began_at = time.monotonic()
        self._drawn_at = 0.0
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._step = self._bar.add_task("", visible=False)
        self._is_over = not self._bar.console.is_terminal

    def __enter__(self) -> Self:
        if not self._is_over:
            self._bar.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, text: str, total: int | None) -> None:
        """Begin a step; total: of what `show` is called with, None where nobody can tell."""
        if self._is_over:
            self._say(f"{text} …")
        else:
            self._bar.reset(self._step, total=total, description=text, visible=True)
            self._bar.refresh()

    def show(self, done: int | None = None) -> None:
        """Show how much of the step is done; None: that it goes on."""
        now = time.monotonic()
        if self._is_over or now - self._drawn_at < REDRAW_EVERY_S:
            return
        self._drawn_at = now
        self._bar.update(self._step, completed=done)
        self._bar.refresh()

    def end(self) -> float:
        """Remove the bar; return the seconds since it was made."""
        self._bar.stop()
        self._is_over = True
        return time.monotonic() - self._began_at


def camera_source(video: str | None, data_dir: Path) -> tuple[str, Path]:
    """Return the camera's URL and the media folder.

    Raises LookoutError for a file that does not exist; the generated scene may yet be drawn.
    """
    if video is None:
        path = (data_dir / "media" / "square.mp4").resolve()
        return str(path), path.parent
    path = Path(video)
    if "://" in video:
        if not urls.is_file(video):
            return video, data_dir / "media"
        path = urls.parse_file_url(video)
    path = path.resolve()
    if not path.is_file():
        raise LookoutError(f"there is no file {video}")
    return str(path), path.parent


def next_free_port(settings: Settings) -> int:
    """Return the configured port, or the first free one after it.

    Raises LookoutError if none of the first PORTS_TRIED is free.
    """
    for port in range(settings.port, settings.port + PORTS_TRIED):
        try:
            return serve.free_port(settings.host, port)
        except LookoutError as error:
            last = error
    raise last


class Guide:
    """Adds the camera, prints the addresses, and then reports states, scores and alerts."""

    def __init__(
        self,
        url: str,
        *,
        generated: bool,
        drawing: SceneDrawing | None,
        say: Say,
        bar: StartBar,
        page: str,
    ) -> None:
        """drawing: of the generated scene, where it is not there yet; page: the service's own
        address, before it answers there.
        """
        self._url = url
        self._drawing = drawing
        self._bar: StartBar | None = bar  # until the first score
        self._page = page
        self._generated = generated
        self._say = say
        self._base = ""
        self._learn_frames = 0
        self._headers = {"Content-Type": "application/json"}
        self._state: tuple[str, str | None] | None = None
        self._alerts: set[str] = set()
        self._polled_at = 0.0
        self._counted_at = 0.0

    def start(self, settings: Settings) -> None:
        """Print the addresses of the service, which answers by now, and add the camera.

        Raises LookoutError if the camera is refused.
        """
        page = serve.address(settings)
        self._base = f"{page}/api/v1"
        self._learn_frames = settings.learn_frames
        curl = "curl"
        if settings.token:
            self._headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
            curl = 'curl -H "Authorization: Bearer $LOOKOUT_TOKEN"'
        if self._generated:
            outlook = (
                "People walk on the square; the cyclist comes after about 15 s, "
                "then a runner and a van."
            )
        else:
            outlook = (
                f"The camera first learns what is normal: {self._learn_frames} frames "
                "without alerts."
            )
        lines = [
            f"Lookout is at {page}",
            "",
            f"  {curl} {self._base}/cameras/{CAMERA}",
            f"  {curl} '{self._base}/cameras/{CAMERA}/scores?limit=5'",
            f"  {curl} -o heatmap.png {self._base}/cameras/{CAMERA}/heatmap",
            f"  {curl} {self._base}/alerts",
            "",
            outlook,
            "Ctrl-C ends it.",
        ]
        self._say("\n".join(lines))
        if self._drawing is None:
            self.add_camera()
        elif self._bar is not None:
            self._bar.begin("Drawing the scene, once", self._drawing.frames)

    def add_camera(self) -> None:
        """Add the camera in place of that of an earlier demo."""
        camera = {"id": CAMERA, "url": self._url}
        if self._generated:
            camera |= {"model": MODEL, "calibration": "model"}
        with contextlib.suppress(LookoutError):  # where there was no earlier demo
            self.call("DELETE", f"/cameras/{CAMERA}")
        self.call("POST", "/cameras", camera)
        if self._bar is not None:
            self._bar.begin("Waiting for the first score", None)

    def poll(self) -> None:
        """Report what is new; start the generated scene again when it has ended.

        Raises LookoutError if the scene cannot be drawn, or the camera is refused.
        """
        if self._base and self._drawing is not None:
            if self._bar is not None:
                self._bar.show(self._drawing.drawn())
            if not self._drawing.is_over():
                return
            self._drawing = None
            self.add_camera()
        if self._bar is not None:
            self._bar.show(None if self._base else len(STAGES) - len(missing_stages(self._page)))
        if not self._base or time.monotonic() - self._polled_at < POLL_EVERY_S:
            return
        self._polled_at = time.monotonic()
        try:
            camera = self.call("GET", f"/cameras/{CAMERA}")
            self.report_first_score(camera)
            self.report_state(camera)
            self.report_alerts()
            self.report_count(camera)
            if self._generated and camera["state"] == "ended":
                self.call("PATCH", f"/cameras/{CAMERA}", {"enabled": True})
        except (LookoutError, OSError, http.client.HTTPException):
            return  # the API is being restarted; the next poll asks again

    def report_first_score(self, camera: dict[str, Any]) -> None:
        """End the bar with the first score, and print how long it took."""
        if self._bar is not None and camera["scores"]:
            self._say(f"The first score came after {self._bar.end():.0f} s.")
            self._bar = None

    def report_state(self, camera: dict[str, Any]) -> None:
        """Print the camera's state and error when they change."""
        state = camera["state"]
        error = camera["last_error"]
        if (state, error) == self._state:
            return
        self._state = (state, error)
        self._say(f"camera {CAMERA}: {state}" + (f" ({error})" if error else ""))
        if state == "ended" and not self._generated and camera["scores"] <= self._learn_frames:
            self._say(
                f"The video ended after {camera['scores']} scores, "
                f"of {self._learn_frames} to learn from."
            )
            self._say("Take a longer one, or learn from fewer: LOOKOUT_LEARN_FRAMES.")

    def report_count(self, camera: dict[str, Any]) -> None:
        """Print the number of scores and the newest value, every COUNT_EVERY_S."""
        is_scored = camera["state"] in ("online", "learning")
        if not is_scored or time.monotonic() - self._counted_at < COUNT_EVERY_S:
            return
        for score in self.call("GET", f"/cameras/{CAMERA}/scores?limit=1")["items"]:
            self._counted_at = time.monotonic()
            value = "learning" if score["value"] is None else f"value {score['value']:.2f}"
            self._say(
                f"{camera['scores']} scores, the newest: {value}, PSNR {score['psnr_db']:.1f} dB"
            )

    def report_alerts(self) -> None:
        """Print each open alert once, oldest first."""
        for alert in reversed(self.call("GET", "/alerts?state=open")["items"]):
            if alert["id"] not in self._alerts:
                self._alerts.add(alert["id"])
                picture = f"{self._base}/alerts/{alert['id']}/picture"
                self._say(
                    f"ALERT, value {alert['peak_value']:.2f} "
                    f"(threshold {alert['threshold']:.2f}): {picture}"
                )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request to our own API; return the parsed JSON, None for an empty answer.

        Raises LookoutError with the reason that the API gives.
        """
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
            raise LookoutError(urls.mask(refusal_reason(error))) from None
        return json.loads(text) if text else None


def missing_stages(page: str) -> list[str]:
    """Return the stages that a service which is being started still lacks."""
    try:
        with serve.LOCAL.open(f"{page}/readyz", timeout=1):
            return []
    except urllib.error.HTTPError as error:
        missing: list[str] = json.loads(error.read()).get("missing") or []
        return missing
    except (OSError, http.client.HTTPException, ValueError):
        return [stage.name for stage in STAGES]


def refusal_reason(error: urllib.error.HTTPError) -> str:
    """Return the reason in the body of an error response, or its status code."""
    try:
        return str(json.loads(error.read())["detail"])
    except (ValueError, KeyError):
        return f"the API answers {error.code}"
