"""`make demo` as a newcomer sees it: the page in a browser, the cyclist as an alert, Ctrl-C."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from lookout.models.checkpoint.header import read_header
from lookout.service.core.settings import SHIPPED_MODELS
from lookout.service.demo.scene import write_demo_video
from tests.clips import write_clip
from tests.e2e.browser import browser, complaints
from tests.e2e.service_process import Output, command
from tests.service.api_server import TOKEN
from tests.waiting import wait_until

DRAWN_LIMIT_S = 150.0  # the scene is drawn meanwhile: seconds on a quiet machine
ALERT_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0


@dataclass(frozen=True)
class Demo:
    output: Output
    address: str
    processes: list[psutil.Process]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.address}/api/v1{path}", timeout=10).raise_for_status()


@pytest.fixture
def scene(tmp_path: Path) -> None:
    """Draw ten seconds of the scene where the demo looks for the whole."""
    write_demo_video(tmp_path / "demo" / "media" / "square.mp4", seconds=10)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with command(["demo"], data_dir=tmp_path) as (process, output):
        address = output.wait_for("Lookout is at ", DRAWN_LIMIT_S).split()[-1]
        main = psutil.Process(process.pid)
        yield Demo(output, address, [main, *main.children(recursive=True)])


def alerts_on(page: Chrome) -> int:
    """Alerts in the list whose picture has been loaded."""
    pictures = page.find_elements(By.CSS_SELECTOR, "#alert-list .alert img")
    return sum(is_loaded(picture) for picture in pictures)


def is_loaded(picture: WebElement) -> bool:
    return picture.get_property("naturalWidth") not in (0, None)


def points(page: Chrome) -> int:
    found = page.find_elements(By.CSS_SELECTOR, "#camera-demo")
    return int(found[0].get_attribute("data-points") or 0) if found else 0


@pytest.mark.browser
@pytest.mark.long  # beside other tests, frames of the live camera drop
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_the_cyclist_is_an_alert_on_the_page_within_a_minute(demo: Demo) -> None:
    demo.output.wait_for("The first score came after ", DRAWN_LIMIT_S)
    began_at = time.monotonic()
    with browser() as page:
        page.get(demo.address)
        wait_until(lambda: points(page) >= 50, "fifty points are on the curve", 40)
        ordinary = demo.get("/cameras/demo/scores?limit=1000").json()["items"][:50]
        assert max(score["value"] for score in ordinary) < 0.5
        wait_until(
            lambda: alerts_on(page) > 0, "the alert is on the page with its picture", ALERT_LIMIT_S
        )
        assert time.monotonic() - began_at < ALERT_LIMIT_S
        before = points(page)
        wait_until(lambda: points(page) > before, "the curve moves on")
        heat = page.find_elements(By.CSS_SELECTOR, "#camera-demo .picture[data-kind=heatmap]")
        assert is_loaded(heat[0])
        assert complaints(page) == []
        if folder := os.environ.get("LOOKOUT_SCREENSHOT_DIR"):
            page.save_screenshot(str(Path(folder) / "page.png"))
    (first,) = demo.get("/alerts").json()["items"][-1:]
    frame = int(first["id"].rpartition("-")[2])
    assert 150 <= frame <= 200  # the cyclist comes in at 15 s
    demo.output.wait_for("ALERT", 5)
    assert any("scores, the newest: value" in line for line in demo.output.lines)


@pytest.mark.long  # make test has the demo of the wheel, which ends by Ctrl-C too
@pytest.mark.alone
@pytest.mark.usefixtures("scene")
def test_ctrl_c_ends_every_process_in_time(demo: Demo) -> None:
    wait_until(lambda: demo.get("/cameras/demo").json()["scores"] > 0, "scores come", 20)
    processes = [*demo.processes, *demo.processes[0].children(recursive=True)]
    began = time.monotonic()
    os.killpg(demo.processes[0].pid, signal.SIGINT)
    _, alive = psutil.wait_procs(processes, timeout=STOP_LIMIT_S)
    assert alive == []
    assert time.monotonic() - began < STOP_LIMIT_S


@pytest.mark.long
@pytest.mark.alone
def test_a_video_of_ones_own(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "own.mp4", range(40), fps=4, size_px=(64, 48))
    with command(["demo", str(clip)], data_dir=tmp_path / "data", token=TOKEN) as (_, output):
        output.wait_for("Lookout is at ")
        output.wait_for("camera demo: learning")
        output.wait_for("scores, the newest: learning")
        assert " scores, of 300 to learn from." in output.wait_for("The video ended after ")
    assert not any(TOKEN in line for line in output.lines)


def test_a_video_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with command(["demo", "nowhere.mp4"], data_dir=tmp_path) as (process, output):
        output.wait_for("lookout: there is no file nowhere.mp4", 20)
        assert process.wait(10) == 1


def test_the_shipped_checkpoint_is_small_calibrated_and_says_how_it_was_made() -> None:
    path = SHIPPED_MODELS / "square.safetensors"
    header = read_header(path)
    assert path.stat().st_size <= 8_000_000
    assert header.config["width"] <= 32
    assert header.calibration is not None
    assert header.provenance["command"].startswith("lookout train --model mnad-pred")
