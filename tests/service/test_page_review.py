"""The review: a day of a camera, filters, keys, pictures and clip, answers, and what is saved."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By

from lookout.models.scoring.alert_regions import AlertRegion
from lookout.models.scoring.alert_tracks import RegionTrack, TrackPoint
from lookout.models.vision.overlay import jpeg
from lookout.service.core.messages import Alert, AlertAnswer, AlertEvent
from lookout.service.storage import pictures
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store
from tests.conftest import with_wide_forms
from tests.e2e.browser import complaints
from tests.service.api_server import Api, camera, frame, fresh_api
from tests.service.page_browser import (
    at_size,
    chrome,
    listed,
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

NOW = time.time()


def opened(name: str, ago_s: float, peak: float = 0.9, **more: Any) -> Alert:
    at = NOW - ago_s
    given = {"closed_at": at + 5, "state": "closed", **more}
    return Alert(
        f"{name}:{int(at * 1000)}-1",
        name,
        opened_at=at,
        threshold=0.75,
        peak_value=peak,
        peak_at=at + 1,
        **given,
    )


NEWEST, LOW, OF_YARD, OLD = (
    opened("gate", 1),
    opened("gate", 2, 0.8),
    opened("yard", 3),
    opened("gate", 3 * 86_400),
)


@pytest.fixture
def review(page: Chrome, store: Store, fresh_api: Api) -> Iterator[Chrome]:
    """The review of today, with three alerts, and one of three days ago."""
    store.add_camera(camera("yard"))
    region = AlertRegion((0.2, 0.3, 0.1, 0.2), 0.5, 0.02)
    course = [TrackPoint(NOW + n, (0.2 + n / 10, 0.3, 0.1, 0.2)) for n in range(4)]
    regions = {NEWEST.id: RegionRecord(open=[region], tracks=[RegionTrack(course)])}
    for alert in (OLD, OF_YARD, LOW, NEWEST):
        store.save_alerting(alert.camera, 0, {}, [AlertEvent("new", alert)], regions)
    folder = fresh_api.settings.data_dir
    for which in ("heat", "open"):
        pictures.keep(
            pictures.picture_path(folder, NEWEST.id, which), jpeg(frame("gate", 1).pixels)
        )
    one(page, "#to-review").click()
    wait_until(lambda: len(listed(page)) == 3, "the alerts of today")
    yield page
    page.execute_script("location.hash = ''")


def selected(driver: Chrome) -> Any:
    script = "return document.querySelector('#review-list li:has([aria-current])')?.dataset.alert"
    return driver.execute_script(script)


def press(driver: Chrome, keys: str) -> None:
    ActionChains(driver).send_keys(keys).perform()


def choose(driver: Chrome, name: str, value: str) -> None:
    one(driver, f"#review-filters [name={name}]").choose(value)


def answer_of(store: Store, alert: Alert) -> AlertAnswer:
    return store.alert_answers(alert.camera, [alert.id])[0]


def test_alerts_are_filtered(review: Chrome) -> None:
    assert listed(review) == [NEWEST.id, LOW.id, OF_YARD.id]
    choose(review, "camera", "gate")
    wait_until(lambda: listed(review) == [NEWEST.id, LOW.id], "those of a camera")
    one(review, "[name=min_peak]").send_keys("0.85\n")
    wait_until(lambda: listed(review) == [NEWEST.id], "those with a peak")
    one(review, "[name=min_peak]").clear()
    review.execute_script(
        "const day = document.querySelector('[name=day]'); day.value = '';"
        "day.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    wait_until(lambda: listed(review) == [NEWEST.id, LOW.id, OLD.id], "those of every day")
    choose(review, "verdict", "true")
    wait_until(lambda: text(review, "#review-count") == "No alert", "none")
    assert not one(review, "#review-detail").is_displayed()
    one(review, "[name=min_peak]").send_keys("much\n")
    wait_until(lambda: "min_peak" in text(review, "#review-error"), "the refusal")
    assert complaints(review, "422", "/picture") == []


@pytest.mark.wide
def test_a_phone_shows_the_filters_that_are_set_and_the_rest_on_request(review: Chrome) -> None:
    def shown() -> list[str]:
        script = """return [...document.querySelectorAll("#review-filters [name]")]
            .filter((control) => control.checkVisibility()).map(({ name }) => name);"""
        return list(review.execute_script(script))

    every = shown()
    assert len(every) == 8
    assert not one(review, "#more-filters").is_displayed()
    try:
        at_size(review, 390, 844)
        assert shown() == ["camera", "day"]
        one(review, "#more-filters").click()
        assert one(review, "#more-filters").get_attribute("aria-expanded") == "true"
        assert shown() == every
        choose(review, "state", "closed")
        one(review, "#more-filters").click()
        assert shown() == ["camera", "day", "state"]
    finally:
        review.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_keys_go_through_the_list_and_answer(review: Chrome, store: Store) -> None:
    assert selected(review) == NEWEST.id
    shown = one(review, "#review-detail .heat")
    wait_until(lambda: shown.get_property("naturalWidth") == 128, "the picture")
    assert one(review, "#review-detail .open").is_displayed()
    press(review, "j")
    assert selected(review) == LOW.id
    press(review, "jjj")
    assert selected(review) == OF_YARD.id
    press(review, "k")
    press(review, "a")
    wait_until(lambda: answer_of(store, LOW).acknowledged_at, "seen")
    press(review, "2")
    wait_until(lambda: answer_of(store, LOW).verdict == "false_alarm", "the verdict")
    press(review, "n")
    press(review, "a cat\n")
    wait_until(lambda: answer_of(store, LOW).note == "a cat", "the note")
    one(review, "#review-detail .keep").click()
    wait_until(lambda: answer_of(store, LOW).keep, "it to be kept")
    wait_until(lambda: "false alarm" in texts(review, "#review-list .what")[1], "the row")
    one(review, "#review-seen").click()
    wait_until(lambda: answer_of(store, OF_YARD).acknowledged_at, "all seen")
    assert answer_of(store, OLD).acknowledged_at is None  # it is not listed
    assert complaints(review, "/picture") == []


@pytest.mark.wide
def test_what_stood_out_and_where_it_went_lies_over_the_pictures(review: Chrome) -> None:
    marks = "#review-detail figure:has(.open) svg"
    paths = f"return document.querySelectorAll('{marks} path').length"
    assert review.execute_script(paths) == 6  # a box, a line and a dot, each with a halo
    shown = one(review, "#review-detail .open")
    wait_until(lambda: shown.get_property("naturalWidth") == 128, "the picture")
    middle = """
    const of = (one) => document.querySelector(one).getBoundingClientRect();
    const [dot, picture] = [of(arguments[0]), of(arguments[1])];
    return [(dot.x + dot.width / 2 - picture.x) / picture.width,
            (dot.y + dot.height / 2 - picture.y) / picture.height];"""
    at = review.execute_script(middle, f"{marks} .dot.line", "#review-detail .open")
    assert at == pytest.approx([0.55, 0.4], abs=0.01)
    one(review, "#review-detail .marks").click()
    assert review.execute_script(paths) == 0
    press(review, "j")  # an alert of which nothing is known
    wait_until(lambda: not one(review, "#review-detail .marked").is_displayed(), "nothing to show")


def test_a_day_has_a_curve_with_its_alerts_and_a_table(review: Chrome, store: Store) -> None:
    minute = int(NOW // 60)
    store.note_peaks("gate", {minute: 0.9, minute + 1: 0.3})
    choose(review, "camera", "gate")
    wait_until(lambda: len(texts(review, "#review-marks .mark")) == 2, "the marks")
    one(review, f"#review-marks [data-alert='{LOW.id}']").send_keys("\n")
    wait_until(lambda: selected(review) == LOW.id, "its alert")
    one(review, "#review-day summary").click()
    rows = texts(review, "#review-hours tr")
    assert any("0.90" in row and row.endswith("2") for row in rows), rows
    assert review.execute_script("return !!document.querySelector('#review-curve canvas')")


def test_what_is_listed_is_saved(review: Chrome, store: Store) -> None:
    store.answer_alert("gate", LOW.id, lambda _: AlertAnswer(note='=SUM("a",1)'))
    choose(review, "camera", "gate")
    wait_until(lambda: len(listed(review)) == 2, "the list")
    script = """
    const blobs = [];
    URL.createObjectURL = (blob) => { blobs.push(blob); return "#review"; };
    for (const id of ["#review-json", "#review-csv"]) document.querySelector(id).click();
    return Promise.all(blobs.map((blob) => blob.text()));"""
    as_json, as_csv = review.execute_script(script)
    assert [alert["id"] for alert in json.loads(as_json)] == [NEWEST.id, LOW.id]
    rows = list(csv.DictReader(io.StringIO(as_csv)))
    assert [row["id"] for row in rows] == [NEWEST.id, LOW.id]
    assert rows[1]["note"] == '\'=SUM("a",1)'  # no formula of a spreadsheet
    assert float(rows[0]["peak_value"]) == 0.9


def test_an_alert_that_opens_meanwhile_is_listed_and_the_choice_stays(
    review: Chrome, store: Store
) -> None:
    press(review, "j")
    now = opened("gate", 0, state="open", closed_at=None)
    store.save_alerting("gate", 0, {}, [AlertEvent("new", now)])
    wait_until(lambda: listed(review)[0] == now.id, "the new one")
    assert selected(review) == LOW.id


@pytest.mark.wide
def test_a_curve_that_is_still_as_wide_as_before_does_not_widen_the_page(
    review: Chrome, store: Store
) -> None:
    store.note_peaks("gate", {int(NOW // 60): 0.2})
    choose(review, "camera", "gate")
    wait_until(lambda: len(texts(review, "#review-marks .mark")) == 2, "the day")
    keep_wide = "for (const box of arguments) box.style.minWidth = '1400px';"
    plots = review.find_elements(By.CSS_SELECTOR, "#review-curve .uplot, #review-marks")
    assert len(plots) == 2
    try:
        review.execute_script(keep_wide, *plots)
        at_size(review, 390)
        assert overflow_px(review) == 0
    finally:
        review.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("theme", with_wide_forms(["light", "dark"], set()))
def test_it_fits_and_axe_finds_nothing(review: Chrome, store: Store, theme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    review.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    store.note_peaks("gate", {int(NOW // 60) - ago: 0.2 for ago in range(300)})
    choose(review, "camera", "gate")
    wait_until(lambda: len(texts(review, "#review-marks .mark")) == 2, "the day")
    try:
        for width_px in (390, 1440):
            at_size(review, width_px)
            assert overflow_px(review) == 0, width_px
            assert violations(review) == [], width_px
    finally:
        review.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
