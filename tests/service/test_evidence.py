"""Clips and pictures of alerts, from real cameras and from files, whatever is killed."""

from __future__ import annotations

import hashlib
import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lookout.models.media.clip_writer import ClipOutput
from lookout.models.media.packet_ring import seconds_of
from lookout.service.core.evidence import ClipRecord, EvidenceRequest
from lookout.service.core.messages import Alert, Frame
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.process import DecoderProcess
from lookout.service.ingest.evidence.evidence_maker import Codec, EvidenceMaker, Packets
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.clips import clip_path, hash_path
from lookout.service.storage.pictures import Which, picture_path
from lookout.service.storage.store.store import Store
from tests.clips import number_in, write_clip
from tests.conftest import Urls, with_long_forms
from tests.ingest_line import Reader, camera, settings_for, start_decoder, wait_for_state, working
from tests.rtsp import rtsp_server
from tests.waiting import wait_until

SIDE_PX = (320, 240)
CODECS = {
    "h264": ("clip.mp4", "libx264", "yuv420p", {"g": "10", "bf": "0"}),
    "h265": ("clip.hevc.mp4", "libx265", "yuv420p", {"x265-params": "keyint=10:log-level=none"}),
    "mjpeg": ("clip.avi", "mjpeg", "yuvj420p", {"q": "3"}),
}
TAGS = {"h264": "avc1", "h265": "hvc1", "mjpeg": "mp4v"}


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, urls.bus, urls.store, clips_free_mb=0)


def source(folder: Path, codec: str, frames: int = 600) -> Path:
    name, encoder, pix_fmt, options = CODECS[codec]
    numbers = range(frames)
    return write_clip(
        folder / name, numbers, size_px=SIDE_PX, codec=encoder, pix_fmt=pix_fmt, options=options
    )


def an_alert(frame: Frame, seconds: float = 1.0, peak_s: float = 0.5) -> Alert:
    """An alert that opened at a frame, and closed."""
    at = frame.captured_at
    alert_id = f"{frame.camera}:{frame.id}"
    return Alert(alert_id, frame.camera, "closed", at, at + seconds, 0.5, 0.9, at + peak_s)


def ask(bus: Bus, store: Store, alert: Alert) -> None:
    """Ask for a clip from 1 s before to 0.5 s after the alert."""
    now = time.time()
    store.begin_clip(alert.camera, alert.id, ClipRecord("pending", due_at=now + 60))
    bus.ask_evidence(alert.camera, EvidenceRequest.of(alert, 1.0, 0.5, 20.0, now))


def clip_of(store: Store, alert: Alert) -> ClipRecord:
    (record,) = store.alert_clips(alert.camera, [alert.id])
    return record


def wait_for_clip(store: Store, alert: Alert) -> ClipRecord:
    wait_until(lambda: clip_of(store, alert).state != "pending", "a clip", 30.0)
    return clip_of(store, alert)


def pictures_in(path: Path) -> list[int]:
    """The numbers of a clip's pictures, every one decoded."""
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [
            number_in(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)) for frame in frames
        ]


def picture(settings: Settings, alert: Alert, which: Which) -> int:
    """The number of an alert's clean picture, which has the source's size."""
    pixels = cv2.imread(str(picture_path(settings.data_dir, alert.id, which)))
    assert pixels is not None
    assert pixels.shape == (SIDE_PX[1], SIDE_PX[0], 3)
    return number_in(np.asarray(pixels, np.uint8))


def check_clip(settings: Settings, alert: Alert, record: ClipRecord) -> list[int]:
    """The clip is whole and its hash fits; the numbers of its pictures."""
    assert record.state == "ready", record.error
    path = clip_path(settings.data_dir, alert.id)
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == record.sha256
    assert hash_path(path).read_text() == f"{record.sha256}  {path.name}\n"
    assert len(content) == record.size_bytes
    numbers = pictures_in(path)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert record.seconds == pytest.approx((len(numbers) - 1) / 10, abs=0.1)
    return numbers


@pytest.mark.rtsp
@pytest.mark.parametrize("codec", with_long_forms(CODECS, {"h264"}))
def test_a_cameras_alert_has_a_clip_and_clean_pictures(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path, codec: str
) -> None:
    with rtsp_server(source(tmp_path, codec)) as url, working(settings):
        store.add_camera(camera("a", url))
        frames = Reader(bus, "a").read_until(25)
        alert = an_alert(frames[20])
        ask(bus, store, alert)
        record = wait_for_clip(store, alert)
        wait_until(lambda: not bus.evidence_requests("a"), "the request to be done")
    numbers = check_clip(settings, alert, record)
    opened = number_in(frames[20].pixels)
    assert numbers[0] <= opened - 10
    assert numbers[-1] >= opened + 14
    begins_at = frames[20].captured_at - (opened - numbers[0]) / 10
    assert record.begins_at == pytest.approx(begins_at, abs=0.3)
    assert picture(settings, alert, "open") == opened
    assert abs(picture(settings, alert, "peak") - opened - 5) <= 1
    with av.open(str(clip_path(settings.data_dir, alert.id))) as container:
        assert container.streams.video[0].codec_context.codec_tag == TAGS[codec]
    assert bus.counters("a")["clips_written"] == 1


@pytest.mark.rtsp
def test_a_stream_that_ends_gives_what_it_had(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    with rtsp_server(source(tmp_path, "h264", 30)) as url:
        reader = Reader(bus, "a")
        decoder = start_decoder(bus, camera("a", url), settings)
        alert = an_alert(reader.read_until(20)[10], seconds=10.0)
        ask(bus, store, alert)
        wait_until(lambda: decoder.exit_code() is not None, "the stream's end", 20.0)
        decoder.close()
    numbers = check_clip(settings, alert, clip_of(store, alert))
    assert numbers[-1] == 29


@pytest.mark.parametrize("codec", with_long_forms(CODECS, {"h264"}))
def test_a_files_alert_has_a_clip_and_clean_pictures(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path, codec: str
) -> None:
    path = source(tmp_path / "media", codec, 60)
    with working(settings):
        store.add_camera(camera("a", path))
        frames = Reader(bus, "a").read_until(60)
        wait_for_state(bus, "a", "ended")
        alert = an_alert(frames[34])
        ask(bus, store, alert)
        record = wait_for_clip(store, alert)
    numbers = check_clip(settings, alert, record)
    assert numbers[0] == (24 if codec == "mjpeg" else 20)
    assert 49 <= numbers[-1] <= 52
    assert picture(settings, alert, "open") == 34
    assert picture(settings, alert, "peak") == 39


def test_a_file_that_was_played_anew_has_no_clip_of_former_alerts(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    path = source(tmp_path / "media", "h264", 60)
    with working(settings):
        store.add_camera(camera("a", path))
        frame = Reader(bus, "a").read_until(60)[34]
        former = Alert(f"a:{frame.session - 1}-34", "a", "closed", 1.0, 2.0, 0.5, 0.9, 1.5)
        ask(bus, store, former)
        record = wait_for_clip(store, former)
    assert (record.state, record.error) == ("failed", "the file was played anew since")
    assert bus.counters("a")["clips_failed"] == 1


def test_a_file_that_is_gone_has_no_clip(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = source(tmp_path / "media", "h264", 60)
    with working(settings):
        store.add_camera(camera("a", path))
        frame = Reader(bus, "a").read_until(60)[34]
        wait_for_state(bus, "a", "ended")
        path.unlink()
        alert = an_alert(frame)
        ask(bus, store, alert)
        record = wait_for_clip(store, alert)
    assert (record.state, record.error) == (
        "failed",
        "there is no such file in the media folder",
    )
    assert "Traceback" not in capfd.readouterr().err


def test_what_is_gone_or_failed_gets_no_clip(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    with av.open(str(source(tmp_path, "h264", 30))) as container:
        stream = container.streams.video[0]
        maker = EvidenceMaker("a", Codec.of(stream), settings, bus, store)
        coded = [packet for packet in container.demux(stream) if packet.size]
        packets = Packets(coded, [1000.0 + seconds_of(packet) for packet in coded])
        gone, failed, asked = (
            Alert(f"a:1000-{number}", "a", "closed", 1001.0, 1002.0, 0.5, 0.9, 1001.5)
            for number in range(3)
        )
        for alert in (failed, asked):
            store.begin_clip("a", alert.id, ClipRecord("pending", due_at=2000.0))
        store.end_clip("a", failed.id, ClipRecord("failed", error="it was removed"))
        for alert in (gone, failed, asked):
            request = EvidenceRequest.of(alert, 1.0, 0.5, 20.0, 1003.0)
            maker.clip(request, packets, ClipOutput(stream))
    there = [clip_path(settings.data_dir, one.id).exists() for one in (gone, failed, asked)]
    assert there == [False, False, True]
    assert [clip_of(store, alert).state for alert in (gone, failed)] == ["none", "failed"]
    check_clip(settings, asked, clip_of(store, asked))


@pytest.mark.rtsp
def test_a_full_disk_stops_clips_alone(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    full = settings.model_copy(update={"clips_free_mb": 2**40})
    with rtsp_server(source(tmp_path, "h264")) as url, working(full):
        store.add_camera(camera("a", url))
        reader = Reader(bus, "a")
        alert = an_alert(reader.read_until(15)[12], seconds=0.1)
        ask(bus, store, alert)
        record = wait_for_clip(store, alert)
        reader.read_until(len(reader.frames) + 10)
    assert record.state == "failed"
    assert "LOOKOUT_CLIPS_FREE_MB" in record.error
    assert reader.misses_nothing


def whole_clips(settings: Settings) -> Sequence[Path]:
    """Every clip that has its name: each plays, and its hash is beside it."""
    paths = list((settings.data_dir / "clips").glob("*/[!.]*.mp4"))
    for path in paths:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert hash_path(path).read_text().split() == [digest, path.name]
        words = ["-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"]
        answer = subprocess.run(
            ["ffprobe", "-v", "error", *words, str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert not answer.stderr
        assert int(answer.stdout.strip().strip(",")) > 0
    return paths


def kill_while_clips_are_written(
    settings: Settings, bus: Bus, store: Store, url: str, kills: int
) -> None:
    """Kill decoders, one after the other, soon after each has begun to write a clip."""
    seed = random.Random(5)
    folder = settings.data_dir / "clips"
    for _ in range(kills):
        before = set(folder.rglob("*"))
        decoder = start_decoder(bus, camera("a", url), settings)
        reader = Reader(bus, "a")
        reader.read()  # what earlier decoders wrote
        first = len(reader.frames)
        frames = reader.read_until(first + 12, 30.0)
        for frame in frames[first + 3 : first + 12]:
            ask(bus, store, an_alert(frame, seconds=0.2))
        wait_until(lambda: set(folder.rglob("*")) - before, "a clip that is begun", 30.0)  # noqa: B023
        kill_after(decoder, seed.random() * 0.5)


def kill_after(decoder: DecoderProcess, seconds: float) -> None:
    """Kill a decoder after some time, and wait for its end."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, "the moment of the kill")
    decoder.kill()
    wait_until(lambda: decoder.exit_code() is not None, "its end")
    decoder.close()


@pytest.mark.rtsp
@pytest.mark.ffprobe
def test_killed_at_any_moment_it_leaves_whole_clips_or_none(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    with rtsp_server(source(tmp_path, "h264")) as url:
        kill_while_clips_are_written(settings, bus, store, url, 1)
    whole_clips(settings)


@pytest.mark.rtsp
@pytest.mark.ffprobe
@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_a_hundred_times_it_leaves_whole_clips_or_none(
    settings: Settings, bus: Bus, store: Store, tmp_path: Path
) -> None:
    with rtsp_server(source(tmp_path, "h264")) as url:
        kill_while_clips_are_written(settings, bus, store, url, 100)
    assert len(whole_clips(settings)) > 10
