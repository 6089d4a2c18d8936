"""Recordings of every kind that is taken, and what a container says of its tracks and pictures."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.stream import Disposition

from lookout.models.data.clips import evaluation_clips, train_clips
from lookout.models.errors import DataError, VideoError
from lookout.models.media.clip_reader import read_clip, read_info
from lookout.models.media.container import FORMATS, LISTS, NAMED, TAKEN, open_video
from lookout.models.media.decode import pictures
from lookout.models.media.preprocess import Preprocess
from tests.clips import number_in, numbered, write_clip, write_sound
from tests.conftest import with_long_forms

ROOT = Path(__file__).parents[2]
READY = Preprocess(64, 64)
KINDS: list[tuple[str, str, dict[str, object]]] = [
    ("mp4", "libx264", {}),
    ("mov", "libx264", {}),
    ("3gp", "libx264", {}),
    ("mkv", "libx264", {}),
    ("webm", "libvpx", {}),
    ("avi", "mpeg4", {}),
    ("ts", "libx264", {}),
    ("mpg", "mpeg2video", {}),
    ("flv", "libx264", {}),
    ("ogv", "libvpx", {"kind": "ogg"}),
    ("wmv", "wmv2", {}),
    ("asf", "libx264", {}),
    ("mxf", "mpeg2video", {}),
    ("nut", "mpeg4", {}),
    ("ivf", "libvpx", {}),
    ("gif", "gif", {"pix_fmt": "rgb8"}),
    ("apng", "apng", {"pix_fmt": "rgb24"}),
    ("y4m", "wrapped_avframe", {"kind": "yuv4mpegpipe"}),
    ("h264", "libx264", {}),
    ("m2v", "mpeg2video", {}),
    ("m4v", "mpeg4", {"kind": "m4v"}),
    ("mjpeg", "mjpeg", {"pix_fmt": "yuvj420p"}),
    ("mjpg", "mjpeg", {"pix_fmt": "yuvj420p", "kind": "mjpeg"}),
    ("dv", "dvvideo", {"size_px": (720, 576)}),
]


def write_kind(path: Path, codec: str, options: dict[str, object]) -> Path:
    return write_clip(path, range(30), codec=codec, fps=25, **options)  # type: ignore[arg-type]


def write_dav(path: Path, clip: Path) -> Path:
    """Write H.264 of another file as recorders of Dahua do."""
    packed = b""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        bare = BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [made for packet in container.demux(stream) for made in bare.filter(packet)]
        for number, packet in enumerate(packets):
            more = bytes([0x81, 0, 8, 25, 0x82, 0, 0, 0])
            more += struct.pack("<HH", stream.width, stream.height)
            size = 24 + len(more) + packet.size + 8
            packed += b"DHAV" + bytes([0xFD if packet.is_keyframe else 0xFC, 0, 0, 0])
            packed += struct.pack("<IIIHBB", number, size, 24 << 26, number * 40, len(more), 0)
            packed += more + bytes(packet) + b"dhav" + struct.pack("<I", size)
    path.write_bytes(packed)
    return path


@pytest.mark.parametrize(
    ("ending", "codec", "options"),
    with_long_forms(KINDS, {"mp4", "mkv", "webm", "avi", "ts", "gif", "h264", "mjpeg"}),
)
def test_every_kind_is_read_from_a_folder_by_name_and_by_content(
    tmp_path: Path, ending: str, codec: str, options: dict[str, object]
) -> None:
    path = write_kind(tmp_path / f"clip.{ending}", codec, options)
    assert train_clips(tmp_path) == [path]
    assert [number_in(pixels) for pixels in read_clip(path, READY)] == list(range(30))
    if ending not in ("mjpeg", "mjpg"):  # whose name alone tells it from one JPEG
        other = path.rename(tmp_path / "clip.recording")
        assert evaluation_clips(tmp_path) == [other]
        assert len(read_clip(other, READY)) == 30


def test_what_recorders_of_dahua_write_is_read(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", range(30), fps=25, options={"bf": "0"})
    path = write_dav(tmp_path / "clip.dav", clip)
    assert [number_in(pixels) for pixels in read_clip(path, READY)] == list(range(30))


def test_the_documentation_names_the_same_kinds() -> None:
    text = " ".join((ROOT / "docs" / "training.md").read_text().split())
    assert TAKEN in text


def test_no_list_of_other_files_is_taken() -> None:
    assert not LISTS & set(FORMATS.split(","))
    assert not any(name.startswith("image2") or name == "rtp" for name in FORMATS.split(","))


def test_all_of_a_folder_is_used_or_named(tmp_path: Path) -> None:
    kinds = [kind for kind in KINDS if kind[0] in ("mp4", "flv", "wmv", "gif", "h264", "ivf")]
    for ending, codec, options in kinds:
        write_kind(tmp_path / f"clip-{ending}.{ending}", codec, options)
    write_clip(tmp_path / "by-content", range(5), kind="matroska")
    write_clip(tmp_path / "old.rm", range(5), codec="rv10", size_px=(176, 144))
    (tmp_path / "notes.txt").write_text("nothing moves here")
    (tmp_path / "labels.json").write_text("{}")
    (tmp_path / ".hidden").write_text("")
    write_sound(tmp_path / "sound.m4a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "more").mkdir()
    write_clip(tmp_path / "more" / "clip.mp4", range(5))
    lines: list[str] = []
    used = [path.name for path in train_clips(tmp_path, lines.append)]
    assert used == ["by-content", *sorted(f"clip-{ending}.{ending}" for ending, *_ in kinds)]
    assert lines == [
        f"left out of {tmp_path}: more (a folder without images), notes.txt (no recording), "
        "old.rm (recordings of its kind (rm) are not taken; convert it: ffmpeg -i old.rm old.mkv), "
        "pipe (no file), sound.m4a (there is no video in it)"
    ]


def test_what_is_no_file_is_left_out_whatever_its_name_promises(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", range(5))
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "nowhere.mkv").symlink_to("gone.mkv")
    (tmp_path / "round.avi").symlink_to("round.avi")
    (tmp_path / "zero.ts").symlink_to("/dev/zero")
    lines: list[str] = []
    assert train_clips(tmp_path, lines.append) == [tmp_path / "clip.mp4"]
    assert lines == [
        f"left out of {tmp_path}: nowhere.mkv (no file), pipe.mp4 (no file), round.avi (no file), "
        "zero.ts (no file)"
    ]


@pytest.mark.parametrize(
    ("name", "shown"), [(b"bad\xff.mp4", "bad?.mp4"), (b"two\nlines.mp4", "two?lines.mp4")]
)
def test_a_name_that_cannot_be_printed_is_left_out(tmp_path: Path, name: bytes, shown: str) -> None:
    for good in ("clip.mp4", "\u00fcn\u00ef \u3000\U0001f469\u200d\U0001f680.mp4"):
        write_clip(tmp_path / good, range(5))
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    odd.write_bytes((tmp_path / "clip.mp4").read_bytes())
    lines: list[str] = []
    assert len(train_clips(tmp_path, lines.append)) == 2
    reason = "a name with a line end or bytes that are no UTF-8: rename it"
    assert lines == [f"left out of {tmp_path}: {shown} ({reason})"]
    with pytest.raises(DataError, match="has a name with a line end"):
        train_clips(odd)


def test_much_that_is_left_out_is_counted(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text("nothing moves here")
    with pytest.raises(DataError, match=r"holds no video clip .*; in it: 0\.txt .* and 3 more"):
        train_clips(tmp_path)


@pytest.mark.parametrize(
    ("name", "codec", "options", "reason"),
    [
        (
            "clip.rm",
            "rv10",
            {"size_px": (176, 144)},
            r"recordings of its kind \(rm\) are not taken; convert it: ffmpeg -i clip.rm clip.mkv",
        ),
        ("clip.swf", "flv", {}, r"kind \(swf\) are not taken; convert it: ffmpeg -i clip.swf"),
        ("one.png", "png", {"kind": "image2pipe", "pix_fmt": "rgb24"}, "it is one picture"),
    ],
)
def test_a_kind_that_is_not_taken_is_named(
    tmp_path: Path, name: str, codec: str, options: dict[str, object], reason: str
) -> None:
    path = write_kind(tmp_path / name, codec, options)
    for _ in range(2):  # libav's log, which names the kind, leaves out what it has said before
        with pytest.raises(VideoError, match=f"{name} cannot be opened as a video: .*{reason}"):
            read_clip(path, READY)


def test_an_animated_webp_is_told_from_one_picture(tmp_path: Path) -> None:
    pictures = cv2.Animation()
    pictures.frames = [np.full((32, 32, 3), value, np.uint8) for value in (0, 128, 255)]
    pictures.durations = [100, 100, 100]
    path = tmp_path / "moving.webp"
    assert cv2.imwriteanimation(str(path), pictures)
    expected = r"an animated WebP, .* convert it: magick moving\.webp moving\.gif"
    with pytest.raises(VideoError, match=expected):
        read_clip(path, READY)
    still = tmp_path / "still.webp"
    assert cv2.imwrite(str(still), pictures.frames[0])
    with pytest.raises(VideoError, match="it is one picture"):
        read_clip(still, READY)
    path.write_bytes(path.read_bytes()[:20])  # cut within its header
    with pytest.raises(VideoError, match=r"moving\.webp"):
        read_clip(path, READY)


def test_a_codec_that_is_not_known_is_named(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", range(5))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    with pytest.raises(VideoError, match=r"a kind that cannot be decoded here \(zzzz\)"):
        read_clip(path, READY)


# Pictures as they are to be shown

ONE = 2**16
MATRICES = {  # x of x, y of x, x of y, y of y
    "as it is": (ONE, 0, 0, ONE),
    "a quarter clockwise": (0, ONE, -ONE, 0),
    "a half": (-ONE, 0, 0, -ONE),
    "a quarter counter-clockwise": (0, -ONE, ONE, 0),
    "mirrored": (-ONE, 0, 0, ONE),
    "upside down and mirrored": (ONE, 0, 0, -ONE),
    "transposed": (0, ONE, ONE, 0),
    "transposed the other way": (0, -ONE, -ONE, 0),
    "a little": (65_000, 8_000, -8_000, 65_000),
}


def shown(pixels: np.ndarray, name: str) -> np.ndarray:
    """Return a picture as ffmpeg shows one of this matrix."""
    height, width, _ = pixels.shape
    x_of_x, y_of_x, x_of_y, y_of_y = (round(number / ONE) for number in MATRICES[name])
    corners = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
    placed = [(x_of_x * x + x_of_y * y, y_of_x * x + y_of_y * y) for x, y in corners]
    left, top = (min(place[axis] for place in placed) for axis in (0, 1))
    right, bottom = (max(place[axis] for place in placed) for axis in (0, 1))
    result = np.zeros((bottom - top + 1, right - left + 1, 3), np.uint8)
    for y in range(height):
        for x in range(width):
            result[y_of_x * x + y_of_y * y - top, x_of_x * x + x_of_y * y - left] = pixels[y, x]
    return result


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("name", MATRICES)
def test_pictures_are_turned_and_mirrored_as_the_container_says(
    tmp_path: Path, ending: str, name: str
) -> None:
    x_of_x, y_of_x, x_of_y, y_of_y = MATRICES[name]
    matrix = [x_of_x, y_of_x, 0, x_of_y, y_of_y, 0, 0, 0, 2**30]
    path = write_clip(tmp_path / f"clip.{ending}", [1, 2, 3], display_matrix=matrix)
    plain = write_clip(tmp_path / f"plain.{ending}", [1, 2, 3])
    for live in (False, True):
        with open_video(path) as container, open_video(plain) as decoded:
            found = [picture.rgb for picture in pictures(container, live=live)]
            as_coded = [picture.rgb for picture in pictures(decoded, live=live)]
        for one, coded in zip(found, as_coded, strict=True):
            np.testing.assert_array_equal(one, shown(coded, name))
            assert one.flags.c_contiguous
    height_px, width_px, _ = found[0].shape
    info = read_info(path)
    assert (info.width_px, info.height_px) == (width_px, height_px)


@pytest.mark.parametrize("ending", ["mkv", "webm", "nut", "mp4", "flv"])
def test_a_part_of_a_long_recording_is_as_long_as_it_is(tmp_path: Path, ending: str) -> None:
    """It was refused: the frames of 23 hours do not fit in memory."""
    codec = {"webm": "libvpx", "nut": "mpeg4"}.get(ending, "libx264")
    offset = {"output_ts_offset": "82800"}
    path = tmp_path / f"clip.{ending}"
    info = read_info(write_clip(path, range(20), codec=codec, container_options=offset))
    assert info.duration_s == pytest.approx(2.0, abs=0.25)
    assert info.expected_frames(10) <= 23
    assert len(read_clip(path, READY)) == 20


def test_a_picture_whose_side_data_is_not_all_known_is_turned(tmp_path: Path) -> None:
    """MJPEG with the orientation in EXIF: PyAV knows that kind of side data not."""
    path = write_clip(tmp_path / "clip.mjpeg", range(4), codec="mjpeg", pix_fmt="yuvj420p")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif
    path.write_bytes(path.read_bytes().replace(b"\xff\xd8\xff", b"\xff\xd8" + segment + b"\xff"))
    with open_video(path) as container:
        found = [picture.rgb for picture in pictures(container)]
    assert [number_in(np.rot90(rgb)) for rgb in found] == list(range(4))


# Tracks


def write_tracks(path: Path, tracks: list[tuple[int, Disposition]]) -> Path:
    """Write a video track for each number, which all its frames show, with its disposition."""
    with av.open(str(path), "w") as container:
        streams = []
        for _, disposition in tracks:
            is_cover = bool(disposition & Disposition.attached_pic)
            stream = container.add_stream("png" if is_cover else "libx264", rate=10)
            stream.width, stream.height = 160, 120
            stream.pix_fmt = "rgb24" if is_cover else "yuv420p"
            stream.disposition = disposition
            streams.append(stream)
        for (number, disposition), stream in zip(tracks, streams, strict=True):
            for index in range(1 if disposition & Disposition.attached_pic else 6):
                frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
                frame.pts = index
                frame.time_base = Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


NONE, DEFAULT, COVER = Disposition(0), Disposition.default, Disposition.attached_pic


@pytest.mark.parametrize(
    ("tracks", "number"),
    [
        ([(7, NONE), (9, DEFAULT)], 9),
        ([(7, DEFAULT), (9, DEFAULT)], 7),
        ([(7, DEFAULT), (9, NONE)], 7),
        ([(7, COVER), (9, DEFAULT)], 9),
        ([(7, COVER), (8, NONE), (9, DEFAULT)], 9),
    ],
)
def test_the_default_track_is_taken_and_no_cover(
    tmp_path: Path, tracks: list[tuple[int, Disposition]], number: int
) -> None:
    endings = ["mp4"] if tracks[0][1] == COVER else ["mp4", "mkv"]
    for ending in endings:
        path = write_tracks(tmp_path / f"clip.{ending}", tracks)
        clip = read_clip(path, READY)
        assert [number_in(pixels) for pixels in clip] == [number] * 6
        assert read_info(path).fps == 10


def test_a_cover_alone_is_no_video(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "clip.mp4", [(7, COVER)])
    with pytest.raises(VideoError, match="there is no video in it"):
        read_clip(path, READY)


def test_names_that_promise_a_recording() -> None:
    assert all(NAMED.fullmatch(name) for name in ("a.MP4", "a.b.dav", "Train.Wmv", "x.mpeg"))
    assert not any(NAMED.fullmatch(name) for name in (".mp4", "mp4", "a.mp4.part", "a.png"))
