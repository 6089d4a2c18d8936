"""Every view, on a phone above all: it fits, fingers hit it, nothing jumps, and axe is content."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from lookout.service.core.messages import AlertEvent
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import with_wide_forms
from tests.e2e.browser import complaints
from tests.service.api_server import camera, fresh_api, report_online, show
from tests.service.page_browser import (
    SESSION,
    an_alert,
    at_size,
    chrome,
    is_live,
    one,
    overflow_px,
    page,
    preferring,
    small_targets,
    violations,
)
from tests.waiting import wait_until

__all__ = ["chrome", "fresh_api", "page"]

pytestmark = pytest.mark.browser

VIEWS = {
    "wall": ("#", "#cameras"),
    "camera": ("#camera/gate", "#camera-gate .in-words"),
    "review": ("#review", "#review-filters"),
    "system": ("#system", "#system-stages tr"),
    "accounts": ("#accounts", "#own tbody"),
}
"""Addresses, and what is seen where the view has its content."""

WIDTHS = (390, 1210, 2560)  # of a phone, of the narrowest page without a menu, of a wall
SHIFTS = """
    window.shifted = [];
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput, sources } of list.getEntries()) {
        const moved = sources.map(({ node }) => node?.id || node?.className || node?.nodeName);
        if (!hadRecentInput) shifted.push([value, ...moved]);
      }
    }).observe({ type: "layout-shift", buffered: true });"""
"""Keeps how far the layout jumped by itself, since the page was asked for, and what did."""

MOST_SHIFTED = 0.1  # "good", as browsers' makers have it: web.dev/articles/cls


@contextlib.contextmanager
def as_wide_as(driver: Chrome, width_px: int) -> Iterator[None]:
    at_size(driver, width_px, 844)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def open_view(driver: Chrome, name: str) -> None:
    address, content = VIEWS[name]
    driver.execute_script("location.hash = arguments[0]", address)
    script = "return document.querySelector(arguments[0])?.checkVisibility()"
    wait_until(lambda: driver.execute_script(script, content), name)


@pytest.mark.parametrize("language", with_wide_forms(["de-DE", "en-GB"], {"de-DE"}))
def test_every_view_fits_a_phone_and_its_controls_fit_a_finger(
    page: Chrome, store: Store, language: str
) -> None:
    store.add_camera(camera("a-camera-whose-name-is-as-long-as-names-may-be-which-is-64-chars"))
    store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert())])
    with preferring(page, language), as_wide_as(page, 390):
        wait_until(lambda: len(page.find_elements(By.CSS_SELECTOR, ".camera")) == 2, "cameras")
        for name in VIEWS:
            open_view(page, name)
            assert overflow_px(page) == 0, name
            assert small_targets(page) == [], name
        open_view(page, "wall")
        one(page, "#menu").click()
        wait_until(lambda: one(page, "#theme").is_displayed(), "the menu")
        assert small_targets(page) == []
        one(page, "#camera-gate .settings").click()
        fields = (By.CSS_SELECTOR, "#add-fields [name=url]")
        wait_until(lambda: page.find_elements(*fields), "the settings")
        assert overflow_px(page) == 0
        assert small_targets(page) == []
        one(page, "#add-cancel").click()
    assert complaints(page, "/picture", "live.mjpeg") == []


@pytest.mark.parametrize("theme", with_wide_forms(["light", "dark"], set()))
def test_axe_finds_nothing_in_any_view(page: Chrome, store: Store, theme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert())])
    with preferring(page, "de-DE"):
        for width_px in WIDTHS:
            with as_wide_as(page, width_px):
                for name in VIEWS:
                    open_view(page, name)
                    assert overflow_px(page) == 0, (name, width_px)
                    assert violations(page) == [], (name, width_px)


def is_read(driver: Chrome, reading: str) -> bool:
    script = "return document.querySelector('#camera-gate .reading').textContent"
    return bool(driver.execute_script(script) == reading)


@pytest.mark.parametrize("width_px", with_wide_forms([390, 1440], set()))
def test_nothing_jumps_while_a_view_is_loaded_and_scores_arrive(
    page: Chrome, bus: Bus, store: Store, width_px: int
) -> None:
    store.add_camera(camera("yard"))
    report_online(bus, "yard")
    store.save_alerting("gate", 0, {}, [AlertEvent("new", an_alert())])
    seqs = itertools.count(60)  # behind those of the page
    with as_wide_as(page, width_px):
        for name in VIEWS:
            page.execute_script("location.hash = arguments[0]", VIEWS[name][0])
            page.refresh()
            wait_until(lambda: is_live(page), "a live page")
            open_view(page, name)
            page.execute_script(SHIFTS)
            for value in (0.2, 0.95, 0.4):
                for camera_id in ("gate", "yard"):
                    show(bus, camera_id, next(seqs), value, session=SESSION)
                reading = f"{value:.2f}"
                wait_until(functools.partial(is_read, page, reading), reading)
            found = page.execute_script("return shifted")
            assert sum(value for value, *_ in found) < MOST_SHIFTED, (name, found)
