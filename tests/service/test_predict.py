"""`lookout predict`: a whole video with heat and curve, or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.media.lossless_clip import write_lossless
from lookout.models.media.video_writer import CODECS, VideoWriter, best_codec
from lookout.models.vision.curve import HIGH, LINE, Curve
from lookout.service.replay.overlay_video import STRIP_PX
from tests.cli import lookout
from tests.tiny import street, write_overflowing, write_tiny
from tests.waiting import wait_until


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mkv"
    write_lossless(path, np.stack([street(number, 160) for number in range(30)]), 10)
    return path


def frames_of(path: Path) -> tuple[list[Pixels], list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]
    return pictures, [float(frame.time or 0.0) for frame in frames]


def test_a_video_has_every_scored_frame_with_the_curve_below(clip: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny(tmp_path)
    out = tmp_path / "overlay.mp4"
    said = lookout("predict", clip, "--out", out, "--checkpoint", checkpoint, "--device", "cpu")
    assert f"wrote {out}: 26 frames" in said.out
    pictures, times_s = frames_of(out)
    assert len(pictures) == 26
    assert pictures[0].shape == (160 + STRIP_PX, 160, 3)
    assert times_s == pytest.approx([0.1 * number for number in range(4, 30)], abs=0.002)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_what_cannot_be_predicted_is_one_line_and_no_file(clip: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny(tmp_path)
    out = tmp_path / "overlay.mp4"
    short = tmp_path / "short.mkv"
    write_lossless(short, np.stack([street(number) for number in range(3)]), 10)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    cases = [
        ((short, "--out", out, "--checkpoint", checkpoint), "no frame has a score; it takes 5"),
        ((text, "--out", out, "--checkpoint", checkpoint), "text.mp4 cannot be opened as a video"),
        ((clip, "--out", out, "--checkpoint", "nothing"), "no such file or name"),
        ((clip, "--out", tmp_path / "a.avi"), "must end in .mp4"),
        ((clip, "--out", tmp_path), "must end in .mp4"),
        ((clip, "--out", out, "--checkpoint", clip), "clip.mkv"),
    ]
    for words, line in cases:
        assert line in lookout("predict", *words, "--device", "cpu", expect=1).one_line()
    assert not out.exists()
    assert list(tmp_path.glob(".*")) == []


def test_a_model_that_overflows_gives_a_video_without_a_value(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "overlay.mp4"
    checkpoint = write_overflowing(tmp_path)
    assert "26 frames" in lookout("predict", clip, "--out", out, "--checkpoint", checkpoint).out
    assert len(frames_of(out)[0]) == 26


@pytest.mark.wide  # make test has predictions that cannot be, which leave none either
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_prediction_that_is_stopped_leaves_no_file(number: int, tmp_path: Path) -> None:
    clip = tmp_path / "long.mkv"
    write_lossless(clip, np.stack([street(one, 64) for one in range(100)] * 8), 10)
    out = tmp_path / "overlay.mp4"
    words = ["predict", str(clip), "--out", str(out), "--checkpoint", str(write_tiny(tmp_path))]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lookout", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    try:
        wait_until(lambda: any(tmp_path.glob(".overlay.*")), "it writes", 60)
        process.send_signal(number)
        assert process.wait(30) != 0
    finally:
        process.kill()
        process.wait()
    assert not out.exists()
    assert not any(tmp_path.glob(".overlay.*"))


@pytest.mark.parametrize("codec", CODECS)
def test_every_encoder_that_is_there_writes_the_times(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"no {codec} here")
    monkeypatch.setitem(CODECS, codec, CODECS[codec])
    for other in set(CODECS) - {codec}:
        monkeypatch.delitem(CODECS, other)
    assert best_codec() == codec
    times_s = [0.0, 0.1, 0.1, 0.5, 2.0]
    path = tmp_path / "video.mp4"
    with path.open("wb") as file, VideoWriter(file, 160, 128, 10) as writer:
        for number, at_s in enumerate(times_s):
            writer.add(street(number, 160)[:128], at_s)
    pictures, found_s = frames_of(path)
    assert len(pictures) == 5
    assert found_s == pytest.approx([0.0, 0.1, 0.101, 0.5, 2.0], abs=1e-3)


def is_drawn(strip: Pixels, colour: tuple[int, int, int]) -> bool:
    """Tell whether a strip has a pixel of about a colour."""
    return bool((np.abs(strip.astype(int) - colour).max(axis=-1) < 40).any())


def test_the_curve_keeps_its_last_seconds_and_shows_what_is_high() -> None:
    curve = Curve(200, 96, 0.5)
    strips = [curve.add(number / 10, 0.2) for number in range(400)]
    assert is_drawn(strips[-1], LINE)
    assert not is_drawn(strips[-1], HIGH)
    high = curve.add(40.0, 0.9)
    assert is_drawn(high, HIGH)
    assert len(curve._points) <= 302
    assert curve.add(400.0, None).shape == (96, 200, 3)
    assert not curve._points
