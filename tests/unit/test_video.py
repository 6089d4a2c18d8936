"""Open and decode files, for training and for cameras alike."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from lookout.models.errors import NoPictureError, VideoError
from lookout.models.media.clip_reader import ClipInfo, read_clip, read_info
from lookout.models.media.container import open_video
from lookout.models.media.decode import TAINTED, DamageFilter, pictures
from lookout.models.media.preprocess import Preprocess
from tests.clips import damage, number_in, write_clip, write_sound
from tests.conftest import SHARED

READY = Preprocess(64, 64)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", range(30))


def test_a_rate_that_is_not_known_is_not_announced(tmp_path: Path) -> None:
    told = [
        read_info(write_clip(tmp_path / f"{fps}.mkv", range(5), fps=fps)).fps for fps in (25, 1000)
    ]
    assert told == [25, None]  # a thousand is what libav says where it knows none


@pytest.mark.footage
def test_gray_footage_of_full_range_keeps_its_values_exactly() -> None:
    """Ped2 is yuvj420p: its Y plane is the gray value, and R = G = B = Y."""
    path = SHARED / "data" / "ped2" / "test" / "01.mp4"
    with av.open(str(path)) as container:
        luma = [
            frame.to_ndarray()[: frame.height, : frame.width] for frame in container.decode(video=0)
        ]
    with open_video(path) as container:
        rgb = [picture.rgb for picture in pictures(container)]
    assert len(rgb) == 180
    for gray, shown in zip(luma, rgb, strict=True):
        np.testing.assert_array_equal(shown, np.repeat(gray[:, :, None], 3, axis=2))


def test_every_frame_comes_once_in_the_order_of_display_with_its_time(clip: Path) -> None:
    with open_video(clip) as container:
        found = list(pictures(container))
    assert [number_in(picture.rgb) for picture in found] == list(range(30))
    assert [picture.pts_s for picture in found] == pytest.approx(
        [index / 10 for index in range(30)]
    )


def test_live_decoding_gives_the_same_pixels(clip: Path) -> None:
    with open_video(clip) as container:
        usual = [picture.rgb for picture in pictures(container)]
    with open_video(clip) as container:
        live = [picture.rgb for picture in pictures(container, live=True)]
    np.testing.assert_array_equal(np.stack(live), np.stack(usual))


def test_no_frame_waits_for_the_collector(clip: Path) -> None:
    """A decoder's memory is bounded, and a frame's conversion holds threads."""
    gc.collect()
    gc.disable()
    try:
        with open_video(clip) as container:
            for _ in pictures(container, live=True):
                pass
        kept = [thing for thing in gc.get_objects() if type(thing) is av.VideoFrame]
    finally:
        gc.enable()
    assert len(kept) <= 1


def test_a_clip_is_read_whole(clip: Path) -> None:
    made = read_clip(clip, READY)
    assert made.shape == (30, 64, 64, 3)
    assert [number_in(pixels) for pixels in made] == list(range(30))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile '{clip}'\n"),
        ("list.mp4", "ffconcat version 1.0\nfile '{clip}'\n"),
        (
            "stream.sdp",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
            "m=video 5004 RTP/AVP 96\n",
        ),
        ("notes.mp4", "nothing moves here"),
        ("empty.mp4", ""),
    ],
)
def test_what_names_other_files_or_is_no_video_is_refused(
    tmp_path: Path, clip: Path, name: str, text: str
) -> None:
    path = tmp_path / name
    path.write_text(text.format(clip=clip))
    with pytest.raises(VideoError, match=f"{name} cannot be opened as a video"):
        read_clip(path, READY)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="there is no video in it"):
        read_clip(write_sound(tmp_path / "sound.mp4"), READY)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"none\.mp4 cannot be opened as a video: No such file"):
        read_clip(tmp_path / "none.mp4", READY)


def test_a_file_without_its_index_is_refused(clip: Path) -> None:
    clip.write_bytes(clip.read_bytes()[:-100])
    with pytest.raises(VideoError):
        read_clip(clip, READY)


def test_a_file_that_is_cut_off_says_so_after_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, range(100), options={"bf": "0"}, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    numbers: list[int] = []

    def read() -> None:
        with open_video(path) as container:
            numbers.extend(number_in(picture.rgb) for picture in pictures(container))

    with pytest.raises(VideoError, match=r"the file is cut off: it ends at [0-9.]+ s") as told:
        read()
    assert f" {numbers[-1] / 10:.1f} s" in str(told.value)
    assert 20 < len(numbers) < 100
    assert numbers == list(range(len(numbers)))


def test_packets_that_cannot_be_decoded_are_told_and_passed_over(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", range(30), options={"bf": "0", "g": "10"})
    damage(path, [10, 11, 12])
    broken: list[None] = []
    with open_video(path) as container:
        found = list(pictures(container, lambda: broken.append(None)))
    assert [number_in(picture.rgb) for picture in found] == [*range(10), *range(20, 30)]
    assert len(broken) >= 3
    with pytest.raises(VideoError, match="of its packets or pictures are damaged"):
        read_clip(path, READY)


@dataclass
class FakeFrame:
    key_frame: bool = False
    is_corrupt: bool = False


KEY, PLAIN, CORRUPT = FakeFrame(key_frame=True), FakeFrame(), FakeFrame(is_corrupt=True)
CORRUPT_KEY = FakeFrame(key_frame=True, is_corrupt=True)


@pytest.mark.parametrize(
    ("frames", "believed"),
    [
        ([KEY, PLAIN, PLAIN], "yyy"),
        ([PLAIN, PLAIN], "yy"),  # intra refresh: there is never a keyframe
        ([KEY, CORRUPT, PLAIN, PLAIN, KEY, PLAIN], "ynnnyy"),
        ([KEY, CORRUPT_KEY, PLAIN, KEY], "ynny"),
        ([CORRUPT_KEY, KEY], "ny"),
        ([CORRUPT, *[PLAIN] * TAINTED], "n" * TAINTED + "y"),
    ],
)
def test_what_follows_a_damaged_picture_is_not_believed_until_a_keyframe(
    frames: list[FakeFrame], believed: str
) -> None:
    damage = DamageFilter(packets_lost=lambda: False)
    assert "".join("y" if damage.accepts(frame) else "n" for frame in frames) == believed


def test_after_a_packet_that_cannot_be_decoded_a_keyframe_is_waited_for() -> None:
    damage = DamageFilter(packets_lost=lambda: False)
    damage.packet_failed()  # before the first picture: libav waits by itself
    assert damage.accepts(PLAIN)
    damage.packet_failed()
    assert [damage.accepts(frame) for frame in (PLAIN, KEY)] == [False, True]


def test_where_pictures_are_reordered_a_keyframe_from_before_the_damage_may_come_after_it() -> None:
    damage = DamageFilter(packets_lost=lambda: False, reorders=True)
    assert damage.accepts(KEY)
    damage.packet_failed()
    frames = [PLAIN, KEY, *[PLAIN] * 5, KEY, PLAIN]
    assert "".join("y" if damage.accepts(frame) else "n" for frame in frames) == "n" * 7 + "yy"


def test_a_keyframe_that_may_have_lost_packets_itself_does_not_count() -> None:
    missing = [False, True, *[False] * 20]
    damage = DamageFilter(packets_lost=lambda: missing.pop(0))
    frames = [KEY, PLAIN, KEY, *[PLAIN] * 5, KEY, PLAIN]
    assert (
        "".join("y" if damage.accepts(frame) else "n" for frame in frames) == "y" + "n" * 7 + "yy"
    )


def test_packets_without_a_picture_are_not_waited_for_for_ever(clip: Path) -> None:
    with (
        open_video(clip) as container,
        pytest.raises(NoPictureError, match="packets come, but no whole picture for 0 s"),
    ):
        list(pictures(container, patience_s=0.0))


def test_a_stream_that_begins_without_a_keyframe_is_taken_from_the_first_one(
    tmp_path: Path,
) -> None:
    """Decoders of MPEG-4 do not wait for it: they make pictures of nothing."""
    for codec in ("mpeg4", "mpeg2video", "libx264"):
        whole = write_clip(
            tmp_path / "whole.ts", range(30), codec=codec, fps=25, options={"g": "10"}
        )
        path = tmp_path / f"{codec}.ts"
        with av.open(str(whole)) as source, av.open(str(path), "w") as target:
            given = source.streams.video[0]
            made = target.add_stream_from_template(given)
            for packet in list(source.demux(given))[3:-1]:
                packet.stream = made
                target.mux(packet)
        for live in (False, True):
            with open_video(path) as container:
                found = [number_in(picture.rgb) for picture in pictures(container, live=live)]
            assert found == list(range(10, 30)), codec


def test_endless_damage_ends_the_stream(tmp_path: Path) -> None:
    path = damage(write_clip(tmp_path / "clip.mp4", range(250)))
    with pytest.raises(VideoError):
        read_clip(path, READY)


def test_a_header_announces_frames_rate_and_size(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", range(25), fps=25, size_px=(64, 48))
    assert read_info(clip) == ClipInfo(
        frames=25, fps=25.0, width_px=64, height_px=48, duration_s=1.0
    )
    with pytest.raises(VideoError, match="no video in it"):
        read_info(write_sound(tmp_path / "sound.mp4"))
