"""A camera's own view: alone and live, in plain words, its curve over hours and days."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome

from lookout.service.core.messages import AlertEvent, IngestReport
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.e2e.browser import complaints
from tests.service.api_server import camera, fresh_api, report_online
from tests.service.page_browser import (
    an_alert,
    at_size,
    chrome,
    is_live,
    look_again,
    one,
    overflow_px,
    page,
    text,
    texts,
    violations,
)
from tests.waiting import wait_until

__all__ = ["chrome", "fresh_api", "page"]

pytestmark = pytest.mark.browser

ROWS = """
    const body = document.querySelector("#camera-gate .for-readers tbody");
    return [...body.rows].map((row) => [...row.cells].map((cell) => cell.textContent));"""

RED = """
    const canvas = document.querySelector("#camera-gate .curve canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height / 4);
    let found = 0;
    for (let i = 0; i < data.length; i += 4) {
      found += data[i + 3] > 200 && data[i] > 150 && data[i + 1] < 120;
    }
    return found;"""
"""How many pixels at the top of the curve are as red as the beginning of an alert's mark."""


def rows(driver: Chrome) -> Any:
    return driver.execute_script(ROWS)


def open_view(driver: Chrome) -> None:
    one(driver, "#camera-gate .name a").click()
    wait_until(lambda: text(driver, "#camera-gate .in-words"), "the view")


def choose_range(driver: Chrome, name: str) -> None:
    one(driver, "#camera-gate .range").choose(name)


def test_a_camera_is_shown_alone_live_and_in_words(page: Chrome, store: Store, bus: Bus) -> None:
    store.add_camera(camera("yard"))
    report_online(bus, "yard")
    of_yard = replace(an_alert(7), id="yard:1700000000000-7", camera="yard")
    for alert in (an_alert(), of_yard):
        store.save_alerting(alert.camera, 0, {}, [AlertEvent("new", alert)])
    wait_until(lambda: len(texts(page, ".alert .name")) == 2, "both alerts")
    open_view(page)
    assert not one(page, "#camera-yard").is_displayed()
    wait_until(lambda: bus.pictures_asked("gate"), "the live picture is asked for")
    assert one(page, f"[data-alert='{an_alert().id}']").is_displayed()
    assert not one(page, f"[data-alert='{of_yard.id}']").is_displayed()
    assert text(page, "#camera-gate .in-words").startswith("Watched: its frames are scored")
    bus.report_ingest("gate", IngestReport("reconnecting", time.time(), 1, "no route to host"))
    look_again(page)
    wait_until(lambda: "does not answer" in text(page, "#camera-gate .in-words"), "the words")
    page.refresh()
    wait_until(lambda: is_live(page) and text(page, "#camera-gate .in-words"), "the same view")
    one(page, "#to-wall").click()
    wait_until(lambda: one(page, "#camera-yard").is_displayed(), "the wall")
    assert not one(page, "#camera-gate .in-words").is_displayed()
    assert complaints(page, "/picture", "live.mjpeg") == []


@pytest.mark.wide
def test_the_curve_goes_over_hours_and_days_and_closer(page: Chrome, store: Store) -> None:
    minute = int(time.time() // 60)
    store.note_peaks("gate", {minute - ago: 0.2 for ago in range(2000)})
    opened = replace(an_alert(), opened_at=(minute - 90) * 60.0, closed_at=(minute - 85) * 60.0)
    store.save_alerting("gate", 0, {}, [AlertEvent("end", replace(opened, state="closed"))])
    open_view(page)
    choose_range(page, "hours")
    wait_until(lambda: len(rows(page)) in (6, 7), "six hours")
    wait_until(lambda: sum(int(row[2]) for row in rows(page)) == 1, "the alert, in the table")
    assert wait_until(lambda: page.execute_script(RED), "its mark") > 10
    coarse = rows(page)
    one(page, "#camera-gate .zoom-in").click()
    wait_until(lambda: rows(page) != coarse, "three hours")
    one(page, "#camera-gate .zoom-out").click()
    wait_until(lambda: rows(page) == coarse, "six hours again")
    over = one(page, "#camera-gate .curve .u-over").element
    width = over.size["width"]
    drawn = ActionChains(page).move_to_element_with_offset(over, -width // 4, 0).click_and_hold()
    drawn.move_by_offset(width // 8, 0).release().perform()
    wait_until(lambda: rows(page) != coarse, "what was drawn over")
    assert one(page, "#camera-gate .zoom-out").is_enabled()
    assert ": 0.20" in text(page, "#camera-gate .curve-at")
    ActionChains(page).double_click(over).perform()
    wait_until(lambda: rows(page) == coarse, "all of it")
    one(page, "#camera-gate .earlier").click()
    wait_until(lambda: coarse[-1] not in (rows(page) or coarse), "three hours ago")
    one(page, "#camera-gate .later").click()
    wait_until(lambda: not one(page, "#camera-gate .later").is_enabled(), "now")
    choose_range(page, "week")
    wait_until(lambda: len(rows(page)) in (2, 3), "the days")
    assert violations(page) == []
    at_size(page, 390)
    try:
        assert overflow_px(page) == 0
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert complaints(page, "/picture", "live.mjpeg") == []
