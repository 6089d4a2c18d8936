"""Cameras in the wild: clocks that jump, lost packets, passwords, processes that freeze."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from lookout.service.core.messages import Frame
from lookout.service.core.settings import Settings, load_settings
from lookout.service.ingest.decoder.protocol import EXIT_CODES, DecoderMessage
from lookout.service.ingest.decoder.source import STALL_ADVICE
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.clips import number_in, write_clip
from tests.conftest import Urls, with_long_forms, with_wide_forms
from tests.hostile_rtsp import HONEST, PICTURES, RtspClient, encoded, hostile_server, sdp
from tests.ingest_line import Reader, camera, play, settings_for, wait_for_state, working
from tests.processes import children
from tests.rtsp import rtsp_server
from tests.waiting import wait_until

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, urls.bus, urls.store, connect_timeout_s=2.0, stall_timeout_s=2.0)


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A clip of a minute."""
    return write_clip(tmp_path / "endless.mp4", range(600))


def numbers(frames: list[Frame]) -> list[int]:
    return [number_in(frame.pixels) for frame in frames]


def by_session(reader: Reader) -> list[list[int]]:
    """The pictures' numbers; each session's frames are numbered without a gap."""
    sessions = [
        [frame for frame in reader.frames if frame.session == session]
        for session in reader.sessions
    ]
    assert all([frame.seq for frame in frames] == list(range(len(frames))) for frames in sessions)
    return [numbers(frames) for frames in sessions]


def notices(said: list[DecoderMessage]) -> list[str | None]:
    return [line.error for line in said if line.kind == "notice"]


# The stream's clock


def shows(times_s: list[float]) -> Callable[[RtspClient], None]:
    """Numbered pictures with these time stamps, and a good-bye."""

    def script(client: RtspClient) -> None:
        client.play(HONEST)
        client.show_all(PICTURES, times_s)

    return script


def seconds(start_s: float, count: int = 10) -> list[float]:
    return [start_s + index / 10 for index in range(count)]


@pytest.mark.parametrize(
    ("_name", "times_s", "sessions"),
    with_long_forms(
        [
            ("forward", seconds(0) + seconds(7200), [10, 10]),  # set forward by hours
            ("back", seconds(7200) + seconds(0), [10, 10]),  # set back
            ("loop", seconds(0) * 3, [10, 10, 10]),  # a clip that loops
            ("gap", seconds(0) + seconds(4), [20]),  # the camera left some out
            ("standstill", seconds(0) + [0.9] * 10 + seconds(1), [30]),  # for a second
        ],
        {"loop", "standstill"},
    ),
    ids=["forward", "back", "loop", "gap", "standstill"],
)
def test_a_jump_of_the_streams_clock_begins_a_session_and_costs_no_frame(
    settings: Settings, bus: Bus, _name: str, times_s: list[float], sessions: list[int]
) -> None:
    reader = Reader(bus, "a")
    with hostile_server(shows(times_s)) as url:
        code, said = play(camera("a", url), settings, reader)
    assert (code, said[-1].error) == (EXIT_CODES["lost"], "the stream ended")
    assert [len(frames) for frames in by_session(reader)] == sessions
    assert numbers(reader.frames) == list(range(len(times_s)))
    assert notices(said) == ["the stream's clock jumped"] * (len(sessions) - 1)
    times = [frame.captured_at for frame in reader.frames]
    assert times == sorted(times)
    assert times[-1] - times[0] < 10, "they are taken from the wall clock"


def test_a_clock_that_stands_still_does_not_stop_a_camera_of_fewer_frames(
    settings: Settings, bus: Bus
) -> None:
    reader = Reader(bus, "a")
    with hostile_server(shows([0.0] * 60)) as url:
        play(camera("a", url, fps=5.0), settings, reader)
    assert len(reader.sessions) == 1
    assert len(reader.frames) >= 60 * 5 / 25 - 2, (
        "without a clock a stream counts as one of 25 frames a second"
    )


def test_a_clock_that_jumps_all_the_time_is_no_clock(
    settings: Settings, bus: Bus, store: Store
) -> None:
    reader = Reader(bus, "a")
    with hostile_server(shows([0.0, 1000.0] * 30)) as url:
        code, said = play(camera("a", url), settings, reader)
    assert code == EXIT_CODES["lost"]
    assert said[-1].error == "the stream changes its clock or its frame size all the time"
    assert len(reader.sessions) <= 22


def test_a_jump_in_a_file_begins_a_session_and_keeps_its_time_stamps(
    settings: Settings, bus: Bus
) -> None:
    times_s = seconds(0) + seconds(30)
    clip = write_clip(settings.media_dir / "clip.mp4", range(20), times_s=times_s)
    reader = Reader(bus, "a")
    code, said = play(camera("a", clip), settings, reader)
    assert code == EXIT_CODES["ended"], said
    assert by_session(reader) == [list(range(10)), list(range(10, 20))]
    start_s = reader.frames[0].captured_at
    assert [frame.captured_at - start_s for frame in reader.frames] == pytest.approx(
        times_s, abs=1e-3
    )


def test_a_stream_that_is_joined_long_before_its_next_keyframe(
    settings: Settings, bus: Bus
) -> None:
    def is_midway(client: RtspClient) -> None:
        client.play(sdp())  # the headers come with the keyframe
        for index in range(150):
            client.show(PICTURES[1 + index % 9], 900_000 + 3600 * index)
        client.show_all(PICTURES[:10], seconds(6))

    reader = Reader(bus, "a")
    with hostile_server(is_midway) as url:
        play(camera("a", url), settings, reader)
    assert by_session(reader) == [list(range(10))]


def test_another_frame_size_begins_another_session(settings: Settings, bus: Bus) -> None:
    def grows(client: RtspClient) -> None:
        client.play(HONEST)
        client.show_all(PICTURES[:10] + encoded(range(10, 20), size_px=(320, 240)), seconds(0, 20))

    reader = Reader(bus, "a")
    with hostile_server(grows) as url:
        _, said = play(camera("a", url), settings, reader)
    assert by_session(reader) == [list(range(10)), list(range(10, 20))]
    assert notices(said) == ["frame size changed from 160x120 to 320x240"]


@pytest.mark.parametrize("pix_fmt", with_wide_forms(["yuv444p", "yuv422p10le"], {"yuv422p10le"}))
def test_another_form_of_pixels_goes_on_in_the_same_session(
    settings: Settings, bus: Bus, pix_fmt: str
) -> None:
    """A camera that is switched to another profile sends new parameters within the stream."""

    def changes(client: RtspClient) -> None:
        client.play(HONEST)
        client.show_all(PICTURES[:10] + encoded(range(10, 20), pix_fmt=pix_fmt), seconds(0, 20))

    reader = Reader(bus, "a")
    with hostile_server(changes) as url:
        _, said = play(camera("a", url), settings, reader)
    assert by_session(reader) == [list(range(20))]
    assert notices(said) == []


# Passwords


@pytest.mark.rtsp
@pytest.mark.long  # make test has one of every reserved character in test_ingest_rtsp
def test_a_password_of_awkward_characters_works_and_is_never_seen(
    settings: Settings,
    endless: Path,
    bus: Bus,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    capfd: Captured,
) -> None:
    awkward = "p@ss/w:rd%41%"
    with rtsp_server(endless, "a@d/m%in", awkward) as url, working(settings):
        assert quote(awkward, safe="") in url
        store.add_camera(camera("right", url))
        store.add_camera(camera("over-udp", url, transport="udp"))
        store.add_camera(camera("wrong", url.replace("p%40ss", "p%40sz")))
        wait_for_state(bus, "right", "online")
        wait_for_state(bus, "over-udp", "online")
        wrong = wait_for_state(bus, "wrong", "reconnecting")
        wait_until(lambda: bus.counters("wrong").get("reconnects", 0) >= 2, "it is tried again")
    assert wrong.last_error == "401 unauthorized: user or password is wrong"
    seen = "".join([caplog.text, *capfd.readouterr(), str(wrong)])
    assert not any(part in seen for part in ("p@s", "p%40s", "w:rd", "w%3Ard"))


# Processes that freeze


@pytest.mark.long  # make test freezes one in test_ingest_worker
def test_a_frozen_decoder_is_started_anew_within_15_s_and_the_others_miss_nothing(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store
) -> None:
    """With the time-outs that Lookout comes with."""
    usual = {
        name: getattr(load_settings(), name)
        for name in ("stall_timeout_s", "retry_first_s", "retry_most_s")
    }
    settings = settings_for(tmp_path, urls.bus, urls.store, **usual)
    clip = write_clip(settings.media_dir / "endless.mp4", range(600))
    readers = {name: Reader(bus, name) for name in ("frozen", "b", "c")}

    def read() -> int:
        return sum(reader.read() for reader in readers.values())

    with hostile_server(never_ends) as url, working(settings):
        store.add_camera(camera("frozen", url))
        (victim,) = wait_until(lambda: children("lookout: decoder"), "its decoder")
        for name in ("b", "c"):
            store.add_camera(camera(name, clip, pace="realtime"))
        for name in readers:
            wait_for_state(bus, name, "online")
        read()
        victim.send_signal(signal.SIGSTOP)
        since = time.monotonic()
        wait_until(lambda: (read(), not victim.is_running())[1], "it is killed")
        wait_until(lambda: (read(), len(readers["frozen"].sessions) == 2)[1], "a new session")
        assert time.monotonic() - since < 15
        report = wait_for_state(bus, "frozen", "online")
        read()
    assert (report.stalls_last_hour, report.reconnects_last_hour) == (1, 1)
    for name in ("b", "c"):
        assert readers[name].misses_nothing
        assert len(readers[name].frames) > 80


def never_ends(client: RtspClient) -> None:
    client.play(HONEST)
    client.show_all(itertools.cycle(PICTURES), itertools.count(0, 0.1), every_s=0.1)


@pytest.mark.long
@pytest.mark.rtsp
def test_a_frozen_server_is_told_and_taken_up_again(
    settings: Settings, endless: Path, bus: Bus, store: Store
) -> None:
    quick = settings.model_copy(update={"connect_timeout_s": 1.0, "stall_timeout_s": 1.0})
    with rtsp_server(endless) as url, working(quick):
        (server,) = children("rtsp_server")
        store.add_camera(camera("a", url))
        wait_for_state(bus, "a", "online")
        server.send_signal(signal.SIGSTOP)
        assert wait_for_state(bus, "a", "stalled").last_error == f"silent for 1 s; {STALL_ADVICE}"
        assert wait_for_state(bus, "a", "reconnecting").last_error == "no answer within 1 s"
        server.send_signal(signal.SIGCONT)
        report = wait_for_state(bus, "a", "online")
    assert report.stalls_last_hour == 1
    assert report.reconnects_last_hour >= 2


def seldom(client: RtspClient) -> None:
    """Send a keyframe each 1.6 s."""
    client.play(HONEST)
    for second, unit in zip(itertools.count(0, 1.6), itertools.cycle(PICTURES[:1]), strict=False):
        client.show(unit, int(900_000 + second * 90_000))
        client.wait(1.6)


@pytest.mark.long
def test_a_camera_of_few_pictures_is_watched_with_a_limit_of_its_own(
    settings: Settings, bus: Bus, store: Store
) -> None:
    quick = settings.model_copy(update={"connect_timeout_s": 1.0, "stall_timeout_s": 1.0})
    patient = Reader(bus, "patient")
    with hostile_server(seldom) as url, working(quick):
        store.add_camera(camera("usual", url))
        store.add_camera(camera("patient", url, stall_timeout_s=5.0))
        error = wait_for_state(bus, "usual", "stalled").last_error or ""
        assert "LOOKOUT_STALL_TIMEOUT_S" in error
        assert "stall_timeout_s" in error
        patient.read_until(4)
        report = wait_for_state(bus, "patient", "online")
    assert (report.stalls_last_hour, report.reconnects_last_hour) == (0, 0)
    assert patient.misses_nothing


def test_a_server_that_stays_mute_is_told_with_the_connect_time_out(
    settings: Settings, bus: Bus
) -> None:
    """The shorter stall time-out is about a camera that shows pictures."""
    quick = settings.model_copy(update={"connect_timeout_s": 1.5, "stall_timeout_s": 1.0})
    with hostile_server(RtspClient.hold) as url:
        code, said = play(camera("a", url), quick, Reader(bus, "a"))
    assert (code, said[-1].error) == (EXIT_CODES["lost"], "no answer within 1.5 s")
