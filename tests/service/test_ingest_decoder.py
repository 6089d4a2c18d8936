"""One decoder process on one file, against a real Redis; a reader plays inference."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest

from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.camera import Camera
from lookout.service.core.messages import FrameId
from lookout.service.core.settings import Settings, load_settings
from lookout.service.ingest.decoder.main import backlog_frames
from lookout.service.ingest.decoder.protocol import EXIT_CODES, DecoderMessage
from lookout.service.ingest.decoder.resume import REPLAY_FRAMES
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store
from tests.clips import number_in, write_clip, write_sound
from tests.conftest import Urls, with_long_forms, with_wide_forms
from tests.ingest_line import (
    SIDE_PX,
    Reader,
    camera,
    play,
    settings_for,
    start_decoder,
    write_header_only,
)
from tests.owning import save
from tests.waiting import wait_until


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, urls.bus, urls.store, backlog_frames=16)


def kill_when_it_waits(record: Camera, settings: Settings, bus: Bus) -> None:
    """Run a decoder until it waits for inference."""
    decoder = start_decoder(bus, record, settings)
    try:
        wait_until(
            lambda: any(line.waiting for line in decoder.read_messages()),
            "the decoder waits for inference",
        )
    finally:
        decoder.kill()
        wait_until(lambda: decoder.exit_code() is not None, "it is gone")
        decoder.close()


def error_of(said: list[DecoderMessage]) -> str:
    return said[-1].error or ""


def test_a_file_at_full_pace_gives_every_frame_once_in_order(settings: Settings, bus: Bus) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(50))
    reader = Reader(bus, "a")
    code, said = play(camera("a", clip), settings, reader)
    assert code == EXIT_CODES["ended"], said
    assert [number_in(frame.pixels) for frame in reader.frames] == list(range(50))
    assert reader.ids == [FrameId(reader.frames[0].session, seq) for seq in range(50)]
    start_s = reader.frames[0].captured_at
    assert abs(start_s - reader.frames[0].session / 1000) < 2
    assert [frame.captured_at - start_s for frame in reader.frames] == pytest.approx(
        [index / 10 for index in range(50)], abs=1e-3
    )
    assert [line.kind for line in said if line.kind != "progress"] == [
        "ready",
        "opened",
        "session",
        "ended",
    ]
    assert (said[-1].seq, said[-1].frames) == (49, 50)


def test_its_pixels_are_those_that_training_sees(settings: Settings, bus: Bus) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(20))
    reader = Reader(bus, "a")
    play(camera("a", clip), settings, reader)
    same = read_clip(clip, Preprocess(SIDE_PX, SIDE_PX))
    np.testing.assert_array_equal(np.stack([frame.pixels for frame in reader.frames]), same)


def test_a_file_of_which_nothing_is_left_names_its_last_frame(settings: Settings, bus: Bus) -> None:
    """Its frames are on the bus, and inference has not dealt with them."""
    record = camera("a", write_clip(settings.media_dir / "clip.mp4", range(10)))
    sessions = set()
    for _ in range(2):
        decoder = start_decoder(bus, record, settings)
        wait_until(lambda: decoder.exit_code() is not None, "its end")  # noqa: B023
        last = decoder.read_messages()[-1]
        decoder.close()
        assert (last.kind, last.seq, last.error) == ("ended", 9, None)
        sessions.add(last.session)
    assert sessions == {bus.newest_frame_id("a").session}  # type: ignore[union-attr]


def test_a_file_never_runs_further_ahead_than_the_backlog(settings: Settings, bus: Bus) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(40))
    decoder = start_decoder(bus, camera("a", clip), settings)
    reader, said, ahead = Reader(bus, "a"), list[DecoderMessage](), list[int]()

    def look() -> int:
        newest = bus.frame("a")
        ahead.append((newest.seq if newest else -1) - (reader.ids[-1].seq if reader.ids else -1))
        said.extend(decoder.read_messages())
        return ahead[-1]

    try:
        for _ in range(5):
            wait_until(
                lambda: look() == settings.backlog_frames - 1 and said[-1].waiting,
                "the backlog is full",
            )
            reader.read(3)
        wait_until(lambda: (look(), reader.read(1), decoder.exit_code())[2] is not None, "the end")
    finally:
        decoder.kill()
        decoder.close()
    assert max(ahead) == settings.backlog_frames - 1
    assert decoder.exit_code() == 0
    assert [number_in(frame.pixels) for frame in reader.read_until(40)] == list(range(40))


def test_a_cursor_of_a_former_session_does_not_count(settings: Settings, bus: Bus) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(20))
    save(bus, "a", FrameId(5, 1_000_000))
    kill_when_it_waits(camera("a", clip), settings, bus)
    newest = bus.frame("a")
    assert newest is not None
    assert newest.seq == settings.backlog_frames - 2


@pytest.mark.long
def test_frames_that_the_bus_lost_are_added_again_from_before_the_snapshot(
    settings: Settings, bus: Bus, store: Store
) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(80))
    record, decoder = camera("a", clip), start_decoder(bus, camera("a", clip), settings)
    try:
        wait_until(lambda: bus.newest_frame_id("a"), "it has begun")
        session = bus.newest_frame_id("a").session  # type: ignore[union-attr]
        save(bus, "a", FrameId(session, 39))
        wait_until(
            lambda: bus.newest_frame_id("a") == (session, 39 + settings.backlog_frames - 1),
            "it waits again",
        )
        bus.forget("a")
        save(bus, "a", FrameId(session, 41))
        wait_until(lambda: decoder.exit_code() is not None, "it notices")
    finally:
        decoder.kill()
        decoder.close()
    assert decoder.exit_code() == EXIT_CODES["lost"]
    assert bus.counters("a")["bus_restart"] == 1
    store.save_snapshot("a", 1, Snapshot(FrameId(session, 39), {}))
    reader = Reader(bus, "a")
    play(record.model_copy(update={"revision": 1}), settings, reader)
    assert [frame.id for frame in reader.frames] == [
        (session, seq) for seq in range(40 - REPLAY_FRAMES, 80)
    ]
    assert [number_in(frame.pixels) for frame in reader.frames] == list(
        range(40 - REPLAY_FRAMES, 80)
    )


def test_a_file_goes_on_after_the_last_frame_that_it_added(settings: Settings, bus: Bus) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(30))
    reader = Reader(bus, "a")
    kill_when_it_waits(camera("a", clip), settings, bus)
    play(camera("a", clip), settings, reader)
    assert [number_in(frame.pixels) for frame in reader.frames] == list(range(30))
    assert [frame.seq for frame in reader.frames] == list(range(30))
    assert len(reader.sessions) == 1
    start_s = reader.frames[0].captured_at
    assert [frame.captured_at - start_s for frame in reader.frames] == pytest.approx(
        [n / 10 for n in range(30)]
    )


def test_a_file_that_was_read_to_its_end_is_not_played_again_unless_it_is_changed(
    settings: Settings, bus: Bus
) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(6))
    reader = Reader(bus, "a")
    for revision in (1, 1, 2):
        assert (
            play(camera("a", clip, revision=revision), settings, reader)[0] == EXIT_CODES["ended"]
        )
    assert [number_in(frame.pixels) for frame in reader.frames] == [*range(6), *range(6)]
    assert len(reader.sessions) == 2


def test_a_file_in_real_time_keeps_its_time_stamps(settings: Settings, bus: Bus) -> None:
    times_s = [0.0, 0.1, 0.2, 0.3, 1.0, 1.1, 1.5]
    clip = write_clip(settings.media_dir / "clip.mp4", range(7), times_s=times_s)
    reader, lag_s = Reader(bus, "a"), list[float]()
    decoder = start_decoder(bus, camera("a", clip, pace="realtime"), settings)

    def ended() -> bool:
        lag_s.extend([time.time() - reader.frames[-1].captured_at] * reader.read())
        return decoder.exit_code() is not None

    try:
        reader.read_until(1)
        wait_until(ended, "the end")
    finally:
        decoder.kill()
        decoder.close()
    reader.read()
    start_s = reader.frames[0].captured_at
    assert [frame.captured_at - start_s for frame in reader.frames] == pytest.approx(
        times_s, abs=1e-3
    )
    assert time.time() - start_s >= 1.5
    assert max(lag_s) < 2


@pytest.mark.long
def test_the_frame_rate_is_reduced_by_time_stamps(settings: Settings, bus: Bus) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(50), fps=25)
    reader = Reader(bus, "a")
    play(camera("a", clip, fps=10.0), settings, reader)
    assert [number_in(frame.pixels) for frame in reader.frames[:5]] == [0, 3, 5, 8, 10]
    assert [frame.seq for frame in reader.frames] == list(range(20))


@pytest.mark.long
def test_each_session_is_greater_than_the_last(settings: Settings, bus: Bus, store: Store) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(3))
    ahead = store.begin_session("a", time.time() + 3600, revision=0)
    reader = Reader(bus, "a")
    for revision in (1, 2):
        play(camera("a", clip, revision=revision), settings, reader)
    assert reader.sessions == [ahead + 1, ahead + 2]


# What bad input gets


def refused(url: str | Path, settings: Settings, bus: Bus, **changes: object) -> str:
    reader = Reader(bus, "a")
    code, said = play(camera("a", url, **changes), settings, reader)  # type: ignore[arg-type]
    assert (code, said[-1].kind) == (EXIT_CODES["refused"], "refused"), said
    assert reader.frames == []
    return error_of(said)


def test_a_text_is_no_video(settings: Settings, bus: Bus) -> None:
    path = settings.media_dir / "notes.mp4"
    path.write_text("nothing moves here")
    assert refused(path, settings, bus).startswith("notes.mp4 cannot be opened as a video")


def test_sound_alone_is_no_video(settings: Settings, bus: Bus) -> None:
    path = write_sound(settings.media_dir / "sound.mp4")
    assert refused(path, settings, bus) == "there is no video in it"


@pytest.mark.long  # make test has one that comes late in test_ingest_worker
def test_a_checkpoint_that_is_missing_or_half_copied_may_come_yet(
    settings: Settings, bus: Bus
) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(3))
    broken = write_header_only(settings.model_folders[0], "broken")
    broken.write_bytes(broken.read_bytes()[:40])
    for model, error in (
        ("other", "there is no model 'other'"),
        ("../models/tiny", "there is no model '../models/tiny'"),
        ("broken", "broken.safetensors is no readable checkpoint"),
    ):
        reader = Reader(bus, "a")
        code, said = play(camera("a", clip, model=model), settings, reader)
        assert (code, said[-1].kind) == (EXIT_CODES["lost"], "lost"), said
        assert error_of(said).startswith(error)
        assert reader.frames == []


@pytest.mark.parametrize(
    ("backlog", "kept", "frames"),
    [(64, 384, 64), (384, 384, 352), (1000, 100, 68), (64, 40, 16), (16, 16, 16)],
)
def test_the_backlog_leaves_room_for_a_replayed_window(
    backlog: int, kept: int, frames: int
) -> None:
    assert backlog_frames(load_settings(backlog_frames=backlog, frames_kept=kept)) == frames


@pytest.mark.long
def test_a_file_outside_the_media_folder(settings: Settings, bus: Bus, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "outside.mp4", range(3))
    assert "not below the media folder" in refused(clip, settings, bus)
    (settings.media_dir / "link.mp4").symlink_to(clip)
    assert "not below the media folder" in refused(settings.media_dir / "link.mp4", settings, bus)


def test_a_file_that_breaks_off_has_failed_after_its_good_frames(
    settings: Settings, bus: Bus
) -> None:
    clip = settings.media_dir / "clip.mp4"
    write_clip(clip, range(100), options={"bf": "0"}, container_options={"movflags": "faststart"})
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    reader = Reader(bus, "a")
    code, said = play(camera("a", clip), settings, reader)
    assert code == EXIT_CODES["refused"], said
    assert error_of(said).startswith("the file is cut off: it ends at ")
    numbers = [number_in(frame.pixels) for frame in reader.frames]
    assert 20 < len(numbers) < 100
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("ending", with_long_forms(["mkv", "ts", "flv"], {"mkv"}))
def test_a_recording_that_is_cut_off_is_told_in_any_container(
    settings: Settings, bus: Bus, ending: str
) -> None:
    clip = write_clip(settings.media_dir / f"clip.{ending}", range(60), options={"bf": "0"})
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2 // 188 * 188 - 9])
    reader = Reader(bus, "a")
    code, said = play(camera("a", clip), settings, reader)
    assert code == EXIT_CODES["refused"], said
    assert error_of(said).startswith("the file is cut off: it ends at ")
    numbers = [number_in(frame.pixels) for frame in reader.frames]
    assert 10 < len(numbers) < 60
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize(
    ("frames", "reason"),
    with_long_forms(
        [(1, "1 frame; a score takes 5"), (4, "4 frames; a score takes 5"), (5, None)], {4}
    ),
)
def test_a_file_too_short_for_a_score_says_so(
    settings: Settings, bus: Bus, frames: int, reason: str | None
) -> None:
    write_header_only(settings.model_folders[0], "windowed", frames=5)
    clip = write_clip(settings.media_dir / "clip.mp4", range(frames))
    for _ in range(2):  # a decoder that is started again after the end says the same
        code, said = play(camera("a", clip, model="windowed"), settings, Reader(bus, "a"))
        assert (code, said[-1].kind, said[-1].error) == (EXIT_CODES["ended"], "ended", reason)


def test_damage_in_the_middle_is_passed_over(settings: Settings, bus: Bus) -> None:
    options = {"g": "10", "bf": "0"}
    clip = write_clip(settings.media_dir / "clip.ts", range(100), options=options)
    data = bytearray(clip.read_bytes())
    third = len(data) // 3 // 188 * 188
    for packet in range(third, third + 20 * 188, 188):
        data[packet + 4 : packet + 188] = bytes(
            184
        )  # the packet's head stays, what it carries is gone
    clip.write_bytes(data)
    reader = Reader(bus, "a")
    code, said = play(camera("a", clip), settings, reader)
    assert code == EXIT_CODES["ended"], said
    assert number_in(reader.frames[-1].pixels) == 99
    assert [frame.seq for frame in reader.frames] == list(range(len(reader.frames)))
    assert len(reader.frames) > 60


def test_packets_that_cannot_be_decoded_are_counted_and_told(settings: Settings, bus: Bus) -> None:
    clip = write_clip(settings.media_dir / "clip.mp4", range(60), options={"g": "10", "bf": "0"})
    data = bytearray(clip.read_bytes())
    middle = data.index(b"mdat") + len(data) // 3
    data[middle : middle + 2000] = b"\xff" * 2000
    clip.write_bytes(data)
    reader = Reader(bus, "a")
    code, said = play(camera("a", clip), settings, reader)
    assert code == EXIT_CODES["ended"], said
    assert number_in(reader.frames[-1].pixels) == 59
    assert said[-1].damaged == bus.counters("a")["corrupt"] > 0


@pytest.mark.parametrize("ending", with_wide_forms(["h264", "ts"], {"ts"}))
def test_another_frame_size_begins_another_session(
    settings: Settings, bus: Bus, ending: str
) -> None:
    small = write_clip(settings.media_dir / f"small.{ending}", range(10))
    large = write_clip(settings.media_dir / f"large.{ending}", range(10, 20), size_px=(320, 240))
    both = settings.media_dir / f"both.{ending}"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    reader = Reader(bus, "a")
    code, said = play(camera("a", both), settings, reader)
    assert code == EXIT_CODES["ended"], said
    assert [number_in(frame.pixels) for frame in reader.frames] == list(range(20))
    first, second = reader.sessions
    assert reader.ids == [FrameId(first, seq) for seq in range(10)] + [
        FrameId(second, seq) for seq in range(10)
    ]
    assert [line.error for line in said if line.kind == "notice"] == [
        "frame size changed from 160x120 to 320x240"
    ]
    times = [frame.captured_at for frame in reader.frames]
    assert times == sorted(times)
    assert times[-1] - times[0] < 5


def test_an_unforeseen_error_is_one_line_without_its_words(settings: Settings, bus: Bus) -> None:
    valid = camera("a", "rtsp://me:s3cr3t@127.0.0.1:1/x")
    wrong = valid.model_copy(update={"fps": -1.0})  # no record can hold it
    code, said = play(wrong, settings, Reader(bus, "a"))
    assert code == EXIT_CODES["lost"]
    pattern = r"the decoder failed: ValidationError in \w+\.py:\d+"
    assert re.fullmatch(pattern, error_of(said))
    assert "s3cr3t" not in str(said)
