"""A disk that is full while a camera is watched: clips stop, alerts go on, clips come again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lookout.service.alerting.alert_pictures import AlertPictures
from lookout.service.alerting.worker import AlertingWorker
from lookout.service.api.alert_views import ClipView
from lookout.service.api.alerts import with_evidence
from lookout.service.core.messages import Alert
from lookout.service.core.settings import Settings
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.clips import clip_path
from lookout.service.storage.pictures import picture_path
from lookout.service.storage.store.store import Store
from tests.chaos import disk
from tests.conftest import Urls
from tests.ingest_line import Reader, camera, settings_for, working
from tests.owning import add_scores
from tests.rtsp import rtsp_server
from tests.service.api_server import heat, score
from tests.service.test_evidence import check_clip, source
from tests.waiting import wait_until

DISK_MB = 8


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_MB of its own."""
    folder = tmp_path / "disk"
    if reason := disk.mount(folder, DISK_MB):
        pytest.skip(f"no file system can be mounted here: {reason}")
    yield folder
    disk.unmount(folder)


@pytest.fixture
def settings(urls: Urls, tmp_path: Path, small_disk: Path) -> Settings:
    changes = {"clips_free_mb": 0, "clip_before_s": 0.5, "clip_after_s": 0.1, "clip_most_s": 4.0}
    made = settings_for(tmp_path, urls.bus, urls.store, **changes)
    return made.model_copy(update={"data_dir": small_disk})


@dataclass
class WatchedCamera:
    """A camera whose frames come from ingest, with scores of this test's own, and alerting."""

    settings: Settings
    bus: Bus
    store: Store
    reader: Reader
    scored: int = 0

    def __post_init__(self) -> None:
        assignment = Assignment("alerting", self.bus, open_leases(self.settings, "alerting"))
        pictures = AlertPictures(self.settings.data_dir, self.bus)
        args = (self.settings, self.bus, self.store, assignment, self.store.cameras, pictures)
        self._alerting = AlertingWorker(*args)

    def show(self, values: Sequence[float]) -> None:
        """Wait for as many frames as there are values, and give them these scores."""
        frames = self.reader.read_until(self.scored + len(values))[self.scored :][: len(values)]
        for frame, value in zip(frames, values, strict=True):
            made = score("a", frame.seq, value, session=frame.session, at=frame.captured_at)
            add_scores(self.bus, [(made, heat("a", frame.seq, session=frame.session))])
            self._alerting.step()
        self.scored += len(values)

    def alert(self) -> tuple[Alert, ClipView]:
        """Have an alert open and close; return it with its clip as the API shows it."""
        while not (opened := self.store.open_alerts("a")):
            self.show([0.9])
        while self.store.open_alerts("a"):
            self.show([0.1])
        alert = self.store.alert("a", opened[0].id)
        wait_until(lambda: self.clip(alert).state != "pending", "an end of its clip", 20.0)
        return alert, self.clip(alert)

    def clip(self, alert: Alert) -> ClipView:
        """Return an alert's clip as the API shows it."""
        (answer,) = self.store.alert_answers("a", [alert.id])
        (view,) = with_evidence(self.store, [(alert, answer)])
        return view.clip


@pytest.mark.rtsp
def test_a_full_disk_costs_clips_and_pictures_until_there_is_room_again(
    settings: Settings,
    bus: Bus,
    store: Store,
    tmp_path: Path,
    small_disk: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    with rtsp_server(source(tmp_path, "h264", 200)) as url, working(settings):
        store.add_camera(camera("a", url))
        watched = WatchedCamera(settings, bus, store, Reader(bus, "a"))
        watched.show([0.1])
        filler = disk.fill(small_disk)
        poor, no_clip = watched.alert()
        filler.unlink()
        rich, clip = watched.alert()
    assert (poor.state, no_clip.state) == ("closed", "failed")
    assert no_clip.error == "it could not be written: No space left on device"
    assert f"alert {poor.id} opens without a picture" in caplog.text
    assert not clip_path(small_disk, poor.id).exists()
    assert (rich.state, clip.state) == ("closed", "ready")
    check_clip(settings, rich, store.alert_clips("a", [rich.id])[0])
    assert picture_path(small_disk, rich.id).is_file()
    assert bus.counters("a")["clips_failed"] == bus.counters("a")["clips_written"] == 1
    assert watched.reader.misses_nothing


@pytest.mark.wide
@pytest.mark.rtsp
def test_a_disk_with_less_free_than_clips_may_leave_says_which_setting(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    spare = settings.model_copy(update={"clips_free_mb": DISK_MB // 2})
    with rtsp_server(source(tmp_path, "h264", 200)) as url, working(spare):
        store.add_camera(camera("a", url))
        watched = WatchedCamera(spare, bus, store, Reader(bus, "a"))
        block = spare.data_dir / "other-files"
        block.write_bytes(bytes(DISK_MB * 2**20 * 3 // 4))
        poor, no_clip = watched.alert()
        block.unlink()
        rich, clip = watched.alert()
    assert no_clip.error == "the disk is nearly full (LOOKOUT_CLIPS_FREE_MB)"
    assert picture_path(spare.data_dir, poor.id).is_file()
    assert clip.state == "ready"
    assert clip_path(spare.data_dir, rich.id).is_file()
    assert caplog.text.count("alerts open without clips") == 1
