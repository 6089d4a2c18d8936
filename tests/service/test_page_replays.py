"""The review replays recordings: asked for, followed, cancelled, and what was found."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from lookout.models.vision.overlay import jpeg
from lookout.service.core.errors import Reason, reason_fields
from lookout.service.core.replay import (
    OtherThreshold,
    ReplayAlert,
    ReplayJob,
    ReplayOptions,
    ReplayReport,
    StrangeMinute,
)
from lookout.service.learning.footage import footage_folder
from lookout.service.learning.worker import run
from lookout.service.storage.replay_files import ReplayFiles
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import with_wide_forms
from tests.e2e.browser import complaints
from tests.kept_footage import film, keep, write_source
from tests.service.api_server import RTSP, Api, camera, frame, fresh_api
from tests.service.page_browser import (
    Locator,
    at_size,
    chrome,
    one,
    overflow_px,
    page,
    preferring,
    text,
    texts,
    violations,
)
from tests.tiny import write_tiny
from tests.waiting import wait_until

__all__ = ["chrome", "fresh_api", "page"]

pytestmark = pytest.mark.browser

REPORT = ReplayReport(
    camera="gate",
    recording="monday.mp4",
    model="square",
    frames=900,
    scored=880,
    left_out={"window": 20},
    duration_s=3723.5,
    threshold=0.7,
    notes=["the recording is of another size"],
    alerts=[
        ReplayAlert(
            zone="door",
            opened_s=60.0,
            peak_s=61.0,
            closed_s=70.0,
            peak_value=0.95,
            threshold=0.7,
            picture="alert-001.jpg",
        )
    ],
    alerts_opened=1,
    minutes=[
        StrangeMinute(begins_s=60.0, peak_s=61.0, peak_value=0.95, picture="minute-01.jpg"),
        StrangeMinute(begins_s=3600.0, peak_s=3661.0, peak_value=0.41, picture="minute-02.jpg"),
    ],
    thresholds=[
        OtherThreshold(threshold=0.5, alerts=3, open_s=41.25),
        OtherThreshold(threshold=0.7, alerts=1, open_s=10.0),
    ],
)


def write_result(folder: Path, job: ReplayJob) -> None:
    """Write what a replay that is done leaves."""
    files = ReplayFiles.of(folder, job).files
    files.mkdir(parents=True)
    for picture in ("alert-001.jpg", "minute-01.jpg", "minute-02.jpg"):
        (files / picture).write_bytes(jpeg(frame("gate", 1).pixels))
    (files / "scores.csv").write_text("at_s,value\n0.0,0.1\n")
    (files / "report.json").write_text(REPORT.model_dump_json())


@pytest.fixture
def replays(page: Chrome, fresh_api: Api) -> Iterator[Locator]:
    """The replays of a camera in the review; `monday.mp4` is in the media folder."""
    (fresh_api.settings.media_dir / "monday.mp4").write_bytes(b"footage")
    one(page, "#to-review").click()
    assert not one(page, "#replays").is_displayed()  # of no camera yet
    choose_gate(page)
    shown = one(page, "#replays summary")
    wait_until(shown.is_displayed, "its replays")
    shown.click()
    yield one(page, "#replays")
    page.execute_script("location.hash = ''")


def choose_gate(page: Chrome) -> None:
    wait_until(lambda: "gate" in texts(page, "#review-filters option"), "the camera")
    one(page, "#review-filters [name=camera]").choose("gate")


def save(store: Store, job: ReplayJob, **changes: object) -> ReplayJob:
    """Change a job as the learning stage does."""
    assert store.save_replay(job, replace(job, **changes))  # type: ignore[arg-type]
    return store.replay(job.id)


def test_a_replay_is_asked_for_followed_and_cancelled(
    replays: Locator, page: Chrome, store: Store
) -> None:
    one(page, "#replays [name=video]").send_keys("gone.mp4\n")
    wait_until(lambda: "no such file" in text(page, "#replays > .error"), "the refusal")
    one(page, "#replays [name=video]").clear()
    one(page, "#replays .of-file [name=threshold]").send_keys("0.7")
    one(page, "#replays [name=video]").send_keys("monday.mp4\n")
    wait_until(lambda: texts(page, "#replays .video") == ["monday.mp4"], "the replay")
    assert not one(page, "#replays > .error").is_displayed()
    assert text(page, "#replays .options") == "threshold 0.70"
    assert text(page, "#replays .state").startswith("waits for its turn")
    save(store, store.replay("gate:replay-1"), state="running", progress=0.4)
    wait_until(lambda: text(page, "#replays .state").startswith("scored 40 %"), "its progress")
    one(page, "#replays .cancel").click()
    wait_until(lambda: text(page, "#replays .state") == "cancelled", "the end")
    assert not one(page, "#replays .cancel").is_displayed()
    assert store.replay("gate:replay-1").state == "cancelled"
    assert complaints(page, "422") == []


@pytest.mark.wide
def test_the_reason_of_a_replay_is_in_the_readers_language(
    replays: Locator, page: Chrome, store: Store
) -> None:
    job = store.add_replay(ReplayJob("gate", "queued", 0.0, 0.0, "monday.mp4"))
    gone = Reason("the files of the job are gone", code="job_files_gone")
    save(store, job, state="failed", **reason_fields("reason", gone))
    with preferring(page, "de"):
        choose_gate(page)
        one(page, "#replays summary").click()
        said = "gescheitert · Die Dateien des Auftrags sind fort."
        wait_until(lambda: text(page, "#replays .state") == said, "the reason")


@pytest.mark.parametrize("theme", with_wide_forms(["light", "dark"], set()))
def test_what_was_found_is_shown(
    replays: Locator, page: Chrome, store: Store, fresh_api: Api, theme: str
) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    one(page, "#replays [name=video]").send_keys("monday.mp4\n")
    wait_until(lambda: text(page, "#replays .video") == "monday.mp4", "the replay")
    job = store.replay("gate:replay-1")
    write_result(fresh_api.settings.data_dir, job)
    save(store, job, state="done", progress=1.0)
    summary = one(page, "#replays details summary")
    wait_until(summary.is_displayed, "its result")
    summary.click()
    minutes = ["00:01:01 · peak 0.95", "01:01:01 · peak 0.41"]
    wait_until(lambda: texts(page, ".minutes figcaption") == minutes, "the minutes")
    assert text(page, "#replays .facts") == "880 of 900 frames scored, 01:02:03 long, by square"
    assert text(page, "#replays .warnings") == REPORT.notes[0]
    assert text(page, "#replays .found") == "1 alert at the threshold 0.70"
    assert texts(page, "#replays .alerts figcaption") == ["door, 00:01:01 · peak 0.95"]
    rows = [row.split("\t") for row in texts(page, "#replays tbody tr")]
    assert rows == [["0.50", "3", "41.3 s"], ["0.70", "1", "10.0 s"]]
    saved = one(page, "#replays [data-file='scores.csv']").get_attribute("href") or ""
    assert fresh_api.http.get(saved).text.startswith("at_s,value")
    picture = one(page, ".minutes img")
    wait_until(lambda: picture.get_property("naturalWidth") == 128, "a picture")
    try:
        for width_px in (390, 1440):
            at_size(page, width_px)
            assert overflow_px(page) == 0, width_px
            assert violations(page) == [], width_px
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert complaints(page) == []


def test_a_recording_is_uploaded_and_named_as_the_one_to_replay(
    replays: Locator, page: Chrome, fresh_api: Api, tmp_path: Path
) -> None:
    clip = tmp_path / "früh am [1] Tor.mp4"
    clip.write_bytes(bytes(500_000))
    one(page, "#replays [name=file]").send_keys(str(clip))
    name = "uploads/fr_h am _1_ Tor.mp4"
    video = one(page, "#replays [name=video]")
    wait_until(lambda: video.get_property("value") == name, "its name")
    assert (fresh_api.settings.media_dir / name).stat().st_size == 500_000
    uploading = one(page, "#replays .uploading")
    wait_until(lambda: not uploading.is_displayed(), "the upload is over")
    options = page.find_elements("css selector", "#replayed option")
    assert name in [option.get_property("value") for option in options]
    one(page, "#replays [name=file]").send_keys(str(clip))
    wait_until(lambda: "already" in text(page, "#replays > .error"), "a name that is taken")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    one(page, "#replays [name=file]").send_keys(str(empty))
    wait_until(lambda: text(page, "#replays > .error") == "The recording is empty.", "the refusal")
    assert complaints(page, "409", "422") == []


def fill_period(page: Chrome, begins: str, ends: str) -> None:
    """Fill in the fields of a period, as a date picker does."""
    for name, value in {"from": begins, "to": ends}.items():
        page.execute_script(f"document.querySelector('#replays [name={name}]').value = '{value}'")


@pytest.mark.wide
def test_a_period_is_asked_for_in_the_viewers_zone(
    replays: Locator, page: Chrome, store: Store
) -> None:
    page.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    try:
        fill_period(page, "2026-07-02T06:00", "2026-07-01T22:00")
        one(page, "#replays .of-period button").click()
        wait_until(lambda: "before it begins" in text(page, "#replays > .error"), "the refusal")
        fill_period(page, "2026-07-01T22:00", "2026-07-02T06:00")
        one(page, "#replays .of-period button").click()
        wait_until(lambda: texts(page, "#replays .video"), "the replay")
    finally:
        page.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})
    job = store.replay("gate:replay-1")
    began = datetime.datetime(2026, 7, 1, 13, tzinfo=datetime.UTC).timestamp()
    assert ReplayOptions.model_validate_json(job.options).began_at == began
    assert job.until == began + 8 * 3600
    assert complaints(page, "422") == []


@pytest.mark.wide
@pytest.mark.timeout(240)
def test_the_learning_stage_replays_what_the_page_asks_for(
    page: Chrome, fresh_api: Api, store: Store, tmp_path: Path
) -> None:
    """An upload, what is no video, and a period: nothing of the results is written by the test."""
    settings = fresh_api.settings
    write_tiny(settings.model_folders[0])
    store.add_camera(camera("yard", model="tiny", score="paper", calibration="model"))
    begins_s = time.time() // 60 * 60 - 600
    kept = footage_folder(settings.data_dir, "yard")
    keep(kept, [begins_s])
    write_source(kept.parent, RTSP)
    clip = film(tmp_path / "clip.mkv")
    no_video = tmp_path / "text.mp4"
    no_video.write_text("no video")
    one(page, "#to-review").click()
    wait_until(lambda: "yard" in texts(page, "#review-filters option"), "the camera")
    one(page, "#review-filters [name=camera]").choose("yard")
    one(page, "#replays summary").click()
    states = "#replays .replay-list > li:first-child .state"
    with stage.working(run, settings):
        upload(page, no_video)
        one(page, "#replays .of-file [type=submit]").click()
        wait_until(lambda: text(page, states).startswith("failed"), "the refusal", 60)
        assert "text.mp4 cannot be opened as a video" in text(page, states)
        upload(page, clip)
        one(page, "#replays .of-file [type=submit]").click()
        wait_until(lambda: text(page, states).startswith("done"), "its end", 60)
        local = "new Date(1000 * %d - 6e4 * new Date().getTimezoneOffset()).toISOString()"
        fields = [page.execute_script(f"return {local % at}") for at in (begins_s, begins_s + 300)]
        fill_period(page, *(field[:16] for field in fields))
        one(page, "#replays .of-period button").click()
        wait_until(lambda: len(texts(page, "#replays .replay-list > li")) == 3, "the period")
        wait_until(lambda: text(page, states).startswith("done"), "its end", 60)
    assert found_by(page, 1).startswith("16 of 20 frames scored")
    assert found_by(page, 2).startswith("36 of 40 frames scored")
    notes = text(page, "#replays .replay-list > li:first-child .warnings")
    assert "of 5 minutes are kept, in 1 segments" in notes
    assert complaints(page) == []


def upload(page: Chrome, path: Path) -> None:
    """Upload a file, and wait until it is named as the recording to replay."""
    one(page, "#replays [name=file]").send_keys(str(path))
    video = one(page, "#replays [name=video]")
    wait_until(lambda: video.get_property("value") == f"uploads/{path.name}", "its name")


def found_by(page: Chrome, place: int) -> str:
    """Open a result, wait for its facts and a picture, and return the facts."""
    result = f"#replays .replay-list > li:nth-child({place})"
    one(page, f"{result} summary").click()
    wait_until(lambda: text(page, f"{result} .facts"), "what was found")
    picture = one(page, f"{result} .minutes img")
    wait_until(lambda: picture.get_property("naturalWidth"), "a picture")
    return text(page, f"{result} .facts")
