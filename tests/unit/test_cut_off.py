"""Recordings that end before what their container announces: told, in any container."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookout.models.data.clips import Reading, clip_parts
from lookout.models.errors import VideoError
from lookout.models.media.clip_reader import read_clip, read_parts
from lookout.models.media.ending import CHECKS, is_cut_off, opens_cut_off
from lookout.models.media.preprocess import Preprocess
from tests.clips import number_in, write_clip
from tests.conftest import with_long_forms

SIZE = Preprocess(64, 64)
FRAMES = 50
CUTS = 12
OPTIONS = {"g": "10", "bf": "0"}
QUICK = {"deadline": "realtime", "cpu-used": "8"}
"""Of libvpx, which takes its time otherwise."""
CONTAINERS: list[tuple[str, str, dict[str, object]]] = [
    ("mp4", "libx264", {}),
    ("fast.mp4", "libx264", {"container_options": {"movflags": "faststart"}}),
    ("parts.mp4", "libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("mov", "libx264", {}),
    ("mkv", "libx264", {}),
    ("live.mkv", "libx264", {"container_options": {"live": "1"}}),
    ("webm", "libvpx", {"options": QUICK}),
    ("avi", "mpeg4", {}),
    ("ts", "libx264", {}),
    ("m2ts", "libx264", {}),
    ("mpg", "mpeg2video", {}),
    ("flv", "libx264", {}),
    ("ogv", "libvpx", {"kind": "ogg", "options": QUICK}),
    ("wmv", "wmv2", {}),
    ("mxf", "mpeg2video", {"fps": 25}),
    ("nut", "mpeg4", {}),
    ("ivf", "libvpx", {"options": QUICK}),
    ("gif", "gif", {"pix_fmt": "rgb8", "options": {}}),
    ("apng", "apng", {"pix_fmt": "rgb24", "options": {}}),
    ("y4m", "wrapped_avframe", {"kind": "yuv4mpegpipe", "options": {}}),
    ("mjpeg", "mjpeg", {"pix_fmt": "yuvj420p", "options": {}}),
]


def write(folder: Path, ending: str, codec: str, options: dict[str, object]) -> Path:
    given: dict[str, object] = {"codec": codec, "options": OPTIONS, **options}
    return write_clip(folder / f"clip.{ending}", range(FRAMES), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ending", "codec", "options"),
    with_long_forms(CONTAINERS, {"mp4", "mkv", "avi", "ts", "mjpeg"}),
)
def test_a_recording_is_told_to_be_cut_off_wherever_it_is_cut(
    tmp_path: Path, ending: str, codec: str, options: dict[str, object]
) -> None:
    path = write(tmp_path, ending, codec, options)
    whole = path.read_bytes()
    assert not read_parts(path, SIZE).cut_off
    for cut in range(1, CUTS):
        # A stream of packets of one length may end behind any of them.
        path.write_bytes(whole[: len(whole) * cut // CUTS // 188 * 188 - 3])
        try:
            recording = read_parts(path, SIZE)
        except VideoError as error:
            assert "cut off" in str(error) or path.stat().st_size < 500, (cut, error)
            continue
        assert "the file is cut off: " in recording.cut_off, cut
        shown = [number_in(frame) for part in recording.parts for frame in part[:-1]]
        assert shown == sorted(set(shown)), cut
        with pytest.raises(VideoError, match=rf"clip\.{ending}: the file is cut off"):
            read_clip(path, SIZE)


@pytest.mark.parametrize(
    ("ending", "codec", "options"),
    [
        # Its clock turns over in the recording.
        ("ts", "libx264", {"container_options": {"output_ts_offset": "95440"}}),
        ("ts", "libx264", {"container_options": {"output_ts_offset": "3600"}}),
        # Its index stands at its end, and is gone.
        ("avi", "mjpeg", {"pix_fmt": "yuvj420p", "options": {}}),
    ],
)
def test_the_end_is_counted_from_the_first_picture(
    tmp_path: Path, ending: str, codec: str, options: dict[str, object]
) -> None:
    path = write(tmp_path, ending, codec, options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    recording = read_parts(path, SIZE)
    last = sum(map(len, recording.parts)) - 1
    assert 10 < last < 40
    assert f"it ends at {last / 10:.1f} s" in recording.cut_off


def test_training_uses_what_is_left_with_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "mkv", "libx264", {})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    lines: list[str] = []
    parts = clip_parts(path, SIZE, 5, Reading(on_damage=lines.append))
    used = sum(map(len, parts))
    assert 10 < used < 40
    (line,) = lines
    assert line.startswith("clip.mkv: ")
    assert "the file is cut off: it ends at " in line
    assert line.endswith(f"{used} used, in 1 piece")
    with pytest.raises(VideoError, match=r"clip\.mkv: the file is cut off"):
        clip_parts(path, SIZE, 5)


def test_a_file_of_any_content_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    for content in (b"", b"\0" * 700, b"\xff" * 700, b"RIFF", b"\x1a\x45\xdf\xa3", b"OggS" * 50):
        path.write_bytes(content)
        assert {is_cut_off(path, kind) for kind in CHECKS} <= {True, False}
        assert opens_cut_off(path) in (True, False)
    assert not is_cut_off(path, "h264")  # raw video announces nothing
