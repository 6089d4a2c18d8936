"""The ingest stage with real decoders: it follows the store, and keeps cameras apart."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.store import Store
from tests.clips import number_in, write_clip
from tests.conftest import Urls
from tests.hostile_rtsp import PASSWORD, RtspClient, Script, hostile_server
from tests.ingest_line import (
    Reader,
    camera,
    settings_for,
    wait_for_state,
    working,
    write_header_only,
)
from tests.refusing import refusing_redis
from tests.waiting import wait_until

DECODER = ["lookout:", "decoder"]  # a decoder's title begins so


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, urls.bus, urls.store)


@pytest.fixture
def endless(settings: Settings) -> Path:
    """A clip that outlasts every test."""
    return write_clip(settings.media_dir / "endless.mp4", range(600))


@pytest.fixture
def work(settings: Settings) -> Iterator[None]:
    with working(settings):
        yield


def decoders(parent: int | None = None) -> list[psutil.Process]:
    """The decoder processes of this test run."""
    found = psutil.Process(parent).children(recursive=True)
    return [process for process in found if _words(process)[:2] == DECODER]


def _words(process: psutil.Process) -> list[str]:
    try:
        return " ".join(process.cmdline()).split()  # a title is one word
    except psutil.Error:
        return []


def test_a_camera_that_is_added_gives_frames_and_ends(
    work: None, settings: Settings, bus: Bus, store: Store
) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(30))
    store.add_camera(camera("a", clip))
    reader = Reader(bus, "a")
    reader.read_until(30)
    report = wait_for_state(bus, "a", "ended")
    assert [number_in(frame.pixels) for frame in reader.frames] == list(range(30))
    assert (report.session, report.last_seq, report.revision) == (reader.sessions[0], 29, 1)
    assert report.last_captured_at == reader.frames[-1].captured_at
    assert bus.counters("a")["frames"] == 30
    assert bus.has_workers("ingest")
    assert decoders() == []


def test_a_camera_in_real_time_reports_its_rate(
    work: None, endless: Path, bus: Bus, store: Store
) -> None:
    store.add_camera(camera("a", endless, pace="realtime"))
    wait_for_state(bus, "a", "online")
    wait_until(
        lambda: (report := bus.ingest_report("a")) and 8 < (report.fps or 0) < 12,
        "about 10 frames a second",
    )


def test_a_change_begins_a_new_session(work: None, endless: Path, bus: Bus, store: Store) -> None:
    first = camera("a", endless, pace="realtime")
    store.add_camera(first)
    reader = Reader(bus, "a")
    reader.read_until(3)
    store.replace_camera(first.model_copy(update={"revision": 2, "fps": 5.0}), first)
    wait_until(lambda: (reader.read(), len(reader.sessions) == 2)[1], "a second session")
    report = wait_for_state(bus, "a", "online")
    wait_until(
        lambda: (report := bus.ingest_report("a")) and report.revision == 2,
        "the new revision's report",
    )
    assert reader.sessions[1] > reader.sessions[0]
    assert report.last_error is None
    assert len(decoders()) == 1


def test_a_camera_that_is_switched_off_or_removed_leaves_no_process(
    work: None, endless: Path, bus: Bus, store: Store
) -> None:
    kept = camera("kept", endless, pace="realtime")
    store.add_camera(kept)
    store.add_camera(camera("gone", endless, pace="realtime"))
    wait_for_state(bus, "kept", "online")
    wait_for_state(bus, "gone", "online")
    store.remove_camera("gone")
    wait_until(lambda: len(decoders()) == 1, "one decoder left")
    wait_until(
        lambda: bus.frame("gone") is None and bus.ingest_report("gone") is None,
        "no trace on the bus",
    )
    off = kept.model_copy(update={"revision": 2, "enabled": False})
    store.replace_camera(off, kept)
    wait_until(lambda: decoders() == [], "no decoder left")
    store.replace_camera(kept.model_copy(update={"revision": 3}), off)
    wait_until(lambda: len(decoders()) == 1, "switched on again")


def test_a_decoder_that_is_killed_comes_back_and_the_other_camera_does_not_notice(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store
) -> None:
    longer_than_frames = {"retry_first_s": 0.5, "retry_most_s": 0.5}
    slow = settings_for(tmp_path, urls.bus, urls.store, **longer_than_frames)
    endless = write_clip(slow.media_dir / "endless.mp4", range(600))
    with working(slow):
        for name in ("a", "b"):
            store.add_camera(camera(name, endless, pace="realtime"))
        one, other = Reader(bus, "a"), Reader(bus, "b")
        one.read_until(2)
        wait_for_state(bus, "b", "online")
        victim = min(decoders(), key=lambda process: process.create_time())
        os.kill(victim.pid, signal.SIGKILL)
        wait_until(
            lambda: any(bus.counters(name).get("reconnects") for name in ("a", "b")),
            "it is started again",
        )
        hurt, whole = (one, other) if bus.counters("a").get("reconnects") else (other, one)
        wait_until(
            lambda: hurt.read() and any(frame.skipped for frame in hurt.frames),
            "it goes on where the file is by now",
        )
        whole.read_until(len(whole.frames) + 3)
        assert [frame.seq for frame in whole.frames] == list(range(len(whole.frames)))
        assert len(hurt.sessions) == 1
        assert numbers_told(hurt) == list(range(hurt.frames[-1].seq + 1))
        assert {frame.skipped_for for frame in hurt.frames if frame.skipped} == {"takeover"}
        wait_for_state(bus, hurt.camera, "online")


def numbers_told(reader: Reader) -> list[int]:
    """Every number that came, and those that were left out as a frame after them says."""
    return [
        seq for frame in reader.frames for seq in range(frame.seq - frame.skipped, frame.seq + 1)
    ]


def test_a_bus_that_refuses_does_not_end_the_stage(
    urls: Urls, tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as cleanup:
        server = cleanup.enter_context(refusing_redis(tmp_path))
        client = cleanup.enter_context(contextlib.closing(connect(server.url)))
        bus = Bus(client, frames_kept=256, scores_kept=1000, heats_kept=256)
        settings = settings_for(tmp_path, server.url, urls.store)
        clip = write_clip(settings.media_dir / "clip.mp4", range(600))
        store.add_camera(camera("a", clip, pace="realtime"))
        cleanup.enter_context(working(settings))
        wait_for_state(bus, "a", "online")
        server.refuse("MISCONF")
        wait_until(lambda: "Redis is away or refuses" in caplog.text, "the refusal is told")
        wait_until(
            lambda: (frame := bus.frame("a")) and time.time() - frame.captured_at > 0.5,
            "frames are refused, too",
        )
        server.mend()
        reader = Reader(bus, "a")
        wait_until(
            lambda: reader.read() and any(frame.skipped for frame in reader.frames),
            "the loss is told",
        )
        assert {frame.skipped_for for frame in reader.frames if frame.skipped} == {"bus_restart"}
        assert numbers_told(reader) == list(range(reader.frames[-1].seq + 1))
        report = wait_for_state(bus, "a", "online")
    assert "MISCONF" in caplog.text
    assert report.session is not None


@pytest.mark.long
def test_a_frozen_decoder_is_cut_and_the_camera_stalled(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store
) -> None:
    settings = settings_for(tmp_path, urls.bus, urls.store, stall_timeout_s=1.0)
    clip = write_clip(settings.media_dir / "clip.mp4", range(600))
    with working(settings):
        store.add_camera(camera("a", clip, pace="realtime"))
        wait_for_state(bus, "a", "online")
        os.kill(decoders()[0].pid, signal.SIGSTOP)
        report = wait_for_state(bus, "a", "stalled")
        assert report.last_error == "silent for 2 s"
        wait_for_state(bus, "a", "online")


def test_trouble_of_every_kind_leaves_the_others_alone(
    work: None, endless: Path, urls: Urls, bus: Bus, store: Store
) -> None:
    store.add_camera(camera("good", endless, pace="realtime"))
    store.add_camera(camera("unreachable", "rtsp://admin:s3cr3t@127.0.0.1:1/x"))
    store.add_camera(camera("unknown-model", endless, model="none"))
    store.add_camera(camera("missing", endless.with_name("missing.mp4")))
    store.add_camera(camera("long", "/" + "x" * 70_000))
    client = connect(urls.store)
    client.hset(keys.CAMERAS, "broken", "{not json")
    client.close()
    lost = wait_for_state(bus, "unreachable", "reconnecting")
    wait_until(
        lambda: (report := bus.ingest_report("unreachable")) and report.retry_at,
        "the next trial's time",
    )
    assert lost.last_error == "connection refused"
    assert (
        wait_for_state(bus, "unknown-model", "reconnecting").last_error
        == "there is no model 'none'"
    )
    assert (
        wait_for_state(bus, "missing", "failed").last_error
        == "there is no such file in the media folder"
    )
    assert "too long" in (wait_for_state(bus, "long", "failed").last_error or "")
    wait_until(
        lambda: bus.counters("unreachable").get("reconnects", 0) >= 2, "it is tried again and again"
    )
    reader = Reader(bus, "good")
    reader.read_until(10)
    assert [frame.seq for frame in reader.frames] == list(range(len(reader.frames)))


@pytest.mark.long
def test_a_checkpoint_that_comes_late_mends_its_camera(
    work: None, settings: Settings, bus: Bus, store: Store
) -> None:
    whole = write_header_only(settings.model_folders[0], "late").read_bytes()
    half = settings.model_folders[0] / "late.safetensors"
    half.write_bytes(whole[:40])
    store.add_camera(
        camera("a", write_clip(settings.media_dir / "clip.mp4", range(5)), model="late")
    )
    lost = wait_for_state(bus, "a", "reconnecting")
    assert (lost.last_error or "").startswith("late.safetensors is no readable checkpoint")
    half.write_bytes(whole)
    assert wait_for_state(bus, "a", "ended").last_error is None
    assert len(Reader(bus, "a").read_until(5)) == 5


def answers_once(client: RtspClient) -> None:
    client.answer(client.request())
    client.hold()


def test_no_password_is_seen_from_outside(work: None, bus: Bus, store: Store) -> None:
    seen: list[str] = []

    def look() -> bool:
        for process in decoders():
            try:
                seen.append(" ".join(process.cmdline()) + str(process.environ()))
            except psutil.Error:
                continue
        return len(seen) >= 3

    with hostile_server(answers_once) as url:
        assert PASSWORD in url
        store.add_camera(camera("a", url))
        wait_until(look, "three looks at a decoder")
        report = wait_for_state(bus, "a", "reconnecting")
    assert PASSWORD not in "".join(seen) + str(report)


@pytest.mark.long
def test_cameras_that_are_away_start_no_decoder_and_say_why(
    work: None, endless: Path, bus: Bus, store: Store
) -> None:
    """Neither does any of them hold up a camera that works."""
    with contextlib.ExitStack() as cleanup:

        def listening(script: Script) -> str:
            return cleanup.enter_context(hostile_server(script))

        urls = {
            "refused": "rtsp://127.0.0.1:1/x",
            "nameless": "rtsp://no-such-host.invalid/x",
            "mute": listening(lambda client: client.hold()),
            "web": listening(lambda client: client.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            "gone": listening(lambda client: client.answer(client.request(), status="404 no")),
        }
        for number, (kind, url) in itertools.product(range(6), urls.items()):
            store.add_camera(camera(f"{kind}-{number}", url))
        store.add_camera(camera("zz-good", endless, pace="realtime"))
        reader = Reader(bus, "zz-good")
        reader.read_until(5)
        errors = {
            kind: wait_for_state(bus, f"{kind}-3", "reconnecting").last_error for kind in urls
        }
        (only,) = decoders()
        reader.read_until(len(reader.frames) + 5)
        wait_until(lambda: bus.counters("refused-5").get("reconnects", 0) >= 2, "new attempts")
        assert decoders() == [only]
    assert errors == {
        "refused": "connection refused",
        "nameless": "the host's name cannot be resolved",
        "mute": "no answer within 5 s",
        "web": "the server answers in HTTP, not in RTSP: is it the right port?",
        "gone": "404 not found: the server has no such stream",
    }
    assert reader.misses_nothing


def test_a_restart_leaves_an_ended_file_alone(settings: Settings, bus: Bus, store: Store) -> None:
    store.add_camera(camera("a", write_clip(settings.media_dir / "clip.mp4", range(5))))
    with working(settings):
        before = wait_for_state(bus, "a", "ended")
    with working(settings):
        wait_until(
            lambda: (report := bus.ingest_report("a")) and report.at > before.at, "a newer report"
        )
        report = bus.ingest_report("a")
    assert report is not None
    assert (report.state, report.session, report.last_seq) == ("ended", before.session, 4)


def test_the_stage_ends_quickly_with_all_its_decoders(
    settings: Settings, endless: Path, bus: Bus, store: Store
) -> None:
    with working(settings):
        for name in ("a", "b"):
            store.add_camera(camera(name, endless, pace="realtime"))
        for name in ("a", "b"):
            wait_for_state(bus, name, "online")
        os.kill(decoders()[0].pid, signal.SIGSTOP)
        since = time.monotonic()
    assert time.monotonic() - since < 8
    assert decoders() == []


@pytest.mark.long
def test_a_bus_that_dies_and_comes_back_stops_nobody(
    urls: Urls, tmp_path: Path, store: Store
) -> None:
    with contextlib.ExitStack() as cleanup:
        server = cleanup.enter_context(RedisServer("bus", tmp_path))
        settings = settings_for(tmp_path, server.url, urls.store)
        client = connect(server.url)
        cleanup.callback(client.close)
        bus = Bus(client, frames_kept=256, scores_kept=1000, heats_kept=256)
        clip = write_clip(settings.media_dir / "clip.mp4", range(600))
        store.add_camera(camera("live", clip, pace="realtime"))
        store.add_camera(camera("fast", clip, pace="fast"))
        cleanup.enter_context(working(settings))
        before = Reader(bus, "live").read_until(3)
        wait_until(
            lambda: (report := bus.ingest_report("fast")) and report.waiting,
            "the file waits for inference",
        )
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        time.sleep(0.5)  # the outage itself
        server.start()
        after = Reader(bus, "live").read_until(3)
        report = wait_for_state(bus, "live", "online")
        rest = Reader(bus, "fast")
        rest.read_until(600, limit_s=30)
        wait_for_state(bus, "fast", "ended")
        assert bus.counters("fast")["bus_restart"] == 1
    assert after[0].session == before[0].session == report.session
    assert after[0].seq > before[-1].seq + 3
    assert (after[0].skipped >= 3, after[0].skipped_for) == (True, "bus_restart")
    assert [frame.seq for frame in rest.frames] == list(range(600)), (
        "nothing of it was saved: it is added again"
    )


def test_a_file_that_ends_while_the_bus_loses_its_frames_goes_on(
    urls: Urls, tmp_path: Path, bus: Bus
) -> None:
    with contextlib.ExitStack() as cleanup:
        server = cleanup.enter_context(RedisServer("store", tmp_path))
        settings = settings_for(tmp_path, urls.bus, server.url).model_copy(
            update={"backlog_frames": 16}
        )
        client = connect(server.url)
        cleanup.callback(client.close)
        bus_client = connect(urls.bus)
        cleanup.callback(bus_client.close)
        Store(client).add_camera(camera("a", write_clip(tmp_path / "media" / "a.mp4", range(20))))
        cleanup.enter_context(working(settings))
        frames = Reader(bus, "a").read_until(16)
        assert server.process is not None
        server.process.kill()  # the decoder cannot write that it has read the file to its end
        server.process.wait()
        bus_client.set(keys.snapshot_cursor("a"), str(frames[-1].id))
        wait_until(lambda: bus.newest_frame_id("a") == (frames[0].session, 19), "the last frame")
        bus_client.flushall()
        wait_until(lambda: bus_client.exists(keys.lease("ingest", "a")), "the lease is taken back")
        wait_until(lambda: bus_client.exists(keys.BUS_NAME), "the worker notices")
        server.start()
        again = Reader(bus, "a").read_until(16)
    assert [frame.id for frame in again][:16] == [frame.id for frame in frames][:16]


def test_a_killed_worker_takes_its_decoders_with_it(
    settings: Settings, endless: Path, bus: Bus, store: Store
) -> None:
    store.add_camera(camera("a", endless, pace="realtime"))
    code = (
        "import sys, threading; from lookout.service.ingest.worker import run;"
        "from lookout.service.core.settings import Settings;"
        "run(Settings.model_validate_json(sys.stdin.read()), threading.Event())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdin is not None
            worker.stdin.write(settings.model_dump_json())
            worker.stdin.close()
            wait_for_state(bus, "a", "online")
            (orphan,) = decoders(worker.pid)
        finally:
            worker.kill()
    wait_until(
        lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE,
        "the decoder's end",
    )
