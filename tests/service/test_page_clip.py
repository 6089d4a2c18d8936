"""An alert's clip in a real browser: it is offered once it is there, and it plays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import pytest
from selenium.webdriver import Chrome

from lookout.models.media.clip_writer import ClipOutput
from lookout.models.scoring.alert_regions import AlertRegion
from lookout.models.vision.overlay import jpeg
from lookout.service.core.evidence import ClipRecord
from lookout.service.core.messages import AlertEvent
from lookout.service.storage import pictures
from lookout.service.storage.clips import clip_path, keep_clip
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store
from tests.clips import write_clip
from tests.e2e.browser import complaints
from tests.service.api_server import Api, frame, fresh_api
from tests.service.page_browser import an_alert, chrome, one, page, text
from tests.waiting import wait_until

__all__ = ["chrome", "fresh_api", "page"]

pytestmark = pytest.mark.browser


def a_clip(folder: Path) -> bytes:
    """A clip of H.264 as ingest writes it, 3 s of 320x240."""
    path = write_clip(folder / "clip.mp4", range(30), size_px=(320, 240), options={"bf": "2"})
    with av.open(str(path), "r") as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        return ClipOutput(stream).write(packets).content


def test_a_clip_is_offered_once_it_is_there_and_plays(
    page: Chrome, store: Store, fresh_api: Api, tmp_path: Path
) -> None:
    alert = an_alert()
    data_dir = fresh_api.settings.data_dir
    pictures.keep(pictures.picture_path(data_dir, alert.id), jpeg(frame("gate", 5).pixels))
    region = AlertRegion((0.1, 0.1, 0.2, 0.2), 0.4, 0.04, ["new place"])
    regions = {alert.id: RegionRecord(peak=[region])}
    store.save_alerting("gate", 0, {}, [AlertEvent("new", alert)], regions)
    store.begin_clip("gate", alert.id, ClipRecord("pending", due_at=4e9))
    wait_until(lambda: text(page, ".alert .badge") == "open now", "the alert")
    assert not one(page, ".alert .play").is_displayed()
    digest = keep_clip(clip_path(data_dir, alert.id), a_clip(tmp_path))
    store.end_clip("gate", alert.id, ClipRecord("ready", seconds=2.9, sha256=digest))
    store.save_alerting("gate", 0, {}, [AlertEvent("end", an_alert(state="closed"))])
    wait_until(lambda: one(page, ".alert .play").is_displayed(), "the clip to be offered", 20.0)
    assert text(page, ".alert .traits") == "new place"
    one(page, ".alert .play").click()
    clip = one(page, "#large-clip")
    wait_until(lambda: clip.get_property("videoWidth") == 320, "the clip's pictures")
    wait_until(lambda: float(str(clip.get_property("currentTime"))) > 0.3, "the clip to play")
    one(page, "#large button").click()
    wait_until(lambda: not clip.is_displayed(), "the end of it")
    assert complaints(page) == []


def test_a_camera_that_is_not_watched_is_told_in_words_and_without_a_picture(
    page: Chrome, store: Store
) -> None:
    alert = replace(an_alert(), kind="unwatched", detail="no score for 60 s")
    store.save_alerting("gate", 0, {}, [AlertEvent("new", alert)])
    wait_until(lambda: text(page, ".alert .peak") == "unwatched: no score for 60 s", "the alert")
    assert not one(page, ".alert img").is_displayed()
    assert complaints(page) == []
