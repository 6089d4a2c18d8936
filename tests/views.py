"""Draw the pictures of docs/views.md: every view of the page, at three widths, in both themes.

    python -m tests.views [FOLDER] [LANGUAGE]

FOLDER is docs/views, LANGUAGE `en` or `de`. An API of its own is fed with frames of the demo's
drawn scene, and with scores and alerts that are made up; the page is the real one.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import math
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from selenium.webdriver import Chrome

from lookout.models.scoring.alert_regions import AlertRegion
from lookout.models.scoring.alert_tracks import RegionTrack, TrackPoint
from lookout.models.vision.overlay import jpeg, overlay
from lookout.service.core.messages import (
    Alert,
    AlertEvent,
    AlertState,
    Frame,
    Heat,
    InferenceReport,
)
from lookout.service.core.sinks import SinkRecord
from lookout.service.demo.scene import Scene, demo_scene
from lookout.service.storage import pictures
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.e2e.browser import browser
from tests.owning import add_frames, add_scores
from tests.service.api_server import (
    Api,
    camera,
    report_online,
    running_api,
    score,
    settings_for,
    write_checkpoint,
)
from tests.service.page_browser import at_size, is_live, one
from tests.waiting import wait_until

NAMES = ("gate", "yard", "dock", "lobby", "ramp", "roof")
FPS = 10
SCORES = 600  # of a camera before the page is opened
CYCLIST = 165  # the frame of the demo's scene with its first cyclist
SIZES = {390: (844, 0.8), 1440: (900, 0.5), 2560: (1300, 0.34)}
"""Widths (px) with heights (px), and what a picture is scaled by."""

BOX = (0.2, 0.44, 0.11, 0.2)  # of the cyclist: left, top, width, height as shares
QUALITY = 55
THEMES = ("light", "dark")


LOADED = "[...document.querySelectorAll('%s')].every((image) => image.naturalWidth)"
IS_THERE = {
    "wall": f"return {LOADED % '#cameras .picture, #alert-list img'}",
    "camera": f"return {LOADED % '#camera-gate .picture'}",
    "review": f"return {LOADED % '#review-detail figure:not([hidden]) img'} "
    "&& document.querySelectorAll('#review-list li').length > 0",
    "settings": "return document.querySelectorAll('#add-fields [name=url]').length > 0",
    "system": "return document.querySelectorAll('#system-cameras tr').length === 6",
    "accounts": "return document.querySelectorAll('#audit tbody tr').length > 0",
}
"""Scripts that tell whether a view has its content."""

VIEWS = tuple(IS_THERE)
OPENED_AGO_S = 20.0  # of the alert that is open
PASSWORD = "four-words-of-a-poem"  # noqa: S105


def draw(folder: Path, language: str) -> None:
    """Write a WebP of each view, width and theme."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="lookout-views-") as place,
        RedisServer("bus", Path(place)) as on_bus,
        RedisServer("store", Path(place)) as on_store,
    ):
        settings = settings_for(Urls(on_bus.url, on_store.url), Path(place))
        write_checkpoint(settings, "square", calibrated=True)
        store = Store(connect(on_store.url))
        feed = Feed(Bus(connect(on_bus.url), frames_kept=256, scores_kept=1000, heats_kept=256))
        add_cameras(store)
        add_alerts(store, Path(place))
        feed.advance(SCORES)
        with running_api(settings) as api, feed.going_on(), browser() as driver:
            open_page(driver, api, language)
            for name, width_px, theme in itertools.product(VIEWS, SIZES, THEMES):
                show(driver, name, width_px, theme)
                target = folder / f"{name}-{width_px}-{theme}.webp"
                target.write_bytes(picture(driver, width_px))


class Feed:
    """Frames of the drawn scene with made-up scores; those of `gate` are high at last."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._session = int((time.time() - SCORES / FPS) * 1000)
        self._done = 0
        self._pixels = {name: Scene(at).frame(CYCLIST) for at, name in enumerate(NAMES)}
        self._pixels["gate"] = demo_scene().frame(CYCLIST)

    def advance(self, count: int) -> None:
        """Put the next scores of every camera on the bus."""
        for seq in range(self._done, self._done + count):
            for number, name in enumerate(NAMES):
                is_strange = name == "gate" and seq > SCORES - OPENED_AGO_S * FPS
                value = 0.2 + 0.06 * math.sin(seq / 7 + number) + 0.6 * is_strange
                cells = hot_cells() if is_strange else np.zeros((64, 64), np.uint16)
                at = self._session / 1000 + seq / FPS
                add_frames(self._bus, Frame(name, self._session, seq, at, self._pixels[name]))
                made = score(name, seq, value, session=self._session, at=at)
                add_scores(self._bus, [(made, Heat(name, self._session, seq, cells))])
        for stage in ("ingest", "inference", "alerting", "learning"):
            self._bus.heartbeat(stage, "one", FPS * len(NAMES))
        for name in NAMES:
            report_online(self._bus, name)
            now = time.time()
            scored = InferenceReport("online", now, 1, worker="one", score_age_s=0.1, fps=FPS)
            self._bus.report_inference(name, scored)
            self._bus.show_picture(name, jpeg(self._pixels[name]))
        self._done += count

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Score in a thread, as many frames as time goes by."""
        is_over = threading.Event()

        def go_on() -> None:
            while not is_over.wait(1.0):
                due = int((time.time() - self._session / 1000) * FPS)
                self.advance(max(0, due - self._done))

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def hot_cells() -> Any:
    """Return a heatmap that is high where the cyclist is: (64, 64) uint16."""
    cells = np.zeros((64, 64), np.uint16)
    left, top, width, height = (round(64 * share) for share in BOX)
    cells[top : top + height, left : left + width] = 20_000
    return cells


def add_cameras(store: Store) -> None:
    """Add the cameras, with ten hours of peaks, and a sink."""
    minute = int(time.time() // 60)
    for number, name in enumerate(NAMES):
        store.add_camera(camera(name, url=f"rtsp://10.0.0.{number + 10}/stream1"))
        peaks = {minute - ago: 0.25 + 0.1 * math.sin(ago / 40 + number) for ago in range(600)}
        store.note_peaks(name, peaks)
    store.add_sink(SinkRecord(id="control-room", url="https://hooks.example/x", created_at=1.0))


def add_alerts(store: Store, data: Path) -> None:
    """Add an open alert and older ones, with pictures, boxes and a track."""
    now = time.time()
    pixels = demo_scene().frame(CYCLIST)
    looks: dict[pictures.Which, Any] = {
        "heat": overlay(pixels, hot_cells()),
        "open": pixels,
        "peak": pixels,
    }
    left, top, width, height = BOX
    ages = {"gate": OPENED_AGO_S, "dock": 400.0, "ramp": 900.0, "yard": 1500.0}
    for name, ago_s in reversed(ages.items()):
        at = now - ago_s
        state: AlertState = "open" if name == "gate" else "closed"
        closed_at = at + 6 if state == "closed" else None
        id_ = f"{name}:{int(at * 1000)}-1"
        alert = Alert(id_, name, state, at, closed_at, 0.75, 0.86, at + 1)
        course = [TrackPoint(at + n, (left - n / 25, top, width, height)) for n in range(5)]
        region = AlertRegion(BOX, 0.5, 0.02)
        found = RegionRecord(open=[region], peak=[region], tracks=[RegionTrack(course)])
        store.save_alerting(name, 0, {}, [AlertEvent("new", alert)], {id_: found})
        for which, look in looks.items():
            pictures.keep(pictures.picture_path(data, id_, which), jpeg(look))


def open_page(driver: Chrome, api: Api, language: str) -> None:
    """Add an admin, log in as that one, in a browser that prefers the language."""
    admin = {"name": "anna", "password": PASSWORD, "role": "admin"}
    api.post("/users", admin).raise_for_status()
    agent = driver.execute_script("return navigator.userAgent")
    words = {"userAgent": agent, "acceptLanguage": language}
    driver.execute_cdp_cmd("Emulation.setUserAgentOverride", words)
    driver.get(f"http://127.0.0.1:{api.port}/")
    one(driver, "#user").send_keys("anna")
    one(driver, "#token").send_keys(PASSWORD)
    one(driver, "#login-submit").click()
    wait_until(lambda: is_live(driver), "a live page")


def show(driver: Chrome, name: str, width_px: int, theme: str) -> None:
    """Show a view, and return once its content is there."""
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    at_size(driver, width_px, SIZES[width_px][0])
    address = {"camera": "#camera/gate", "settings": "", "wall": ""}.get(name, f"#{name}")
    driver.execute_script("location.hash = arguments[0]", address)
    is_open = one(driver, "#add").is_displayed()
    if is_open and name != "settings":
        one(driver, "#add-cancel").click()
    if name == "settings" and not is_open:
        one(driver, "#camera-gate .settings").click()
    wait_until(lambda: driver.execute_script(IS_THERE[name]), f"the view {name}")
    driver.execute_script("scrollTo(0, 0)")  # the address names an element, too


def picture(driver: Chrome, width_px: int) -> bytes:
    """Return what the window shows as WebP, scaled as SIZES has it."""
    height_px, scale = SIZES[width_px]
    clip = {"x": 0, "y": 0, "width": width_px, "height": height_px, "scale": scale}
    asked = {"format": "webp", "quality": QUALITY, "clip": clip}
    return base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", asked)["data"])


if __name__ == "__main__":
    given = sys.argv[1:]
    draw(Path(given[0] if given else "docs/views"), given[1] if len(given) > 1 else "en")
