"""The review shows what answers suppress, its price, and what a suppressed alert is hidden by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from selenium.webdriver import Chrome

from lookout.models.arrays import packed
from lookout.models.scoring.alert_regions import AlertRegion
from lookout.models.scoring.look_alikes import FEATURES, AlertLook
from lookout.models.vision.overlay import jpeg
from lookout.service.core.messages import Alert, AlertAnswer, AlertEvent
from lookout.service.storage import pictures
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store
from lookout.service.storage.store.suppressions import Suppression
from tests.conftest import with_wide_forms
from tests.e2e.browser import complaints
from tests.service.api_server import Api, frame, fresh_api
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
FLAG = AlertRegion((0.2, 0.3, 0.1, 0.2), 0.5, 0.02, ["new place"])
LOOK = AlertLook(packed(np.array([7]), "<u2"), packed(np.zeros((1, FEATURES)), "i1"))
LIST = "#suppressions"


def an_alert(ago_s: float, **more: Any) -> Alert:
    at = NOW - ago_s
    name = f"gate:{int(at * 1000)}-1"
    return Alert(name, "gate", "closed", at, at + 5, 0.75, 0.9, at + 1, **more)


ANSWERED, REAL = an_alert(3), an_alert(2)
HIDDEN = an_alert(1, suppressed_by=ANSWERED.id)


@pytest.fixture
def review(page: Chrome, store: Store, fresh_api: Api) -> Iterator[Chrome]:
    """The review of a camera: a false alarm that suppresses, a real alert it hides, one hidden."""
    for alert in (ANSWERED, REAL, HIDDEN):
        regions = {alert.id: RegionRecord(open=[FLAG], open_look=LOOK)}
        store.save_alerting("gate", 0, {}, [AlertEvent("new", alert)], regions)
    store.answer_alert("gate", ANSWERED.id, lambda it: replace(it, verdict="false_alarm"))
    store.answer_alert("gate", REAL.id, lambda _: AlertAnswer(verdict="true"))
    taught = Suppression(
        ANSWERED.id, "anomaly", None, "false_alarm", NOW, "anna", NOW + 86_400, [FLAG], [LOOK]
    )
    store.suppress("gate", taught)
    folder = fresh_api.settings.data_dir
    pictures.keep(pictures.picture_path(folder, ANSWERED.id, "heat"), jpeg(frame("gate", 1).pixels))
    one(page, "#to-review").click()
    wait_until(lambda: len(listed(page)) == 3, "the alerts")
    yield page
    page.execute_script("location.hash = ''")


def choose(driver: Chrome, name: str, value: str) -> None:
    one(driver, f"#review-filters [name={name}]").choose(value)


@pytest.mark.wide
def test_a_suppressed_alert_is_found_and_says_what_hides_it(review: Chrome) -> None:
    assert not one(review, LIST).is_displayed()  # of no camera yet
    choose(review, "suppressed", "true")
    wait_until(lambda: listed(review) == [HIDDEN.id], "the suppressed one")
    assert texts(review, "#review-list .what") == ["peak 0.90 · new · suppressed"]
    said = one(review, "#review-detail .suppressed")
    wait_until(lambda: "answered as false alarm" in said.text, "what suppressed it")
    one(review, "#review-detail .suppressed button").click()
    item = f"{LIST} [data-suppression='{ANSWERED.id}']"
    wait_until(lambda: texts(review, f"{LIST}[open] li"), "the list")
    assert text(review, f"{item} .by").startswith("false alarm, by anna, ")
    wait_until(lambda: one(review, f"{item} img").get_property("naturalWidth") == 128, "a picture")
    picture, box = one(review, f"{item} img").rect, one(review, f"{item} .box").rect
    assert box["x"] - picture["x"] == pytest.approx(0.2 * picture["width"], abs=1)
    assert box["height"] == pytest.approx(0.2 * picture["height"], abs=1)
    assert complaints(review, "/picture") == []


def test_it_says_its_price_and_is_revoked(review: Chrome, store: Store) -> None:
    choose(review, "camera", "gate")
    wait_until(lambda: text(review, f"{LIST} summary") == "1 answer suppresses look-alikes", "it")
    one(review, f"{LIST} summary").click()
    wait_until(
        lambda: (
            text(review, f"{LIST} .price")
            == "Its price: it would have hidden 1 of 1 alert answered as real."
        ),
        "its price",
    )
    assert text(review, f"{LIST} .hidden-ones") == "It has hidden 1 alert."
    one(review, f"{LIST} li button").click()
    wait_until(lambda: not one(review, LIST).is_displayed(), "none any more")
    assert store.suppressions("gate") == {}
    assert store.alert_answers("gate", [ANSWERED.id])[0].verdict == "false_alarm"
    assert complaints(review, "/picture") == []


def test_an_answer_that_is_gone_says_so(review: Chrome, store: Store) -> None:
    assert store.drop_expired_alerts("gate", ANSWERED.opened_at + 0.5) == [ANSWERED.id]
    choose(review, "suppressed", "true")
    said = one(review, "#review-detail .suppressed")
    wait_until(lambda: "not kept any more" in said.text, "the reason")
    assert complaints(review, "404") == []


@pytest.mark.parametrize("theme", with_wide_forms(["light", "dark"], set()))
def test_it_fits_and_axe_finds_nothing(review: Chrome, theme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    review.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    choose(review, "camera", "gate")
    wait_until(lambda: one(review, LIST).is_displayed(), "the list")
    one(review, f"{LIST} summary").click()
    try:
        for width_px in (390, 1440):
            at_size(review, width_px)
            assert overflow_px(review) == 0, width_px
            assert violations(review) == [], width_px
    finally:
        review.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
