"""The page in a real browser, for tests: fixtures, and how to look at it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from axe_core_python.selenium import Axe  # type: ignore[import-untyped]
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from lookout.service.core.messages import Alert
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.e2e.browser import browser, complaints
from tests.service.api_server import Api, camera, report_online, show
from tests.waiting import wait_until

T = TypeVar("T")

SESSION = 1_700_000_000_000


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    with browser() as driver:
        yield driver


@pytest.fixture
def page(chrome: Chrome, fresh_api: Api, store: Store, bus: Bus) -> Iterator[Chrome]:
    """The page with one camera that has 50 scores."""
    store.add_camera(camera("gate"))
    report_online(bus, "gate")
    for seq in range(50):
        show(bus, "gate", seq, session=SESSION)
    complaints(chrome)  # what the tests before left unread
    chrome.get(f"http://127.0.0.1:{fresh_api.port}/")
    wait_until(lambda: is_live(chrome), "a live page")
    yield chrome
    chrome.get("about:blank")


@dataclass(frozen=True)
class Locator:
    """The first element that a CSS selector matches, found anew for each use.

    The page may replace an element between the moment in which it is found and that in which it is
    used: then it is found and used again.
    """

    driver: Chrome
    selector: str

    def do(self, act: Callable[[WebElement], T], tries: int = 20) -> T:
        """Return what `act` returns of the element. Raises NoSuchElementException."""
        for _ in range(tries - 1):
            try:
                return act(self.element)
            except StaleElementReferenceException:
                continue
        return act(self.element)

    @property
    def element(self) -> WebElement:
        """The element as it is now."""
        return self.driver.find_element(By.CSS_SELECTOR, self.selector)

    @property
    def text(self) -> str:
        """The text that can be seen."""
        return self.do(lambda element: element.text)

    @property
    def rect(self) -> dict[str, float]:
        """x, y, width and height in CSS pixels."""
        return self.do(lambda element: element.rect)

    def is_displayed(self) -> bool:
        """Return whether the element can be seen."""
        return self.do(lambda element: element.is_displayed())

    def is_enabled(self) -> bool:
        """Return whether the control can be used."""
        return self.do(lambda element: element.is_enabled())

    def get_attribute(self, name: str) -> str | None:
        """Return an attribute or property as text; None without one."""
        return self.do(lambda element: element.get_attribute(name))

    def get_property(self, name: str) -> Any:
        """Return a property; None without one."""
        return self.do(lambda element: element.get_property(name))

    def click(self) -> None:
        """Click it, as a person does: once it is there and nothing lies over it."""

        def is_clicked() -> bool:
            try:
                self.do(lambda element: element.click())
            except (ElementClickInterceptedException, ElementNotInteractableException):
                return False
            return True

        wait_until(is_clicked, f"{self.selector} can be clicked")

    def clear(self) -> None:
        """Empty the field."""
        self.do(lambda element: element.clear())

    def send_keys(self, keys: str) -> None:
        """Type into the field."""
        self.do(lambda element: element.send_keys(keys))

    def choose(self, value: str) -> None:
        """Choose the option of a select that has this value."""
        self.do(lambda element: Select(element).select_by_value(value))


def one(driver: Chrome, selector: str) -> Locator:
    return Locator(driver, selector)


def is_live(driver: Chrome) -> bool:
    """Return whether the page gets scores; a document that is being loaded has no body yet."""
    return bool(driver.find_elements(By.CSS_SELECTOR, "body[data-live=true]"))


def texts(driver: Chrome, selector: str) -> list[str]:
    """Return the text of each element, all at one moment.

    The page may replace any of them at the next.
    """
    script = (
        "return [...document.querySelectorAll(arguments[0])].map(node => node.innerText.trim())"
    )
    found: list[str] = driver.execute_script(script, selector)
    return found


def text(driver: Chrome, selector: str) -> str:
    return next(iter(texts(driver, selector)), "")


def an_alert(number: int = 5, state: Any = "open") -> Alert:
    at = SESSION + number / 10
    return Alert(f"gate:{SESSION}-{number}", "gate", state, at, None, 0.75, 0.9, at)


def listed(driver: Chrome) -> list[str]:
    """Return the ids of the alerts that the review lists, in its order."""
    script = (
        "return [...document.querySelectorAll('#review-list li')].map(row => row.dataset.alert)"
    )
    found: list[str] = driver.execute_script(script)
    return found


def look_again(page: Chrome) -> None:
    """Let the page load its lists now, and not seconds later."""
    page.execute_script("document.dispatchEvent(new Event('visibilitychange'))")


def ink(driver: Chrome) -> Any:
    """Return how many pixels of the curve are drawn; an empty canvas has none."""
    script = """
    const canvas = document.querySelector('#camera-gate canvas');
    if (!canvas) return 0;
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let n = 0;
    for (let i = 3; i < pixels.length; i += 4) n += pixels[i] > 0;
    return n;"""
    return driver.execute_script(script)


def violations(driver: Chrome) -> list[tuple[str, list[str]]]:
    """Return rule and elements of what axe finds."""
    found = Axe().run(driver)["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


def at_size(driver: Chrome, width_px: int, height_px: int = 900) -> None:
    """Change the window's size, and return once the page is laid out for it."""
    size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wait_until(lambda: driver.execute_script("return innerWidth") == width_px, "its width")
    two_frames = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
    driver.execute_async_script(two_frames)


def overflow_px(driver: Chrome) -> Any:
    """Return by how much the page is wider than its window."""
    script = "const d = document.documentElement; return d.scrollWidth - d.clientWidth;"
    return driver.execute_script(script)


def small_targets(driver: Chrome, least_px: int = 24) -> list[str]:
    """Return the controls that can be seen and are less wide or high than a finger needs.

    24 px is WCAG 2.2 AA, 2.5.8. A box to tick is as large as its label; a link in a sentence is
    excepted there, and there is none on the page.
    """
    script = """
    const controls = "a[href], button, input, select, summary, [role=button]";
    const found = [];
    for (const node of document.querySelectorAll(controls)) {
      const isSeen = node.checkVisibility({ visibilityProperty: true });
      if (!isSeen || node.closest(".for-readers")) continue;
      const label = node.matches("[type=checkbox], [type=radio]") && node.closest("label");
      const { width, height } = (label || node).getBoundingClientRect();
      if (Math.min(width, height) >= arguments[0] - 0.01) continue;
      found.push(`${width.toFixed(1)}x${height.toFixed(1)} ${node.outerHTML.slice(0, 120)}`);
    }
    return found;"""
    found: list[str] = driver.execute_script(script, least_px)
    return found


@contextlib.contextmanager
def preferring(driver: Chrome, languages: str) -> Iterator[None]:
    """The page, in a browser that prefers these languages."""
    agent = driver.execute_script("return navigator.userAgent")
    command = "Emulation.setUserAgentOverride"
    driver.execute_cdp_cmd(command, {"userAgent": agent, "acceptLanguage": languages})
    driver.refresh()
    wait_until(lambda: is_live(driver), "a live page")
    try:
        yield
    finally:
        driver.execute_cdp_cmd(command, {"userAgent": agent, "acceptLanguage": "en-US"})
        driver.execute_script("localStorage.clear()")
