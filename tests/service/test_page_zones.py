"""Zones drawn on a camera's picture: by mouse, by keys, and what the server refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from lookout.models.scoring.alert_regions import AlertRegion
from lookout.models.vision.overlay import jpeg
from lookout.service.core.camera import AlertSettings, BudgetSettings, ZoneSettings
from lookout.service.core.messages import AlertEvent
from lookout.service.storage import pictures
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store
from tests.e2e.browser import complaints
from tests.service.api_server import Api, fresh_api
from tests.service.page_browser import an_alert, chrome, is_live, one, page, text, texts, violations
from tests.waiting import wait_until

__all__ = ["chrome", "fresh_api", "page"]

pytestmark = pytest.mark.browser

Place = tuple[float, float]


def open_settings(driver: Chrome) -> None:
    """Open the settings of `gate`, with its picture in sight."""
    wait_until(lambda: is_live(driver), "a live page")
    one(driver, "#camera-gate .settings").click()
    wait_until(lambda: texts(driver, "zone-editor .new-zone"), "the editor")
    wait_until(lambda: one(driver, ".zone-screen img").is_displayed(), "the picture")
    driver.execute_script("document.querySelector('.zone-screen').scrollIntoView()")


def over(driver: Chrome, place: Place) -> ActionChains:
    """Return actions that begin with the mouse over a place of the picture."""
    screen = one(driver, ".zone-screen svg").element
    x = round(screen.size["width"] * (place[0] - 0.5))
    y = round(screen.size["height"] * (place[1] - 0.5))
    return ActionChains(driver).move_to_element_with_offset(screen, x, y)


def click(driver: Chrome, *places: Place) -> None:
    for place in places:
        over(driver, place).click().perform()


def complained(driver: Chrome) -> list[str]:
    """Return the console's errors, but that ingest has fallen silent: no live picture comes."""
    return complaints(driver, "live.mjpeg")


def drawn(driver: Chrome) -> Any:
    """Return the zones that the form would send, with corners to a hundredth."""
    script = """
    const zones = JSON.parse(document.querySelector("[name=zones]").value || "[]");
    const near = (point) => point.map((share) => Math.round(share * 100) / 100);
    return zones.map(({ name, kind, points }) => [name, kind, points.map(near)]);"""
    return driver.execute_script(script)


def test_a_mask_is_drawn_saved_and_found_again(page: Chrome, store: Store, fresh_api: Api) -> None:
    open_settings(page)
    one(page, ".new-zone").click()
    one(page, ".zone-name").clear()
    one(page, ".zone-name").send_keys("tree")
    click(page, (0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6), (0.2, 0.2))
    square = [[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.6]]
    wait_until(lambda: drawn(page) == [["tree", "ignore", square]], "a square that closes")
    over(page, (0.6, 0.6)).click_and_hold().perform()
    over(page, (0.8, 0.7)).release().perform()
    square[2] = [0.8, 0.7]
    wait_until(lambda: drawn(page)[0][2] == square, "the corner that was dragged")
    over(page, (0.4, 0.2)).click_and_hold().perform()
    over(page, (0.4, 0.1)).release().perform()
    square.insert(1, [0.4, 0.1])
    wait_until(lambda: drawn(page)[0][2] == square, "the corner that was added in a middle")
    over(page, (0.2, 0.6)).double_click().perform()
    square.pop()
    wait_until(lambda: drawn(page)[0][2] == square, "the corner that was removed")
    one(page, "#add-submit").click()
    wait_until(lambda: store.camera("gate").zones, "the zone")
    (zone,) = fresh_api.get("/cameras/gate").json()["zones"]
    assert (zone["name"], zone["kind"], len(zone["points"])) == ("tree", "ignore", 4)

    page.refresh()
    open_settings(page)
    assert drawn(page) == [["tree", "ignore", square]]
    assert one(page, ".zone-screen path").get_attribute("class") == "ignore "
    one(page, ".remove-zone").click()
    one(page, "#add-submit").click()
    wait_until(lambda: store.camera("gate").zones == [], "no zone")
    assert complained(page) == []


@pytest.mark.wide
def test_a_watched_zone_with_its_policy_is_made_by_keys_alone(page: Chrome, store: Store) -> None:
    open_settings(page)
    one(page, ".new-zone").send_keys(Keys.ENTER)
    Select(one(page, ".zone-kind").element).select_by_visible_text("watch")
    for number, place in enumerate(((0.1, 0.1), (0.9, 0.1), (0.5, 0.9)), 1):
        one(page, ".add-corner").send_keys(Keys.ENTER)
        for axis, share in zip("xy", place, strict=True):
            field = one(page, f"[aria-label='{axis} of corner {number} of zone-1']")
            field.clear()
            field.send_keys(str(share))
    for title, value in (("Threshold", ""), ("Alarms a day", "2"), ("Hysteresis", "0.2")):
        one(page, f"[aria-label='{title} of zone zone-1']").send_keys(value + Keys.TAB)
    one(page, "#add-submit").send_keys(Keys.ENTER)
    wait_until(lambda: store.camera("gate").zones, "the zone")
    policy = AlertSettings(hysteresis=0.2, alarm_budget=BudgetSettings(per_day=2))
    assert store.camera("gate").zones == [
        ZoneSettings(
            name="zone-1", kind="watch", points=[[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]], alert=policy
        )
    ]
    assert complained(page) == []


@pytest.mark.wide
def test_a_refused_polygon_is_shown_at_its_zone_with_the_crossing(
    page: Chrome, store: Store
) -> None:
    open_settings(page)
    for bow in (
        ((0.1, 0.1), (0.2, 0.1), (0.2, 0.2)),
        ((0.4, 0.4), (0.8, 0.8), (0.8, 0.4), (0.4, 0.8)),
    ):
        one(page, ".new-zone").click()
        click(page, *bow, bow[0])
    one(page, "#add-submit").click()
    wait_until(lambda: "crosses" in text(page, ".zone[data-selected] .error"), "the refusal")
    assert "crosses or touches itself at (0.6" in text(page, "#add-error")
    assert texts(page, ".zone .error")[0] == ""
    assert one(page, ".zone[data-selected] .zone-name").get_property("value") == "zone-2"
    assert page.find_elements(By.CSS_SELECTOR, ".zone-screen .cross")
    assert violations(page) == []
    one(page, "[aria-label='Remove corner 4 of zone-2']").click()
    one(page, "#add-submit").click()
    wait_until(lambda: len(store.camera("gate").zones) == 2, "the zones")
    assert ["422" in line for line in complained(page)] == [True]


@pytest.mark.wide
def test_drawing_ends_with_escape_and_the_form_stays(page: Chrome) -> None:
    open_settings(page)
    one(page, ".new-zone").click()
    click(page, (0.1, 0.1), (0.2, 0.1))
    over(page, (0.3, 0.3)).send_keys(Keys.ESCAPE).perform()
    wait_until(lambda: drawn(page) == [], "no zone")
    assert one(page, "#add").is_displayed()
    assert complained(page) == []


def flags(store: Store, api: Api, count: int) -> None:
    """Write alerts of a flag with their pictures, of which a person called the first one true."""
    region = AlertRegion((0.25, 0.25, 0.125, 0.25), 0.1, 0.03)
    epoch = store.begin_alerting("gate")
    for number in range(count):
        alert = an_alert(number, "closed")
        record = {alert.id: RegionRecord([region], [region])}
        store.save_alerting("gate", epoch, {}, [AlertEvent("new", alert)], record)
        picture = jpeg(np.full((96, 128, 3), 90, np.uint8))
        pictures.keep(pictures.picture_path(api.settings.data_dir, alert.id), picture)
    answer = {"verdict": "true"}
    assert api.patch(f"/alerts/{an_alert(0).id}", answer).status_code == 200


def test_a_mask_that_is_offered_is_shown_with_its_price_and_applied_or_not(
    page: Chrome, store: Store, fresh_api: Api
) -> None:
    flags(store, fresh_api, 7)
    open_settings(page)
    wait_until(lambda: texts(page, ".offer .spared"), "the offer")
    assert text(page, ".offer .spared").startswith("6 alerts showed nothing else; 0 of them")
    assert text(page, ".offer .price") == "It would have hidden 1 true event."
    loaded = "return [...document.querySelectorAll('.offer img')].map((one) => one.naturalWidth)"
    wait_until(lambda: page.execute_script(loaded) == [128, 128], "both pictures")
    assert violations(page) == []
    assert drawn(page) == []
    one(page, ".dismiss-offer").click()
    wait_until(lambda: not texts(page, ".offer"), "it is dismissed")
    assert not one(page, ".offers").is_displayed()
    page.refresh()  # another page knows nothing of it
    open_settings(page)
    wait_until(lambda: texts(page, ".apply-offer"), "the offer")
    one(page, "[aria-label='Apply mask offered-1']").click()
    corners = [[0.24, 0.24], [0.38, 0.24], [0.38, 0.51], [0.24, 0.51]]
    wait_until(lambda: drawn(page) == [["offered-1", "ignore", corners]], "the zone")
    assert store.camera("gate").zones == []  # before it is saved
    one(page, "#add-submit").click()
    wait_until(lambda: store.camera("gate").zones, "the zone is saved")
    wait_until(lambda: not one(page, "#add").is_displayed(), "the form is closed")
    open_settings(page)
    assert drawn(page) == [["offered-1", "ignore", corners]]
    assert not texts(page, ".offer")
    assert complained(page) == []
