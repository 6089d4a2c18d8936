"""Recordings that are legal and odd, or damaged on the way: what is shown of each."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.data.clips import Reading, clip_parts
from lookout.models.errors import CutOffError, VideoError
from lookout.models.media.clip_reader import read_clip, read_info, read_parts
from lookout.models.media.container import open_video
from lookout.models.media.decode import Picture, pictures
from lookout.models.media.preprocess import Preprocess
from lookout.models.media.transport_stream import VIDEO_KINDS, video_codecs
from tests.clips import number_in, numbered, write_clip
from tests.conftest import with_long_forms, with_wide_forms

READY = Preprocess(64, 64)
GOP = {"g": "10", "bf": "0"}
TS_BYTES = 188
TS_VIDEO = 256


def shown(path: Path, *, live: bool = False) -> tuple[list[Picture], int]:
    """Return the pictures of a file, and how many packets and pictures were damaged."""
    damaged: list[None] = []
    with open_video(path) as container:
        found = list(pictures(container, lambda: damaged.append(None), live=live))
    return found, len(damaged)


def numbers(found: list[Picture]) -> list[int]:
    return [number_in(picture.rgb) for picture in found]


# Transport streams: what is lost on the way is marked, and a decoder guesses it


def video_packets(stream: bytes) -> list[int]:
    """Return where the packets of the video begin."""
    starts = range(0, len(stream), TS_BYTES)
    return [at for at in starts if int.from_bytes(stream[at + 1 : at + 3]) & 0x1FFF == TS_VIDEO]


def lose(stream: bytearray, at: int) -> None:
    del stream[at : at + TS_BYTES]


def mark(stream: bytearray, at: int) -> None:
    """Set the transport error indicator, as a receiver does."""
    stream[at + 1] |= 0x80


@pytest.mark.parametrize("damage", with_wide_forms([lose, mark], {lose}))
@pytest.mark.parametrize("reordered", with_long_forms([False, True], {True}))
def test_no_picture_of_a_damaged_transport_stream_is_a_guess(
    tmp_path: Path, damage: Callable[[bytearray, int], None], reordered: bool
) -> None:
    options = {"g": "10", "bf": "2"} if reordered else GOP
    whole = write_clip(tmp_path / "clip.ts", range(60), options=options).read_bytes()
    path = tmp_path / "damaged.ts"
    places = video_packets(whole)
    undamaged = shown(tmp_path / "clip.ts")[0]
    first_s = undamaged[0].pts_s or 0.0
    # libav marks the packet before: damage to the first one, or loss of the last, leaves no mark.
    for place in places[8:-2:5]:
        stream = bytearray(whole)
        damage(stream, place)
        path.write_bytes(stream)
        for live in (False, True):
            found, damaged = shown(path, live=live)
            assert damaged or len(found) == 60
            assert len(found) >= 60 - 22
            for picture in found:
                index = round(((picture.pts_s or 0.0) - first_s) * 10)
                assert np.array_equal(picture.rgb, undamaged[index].rgb), (place, index)
        if damaged:
            with pytest.raises(VideoError, match="are damaged"):
                read_clip(path, READY)


def test_transport_streams_that_are_joined_keep_every_picture(tmp_path: Path) -> None:
    """Their counters disagree at the joint, as after a loss."""
    one = write_clip(tmp_path / "one.ts", range(30), options=GOP)
    two = write_clip(tmp_path / "two.ts", range(100, 130), options={"g": "10", "bf": "2"})
    path = tmp_path / "joined.ts"
    path.write_bytes(one.read_bytes() + two.read_bytes() * 2)
    found, damaged = shown(path)
    assert (numbers(found), damaged) == ([*range(30), *range(100, 130), *range(100, 130)], 0)


# What a container says of its pictures


def crop(path: Path, left: int, top: int, right: int, bottom: int) -> Path:
    """Write PixelCrop into the track of an mkv, in the place of what says nothing."""
    data = path.read_bytes()
    at = data.index(b"\xe0\x8a\xb0")  # Video: size, PixelWidth
    sides = ((0xCC, left), (0xBB, top), (0xDD, right), (0xAA, bottom))
    cut = b"".join(bytes([0x54, name, 0x81, value]) for name, value in sides)
    video = b"\xe0" + bytes([0x80 + 25]) + data[at + 2 : at + 8] + cut + b"\xec\x81\0"
    assert data[at + len(video) :].startswith(b"\x63\xa2")  # CodecPrivate
    path.write_bytes(data[:at] + video + data[at + len(video) :])
    return path


@pytest.mark.parametrize("sides", [(16, 20, 32, 4), (1, 0, 0, 0), (0, 0, 0, 7), (3, 5, 7, 9)])
def test_pixel_crop_is_obeyed(tmp_path: Path, sides: tuple[int, int, int, int]) -> None:
    path = write_clip(tmp_path / "clip.mkv", range(5))
    before = [picture.rgb for picture in shown(path)[0]]
    left, top, right, bottom = sides
    after = [picture.rgb for picture in shown(crop(path, *sides))[0]]
    for whole, part in zip(before, after, strict=True):
        assert np.array_equal(part, whole[top : 120 - bottom, left : 160 - right])
    info = read_info(path)
    assert (info.width_px, info.height_px) == (160 - left - right, 120 - top - bottom)


def test_a_crop_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    path = crop(write_clip(tmp_path / "clip.mkv", range(5)), 100, 100, 100, 100)
    with pytest.raises(VideoError, match=r"clip\.mkv cannot be opened as a video"):
        shown(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_of_mjpeg_are_turned_and_mirrored_as_exif_says(
    tmp_path: Path, orientation: int
) -> None:
    entry = struct.pack(">HHHIHH", 1, 0x112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + entry + bytes(4)
    _, encoded = cv2.imencode(".jpg", numbered(5)[:, :, ::-1])
    jpeg = encoded.tobytes()
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    path = tmp_path / "clip.mjpeg"
    path.write_bytes(jpeg * 3)
    found, damaged = shown(path)
    assert damaged == 0
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    for picture in found:
        assert picture.rgb.shape == image.shape
        assert np.abs(picture.rgb.astype(int) - image[:, :, ::-1]).max() <= 2


@pytest.mark.parametrize("ratio", [Fraction(1, 1), Fraction(64, 45), Fraction(10, 11)])
def test_the_shape_of_a_pixel_changes_nothing(tmp_path: Path, ratio: Fraction) -> None:
    """The model's size is the same for all cameras, whatever their pixels' shape."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = 160
        stream.height = 120
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with open_video(path) as container:
        assert container.streams.video[0].sample_aspect_ratio == ratio
    found, _ = shown(path)
    assert numbers(found) == [0, 1, 2, 3, 4]
    assert {picture.rgb.shape for picture in found} == {(120, 160, 3)}


# What packets may hold


def test_empty_packets_of_an_avi_are_pauses(tmp_path: Path) -> None:
    """They say that the picture before stays: nothing new, and no damage."""
    kept = [number for number in range(30) if number not in (7, 8, 15)]
    path = write_clip(
        tmp_path / "clip.avi",
        kept,
        times_s=[number / 10 for number in kept],
        codec="mpeg4",
        options=GOP,
    )
    assert path.read_bytes().count(b"00dc\0\0\0\0") >= 3
    for live in (False, True):
        found, damaged = shown(path, live=live)
        assert (numbers(found), damaged) == (kept, 0)
        assert [round((picture.pts_s or 0.0) * 10) for picture in found] == kept
    assert len(read_clip(path, READY)) == len(kept)


def two_sizes(folder: Path, ending: str) -> Path:
    """Write 20 numbered frames of 160x120 and then 20 of 320x180, with time stamps that go on."""
    one = write_clip(folder / f"one.{ending}", range(20), options=GOP)
    times_s = [2 + number / 10 for number in range(20)]
    two = write_clip(
        folder / f"two.{ending}", range(20, 40), size_px=(320, 180), options=GOP, times_s=times_s
    )
    head = 13 if ending == "flv" else 0
    path = folder / f"clip.{ending}"
    path.write_bytes(one.read_bytes() + two.read_bytes()[head:])
    return path


@pytest.mark.parametrize("ending", ["flv", "h264"])
def test_another_size_in_mid_stream_goes_on(tmp_path: Path, ending: str) -> None:
    """Of flv, new parameters come beside a packet (`new_extradata`); of raw video, within it."""
    path = two_sizes(tmp_path, ending)
    if ending == "flv":
        with av.open(str(path)) as container:
            packets = container.demux(video=0)
            assert [n for n, one in enumerate(packets) if one.has_sidedata("new_extradata")] == [20]
    for live in (False, True):
        found, damaged = shown(path, live=live)
        assert (numbers(found), damaged) == ([*range(40)], 0)
        sizes = [picture.rgb.shape[:2] for picture in found]
        assert sizes == [(120, 160)] * 20 + [(180, 320)] * 20


@pytest.mark.parametrize(
    ("ending", "codec", "before", "after"),
    [
        ("h264", "libx264", "yuv420p", "yuv444p"),
        ("h264", "libx264", "yuv422p10le", "yuv420p"),
        ("hevc", "libx265", "yuv420p", "yuv420p10le"),
        ("flv", "libx264", "yuv420p", "yuv422p10le"),
        ("h264", "libx264", "yuv420p", "yuvj420p"),
        ("mjpeg", "mjpeg", "yuvj420p", "yuvj444p"),
        ("ts", "libx264", "yuv444p", "yuv420p"),
    ],
)
def test_another_form_of_pixels_in_mid_stream_goes_on(
    tmp_path: Path, ending: str, codec: str, before: str, after: str
) -> None:
    path = joined(
        write_clip(tmp_path / f"one.{ending}", range(20), codec=codec, pix_fmt=before),
        write_clip(tmp_path / f"two.{ending}", range(20, 40), codec=codec, pix_fmt=after),
    )
    found, damaged = shown(path)
    assert (numbers(found), damaged) == ([*range(40)], 0)
    with av.open(str(path)) as container:  # each picture converted on its own
        alone = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_array_equal([picture.rgb for picture in found], alone)


def joined(one: Path, two: Path) -> Path:
    """Return a file that is one and then the other."""
    head = 13 if one.suffix == ".flv" else 0
    path = one.with_stem("joined")
    path.write_bytes(one.read_bytes() + two.read_bytes()[head:])
    return path


def another_codec(folder: Path, first: int, second: int, codecs: tuple[str, str]) -> Path:
    """Return a transport stream of so many pictures in one codec, and then in another."""
    return joined(
        write_clip(folder / "one.ts", range(first), codec=codecs[0], options=GOP),
        write_clip(folder / "two.ts", range(first, second), codec=codecs[1], options=GOP),
    )


def test_another_codec_in_mid_stream_is_damage_and_not_the_decoders_last_words(
    tmp_path: Path,
) -> None:
    found, damaged = shown(another_codec(tmp_path, 20, 40, ("libx264", "libx265")), live=True)
    assert set(numbers(found)) < set(range(40))
    assert damaged >= 10


@pytest.mark.parametrize(
    ("told", "first", "second", "codecs"),
    with_long_forms(
        [
            ("H.264 to MPEG-2", 10, 40, ("libx264", "mpeg2video")),  # libav reads the second alone
            ("H.264 to H.265", 20, 40, ("libx264", "libx265")),
            ("H.264 to H.265", 20, 200, ("libx264", "libx265")),  # more than may be broken in a row
            ("H.265 to H.264", 10, 40, ("libx265", "libx264")),
            ("MPEG-2 to H.264", 10, 40, ("mpeg2video", "libx264")),
            ("MPEG-4 to H.264", 30, 40, ("mpeg4", "libx264")),
        ],
        ["H.264 to MPEG-2"],
    ),
)
def test_a_recording_whose_video_changes_its_codec_says_so_after_its_frames(
    tmp_path: Path, told: str, first: int, second: int, codecs: tuple[str, str]
) -> None:
    path = another_codec(tmp_path, first, second, codecs)
    with pytest.raises(VideoError, match=f"its video changes from {told}, of which one is read"):
        shown(path)
    with pytest.raises(VideoError, match=told):
        read_clip(path, READY)


@pytest.mark.parametrize(("length", "offset"), [(188, 0), (192, 4), (204, 0)])
def test_the_codecs_of_a_transport_stream_are_found_in_every_form_of_packets(
    tmp_path: Path, length: int, offset: int
) -> None:
    stream = another_codec(tmp_path, 10, 20, ("libx264", "mpeg2video")).read_bytes()
    path = tmp_path / "form.ts"
    path.write_bytes(
        b"".join(
            bytes(offset) + stream[at : at + TS_BYTES] + bytes(length - offset - TS_BYTES)
            for at in range(0, len(stream), TS_BYTES)
        )
    )
    assert video_codecs(path, TS_VIDEO) == ["H.264", "MPEG-2"]
    assert video_codecs(path, TS_VIDEO + 1) == []


@given(content=st.binary(max_size=600), pid=st.integers(0, 0x1FFF))
def test_any_content_can_be_asked_for_its_codecs(content: bytes, pid: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        for begun in (b"", b"\x47\x40\x00\x10\x00", b"\x47\x40\x00\x30"):
            file.seek(0)
            file.write(begun + content)
            file.flush()
            assert set(video_codecs(Path(file.name), pid)) <= set(VIDEO_KINDS.values())


def test_a_video_that_goes_on_in_another_track_says_so_after_its_frames(tmp_path: Path) -> None:
    """A recorder that is restarted may number its tracks anew."""
    other = {"mpegts_start_pid": "0x200"}
    path = joined(
        write_clip(tmp_path / "one.ts", range(20), options=GOP),
        write_clip(tmp_path / "two.ts", range(20, 60), options=GOP, container_options=other),
    )
    found: list[int] = []
    with (
        open_video(path) as container,
        pytest.raises(CutOffError, match=r"after [0-9.]+ s the video goes on in another track"),
    ):
        found.extend(number_in(picture.rgb) for picture in pictures(container))
    assert found == [*range(20)]


@pytest.mark.parametrize("sample_fps", [None, 10.0])
def test_training_footage_is_cut_where_the_size_changes(
    tmp_path: Path, sample_fps: float | None
) -> None:
    """No window of frames holds pictures of two sizes, as none does of a camera."""
    path = two_sizes(tmp_path, "flv")
    lines: list[str] = []
    reading = Reading(sample_fps=sample_fps, on_damage=lines.append)
    parts = clip_parts(path, READY, 5, reading)
    assert [[number_in(frame) for frame in part] for part in parts] == [
        [*range(20)],
        [*range(20, 40)],
    ]
    assert lines == []
    assert read_parts(path, READY, sample_fps=sample_fps).damaged == 0
    # What is compared with labels keeps every frame.
    assert [number_in(frame) for frame in read_clip(path, READY)] == [*range(40)]
