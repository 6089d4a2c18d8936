"""A camera's card shows what training left out, for a yes or no."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from selenium.webdriver import Chrome

from lookout.models.vision.overlay import jpeg
from lookout.service.core.jobs import LeftOut
from lookout.service.storage import pictures
from lookout.service.storage.store.store import Store
from tests.e2e.browser import complaints
from tests.service.api_server import Api, fresh_api
from tests.service.page_browser import chrome, look_again, one, page, texts, violations
from tests.waiting import wait_until

__all__ = ["chrome", "fresh_api", "page"]

pytestmark = pytest.mark.browser

CARD = "#camera-gate .left-out"


def pressed(driver: Chrome) -> list[str]:
    """The answers that are shown, from the strangest segment on."""
    return texts(driver, f"{CARD} button[aria-pressed=true]")


@pytest.mark.wide
def test_what_training_left_out_is_answered_on_the_card(
    page: Chrome, store: Store, fresh_api: Api
) -> None:
    fresh_api.post("/cameras/gate/learn", {})
    queued = store.job("gate:1")
    look_again(page)
    wait_until(lambda: "waiting" in one(page, "#camera-gate .job").text, "the job")
    assert not one(page, CARD).is_displayed()  # nothing is judged yet

    strange = [LeftOut(f"100-{n}", 1, 1_700_000_000.0 + n, 2.1, 20.0 + n) for n in (1, 2)]
    store.save_left_out("gate", strange)
    picture = jpeg(np.full((64, 64, 3), 90, np.uint8))
    for segment in strange:
        at = pictures.left_out_picture_path(fresh_api.settings.data_dir, "gate", segment.id)
        pictures.keep(at, picture)
    assert store.save_job(queued, replace(queued, state="training", left_out=2))
    look_again(page)
    summary = one(page, f"{CARD} summary")
    wait_until(summary.is_displayed, "what was left out")
    assert summary.text == "2 strange segments left out: normal or not?"
    summary.click()
    wait_until(lambda: texts(page, f"{CARD} .psnr") == ["21.0 dB", "22.0 dB"], "the segments")
    wait_until(lambda: one(page, f"{CARD} img").get_property("naturalWidth") == 64, "a picture")
    assert violations(page) == []

    one(page, f"{CARD} li:first-child [data-answer=drop]").click()
    wait_until(lambda: pressed(page) == ["Not normal"], "the first answer")
    one(page, f"{CARD} li:last-child [data-answer=include]").click()
    wait_until(lambda: pressed(page) == ["Not normal", "Normal"], "the second answer")
    assert [one.answer for one in store.left_out("gate").values()] == ["drop", "include"]
    one(page, f"{CARD} li:last-child [data-answer=include]").click()
    wait_until(lambda: pressed(page) == ["Not normal"], "the second one taken back")
    assert store.left_out("gate")["100-2"].answer is None
    page.refresh()
    wait_until(lambda: texts(page, f"{CARD}:not([hidden]) summary"), "the card again")
    one(page, f"{CARD} summary").click()
    wait_until(lambda: pressed(page) == ["Not normal"], "the answer that was kept")
    assert complaints(page) == []


@pytest.mark.wide
def test_a_list_that_is_empty_says_so(page: Chrome, store: Store, fresh_api: Api) -> None:
    fresh_api.post("/cameras/gate/learn", {})
    queued = store.job("gate:1")
    assert store.save_job(queued, replace(queued, state="training", left_out=3))
    look_again(page)
    summary = one(page, f"{CARD} summary")
    wait_until(summary.is_displayed, "what was left out")
    summary.click()
    hint = one(page, f"{CARD} .hint")
    wait_until(lambda: hint.text == "None is kept any more.", "an empty list")
