"""A person's first evening with Lookout, in a browser: from an address typed wrong to a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By

from lookout.service.demo.scene import Scene, StagedEvent, write_clip
from tests.e2e.browser import browser, complaints
from tests.e2e.service_process import Service, running_service
from tests.service.page_browser import is_live, one, text
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(480)]

SECONDS = 150.0  # of the recording
STRANGE = (StagedEvent("cyclist", 70.0), StagedEvent("van", 95.0), StagedEvent("runner", 120.0))
LEARN_FRAMES = 150  # of ten a second
MASK = ((0.05, 0.8), (0.25, 0.8), (0.25, 0.95), (0.05, 0.95))  # a corner of paving


def test_a_camera_is_added_learns_gets_a_mask_and_an_alert_that_outlives_a_restart(
    tmp_path: Path,
) -> None:
    media, data = tmp_path / "media", tmp_path / "data"
    media.mkdir()
    write_clip(media / "square.mp4", Scene(3, STRANGE), SECONDS)
    settings = {"media_dir": media, "learn_frames": LEARN_FRAMES, "clip_after_s": 1, "threads": 1}
    with browser() as page:
        with running_service(data, **settings) as service:
            page.get(service.address)
            wait_until(lambda: is_live(page), "a live page")
            add_by_the_form(page, media)
            draw_a_mask(page)
            watch_it_learn(page)
            alert = see_the_anomaly(page)
            open_the_clip(page, alert)
            acknowledge(page, alert)
            assert complaints(page, "422", "live.mjpeg") == []
        with running_service(data, **settings) as service:
            page.get(service.address)
            wait_until(lambda: is_live(page), "a live page")
            find_it_still_there(page, service, alert)


def add_by_the_form(page: Chrome, media: Path) -> None:
    """Enter a wrong address, read what is wrong with it at the field, and enter the right one."""
    one(page, "#add-open").click()
    fields = (By.CSS_SELECTOR, "#add-fields [name=url]")
    wait_until(lambda: page.find_elements(*fields), "the fields")
    one(page, "[name=id]").send_keys("square")
    one(page, "[name=url]").send_keys(str(media / "sqare.mp4"))
    one(page, "#add-submit").click()
    wait_until(lambda: text(page, "#wrong-url"), "what is wrong")
    assert text(page, "#wrong-url") == "There is no such file in the media folder."
    one(page, "[name=url]").clear()
    one(page, "[name=url]").send_keys(str(media / "square.mp4"))
    one(page, "#add-submit").click()
    wait_until(lambda: not one(page, "#add").is_displayed(), "the form to close", 30)
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, "#camera-square"), "the card")


def draw_a_mask(page: Chrome) -> None:
    """Draw a polygon on the picture of the camera, and save it."""
    picture = one(page, "#camera-square .picture")
    wait_until(lambda: picture.get_property("naturalWidth"), "a picture", 60)
    one(page, "#camera-square .settings").click()
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, ".zone-screen svg"), "the editor", 30)
    screen = one(page, ".zone-screen svg").element

    def has_aspect() -> bool:
        """A still as the model sees it is square; the live picture follows, at its own aspect."""
        size = screen.size
        return bool(size["height"] and abs(size["width"] / size["height"] - 384 / 288) < 0.02)

    wait_until(has_aspect, "the live picture", 60)
    one(page, ".new-zone").click()
    page.execute_script("document.querySelector('.zone-screen').scrollIntoView()")
    width, height = screen.size["width"], screen.size["height"]
    for x, y in (*MASK, MASK[0]):
        at = round(width * (x - 0.5)), round(height * (y - 0.5))
        ActionChains(page).move_to_element_with_offset(screen, *at).click().perform()
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, ".zone-screen path.ignore"), "a mask")
    one(page, "#add-submit").click()
    wait_until(lambda: not one(page, "#add").is_displayed(), "the form to close", 30)


def watch_it_learn(page: Chrome) -> None:
    """See how much of what is normal it has learned, until it is watched."""
    bounds = "#camera-square .bounds"
    wait_until(lambda: f"of {LEARN_FRAMES} frames" in text(page, bounds), "the progress", 60)
    bar = one(page, f"{bounds} progress")
    wait_until(lambda: float(str(bar.get_property("value"))) > 0.3, "it to grow", 60)
    wait_until(lambda: text(page, "#summary").startswith("1 of 1 watched"), "it to watch", 90)


def see_the_anomaly(page: Chrome) -> str:
    """Return the id of the first alert, once its picture is there."""
    shown = "return document.querySelector('#alert-list .alert img')?.naturalWidth > 0"
    wait_until(lambda: page.execute_script(shown), "an alert with its picture", 150)
    rows = page.find_elements(By.CSS_SELECTOR, "#alert-list .alert")
    return str(rows[-1].get_attribute("data-alert"))


def open_the_clip(page: Chrome, alert: str) -> None:
    """Play the clip of the alert, and close it."""
    play = one(page, f"[data-alert='{alert}'] .play")
    wait_until(play.is_displayed, "the clip to be offered", 90)
    play.click()
    clip = one(page, "#large-clip")
    wait_until(lambda: float(str(clip.get_property("currentTime"))) > 0.2, "the clip to play", 30)
    assert clip.get_property("videoWidth") == 384
    one(page, "#large button").click()


def acknowledge(page: Chrome, alert: str) -> None:
    """Press "Seen" on the alert."""
    one(page, f"[data-alert='{alert}'] .seen").click()
    row = one(page, f"[data-alert='{alert}']")
    wait_until(lambda: row.get_attribute("data-seen") == "true", "it to be seen")


def find_it_still_there(page: Chrome, service: Service, alert: str) -> None:
    """Find the camera, its mask, the alert with the answer, and its clip."""
    row = one(page, f"[data-alert='{alert}']")
    wait_until(lambda: page.find_elements(By.CSS_SELECTOR, f"[data-alert='{alert}']"), "the alert")
    assert row.get_attribute("data-seen") == "true"
    (zone,) = service.camera("square")["zones"]
    assert zone["kind"] == "ignore"
    corners = [corner for point in zone["points"] for corner in point]
    assert corners == pytest.approx([share for point in MASK for share in point], abs=0.01)
    open_the_clip(page, alert)
    state = (By.CSS_SELECTOR, "#camera-square[data-state=online], #camera-square[data-state=ended]")
    wait_until(lambda: page.find_elements(*state), "what was learned", 60)
