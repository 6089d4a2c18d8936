"""Clips and still pictures from the ring's packets, for each codec and each order of packets."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.errors import VideoError
from lookout.models.media.clip_writer import ClipOutput, decoding_times, still
from lookout.models.media.packet_ring import PacketRing
from tests.clips import number_in, write_clip

SIDE = (320, 240)
CODECS = {
    "h264": ("mp4", "libx264", "yuv420p", {"g": "10", "bf": "2"}),
    "h264 annex b": ("ts", "libx264", "yuv420p", {"g": "10", "bf": "2"}),
    "hevc": ("ts", "libx265", "yuv420p", {"x265-params": "keyint=10:log-level=none"}),
    "mjpeg": ("avi", "mjpeg", "yuvj420p", {}),
    "mpeg4": ("avi", "mpeg4", "yuv420p", {"g": "10"}),
}
TAGS = {"hevc": "hvc1", "h264": "avc1"}


def stream_of(path: Path) -> Iterator[tuple[Any, list[Any]]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        yield stream, [packet for packet in container.demux(stream) if packet.size]


def clip_of(folder: Path, kind: str) -> Path:
    suffix, codec, pix_fmt, options = CODECS[kind]
    path = folder / f"clip.{suffix}"
    return write_clip(path, range(60), size_px=SIDE, codec=codec, pix_fmt=pix_fmt, options=options)


def filled(packets: list[Any], most_bytes: int = 2**24, most_s: float = 100.0) -> PacketRing:
    """A ring whose stream's zero is at 1000 s."""
    ring = PacketRing(most_bytes, most_s)
    for packet in packets:
        ring.add(packet)
    first = min(float(packet.pts * packet.time_base) for packet in packets)
    ring.tie(first, 1000.0)
    return ring


def numbers_in(content: bytes) -> list[int]:
    with av.open(io.BytesIO(content), "r") as container:
        frames = container.decode(video=0)
        return [
            number_in(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)) for frame in frames
        ]


@pytest.mark.parametrize("kind", CODECS)
def test_a_clip_begins_at_the_keyframe_before_and_plays_to_its_end(
    tmp_path: Path, kind: str
) -> None:
    for stream, packets in stream_of(clip_of(tmp_path, kind)):
        ring = filled(packets)
        chosen = ring.between(1001.45, 1003.25)
        clip = ClipOutput(stream).write(chosen)
        name = stream.codec_context.name
    numbers = numbers_in(clip.content)
    first = 14 if kind == "mjpeg" else 10  # each of its pictures is a keyframe
    assert numbers[0] == first
    assert {*range(first, 33)} <= {*numbers} <= {*range(first, 36)}
    assert numbers == sorted(numbers)
    assert clip.seconds == pytest.approx((numbers[-1] - first) / 10, abs=0.01)
    with av.open(io.BytesIO(clip.content), "r") as container:
        written = container.streams.video[0]
        assert written.codec_context.codec_tag == TAGS.get(name, "mp4v")
        order = [packet.dts or 0 for packet in container.demux(written) if packet.size]
    assert order == sorted({*order})


def test_a_clip_of_a_varying_rate_keeps_its_times(tmp_path: Path) -> None:
    gaps = itertools.islice(itertools.cycle([0.02, 0.5, 0.1, 1.3]), 60)
    times = list(itertools.accumulate(gaps, initial=0.0))[:60]
    options = {"g": "10", "bf": "2"}
    path = write_clip(tmp_path / "clip.mp4", range(60), times_s=times, options=options)
    for stream, packets in stream_of(path):
        chosen = filled(packets).between(1000 + times[14], 1000 + times[33])
        clip = ClipOutput(stream).write(chosen)
    numbers = numbers_in(clip.content)
    assert (numbers[0], numbers[-1]) == (10, 33)
    with av.open(io.BytesIO(clip.content), "r") as container:
        shown = [float(frame.time or 0.0) for frame in container.decode(video=0)]
    expected = [times[number] - times[10] for number in numbers]
    assert [at - shown[0] for at in shown] == pytest.approx(expected, abs=0.001)
    assert clip.seconds == pytest.approx(times[33] - times[10], abs=0.001)


def test_where_keyframes_are_rare_a_clip_begins_at_the_last_one(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", range(60), options={"g": "1000"})
    for stream, packets in stream_of(path):
        ring = filled(packets, most_s=2.0)
        clip = ClipOutput(stream).write(ring.between(1004.0, 1005.0))
    numbers = numbers_in(clip.content)
    assert numbers[0] == 0
    assert clip.seconds == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("kind", CODECS)
def test_a_still_is_the_picture_of_its_time(tmp_path: Path, kind: str) -> None:
    for stream, packets in stream_of(clip_of(tmp_path, kind)):
        context = stream.codec_context
        ring = filled(packets)
        for number in (0, 14, 20, 27, 59):
            at = 1000.0 + number / 10
            chosen = ring.between(at, at + 1.0)
            pts = packets[0].pts + round(number / 10 / packets[0].time_base)
            pixels = still(context.name, context.extradata, chosen, pts)
            assert pixels.shape == (SIDE[1], SIDE[0], 3)
            assert number_in(pixels) == number


def test_a_codec_that_mp4_lacks_is_named(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.webm", range(10), codec="libvpx")
    for stream, _ in stream_of(path):
        with pytest.raises(VideoError, match="vp8 cannot be put into an mp4 file"):
            ClipOutput(stream)


def test_without_a_keyframe_there_is_no_clip(tmp_path: Path) -> None:
    for stream, packets in stream_of(clip_of(tmp_path, "h264")):
        ring = filled(packets[1:9])
        with pytest.raises(VideoError, match="no keyframe"):
            ClipOutput(stream).write(ring.between(1000.0, 1001.0))


def test_the_ring_is_bounded_by_bytes_and_seconds(tmp_path: Path) -> None:
    for _, packets in stream_of(clip_of(tmp_path, "h264")):
        size = sum(packet.size for packet in packets)
        by_time = filled(packets, most_s=2.0)
        by_size = filled(packets, most_bytes=size // 2)
        nothing = filled(packets, most_bytes=10)
    kept = by_time.between(0.0, 1e9)
    assert kept[0].is_keyframe
    assert by_time.at(kept[0]) == pytest.approx(1003.0)  # of 5.9 s; whole groups only
    assert by_size.size <= size // 2
    assert by_size.between(0.0, 1e9)[0].is_keyframe
    assert (nothing.size, nothing.between(0.0, 1e9)) == (0, [])


def test_a_clock_that_jumps_begins_the_ring_anew(tmp_path: Path) -> None:
    for _, packets in stream_of(clip_of(tmp_path, "h264")):
        ring = filled(packets[:30])
        for packet in packets[:10]:
            packet.pts += round(60 / packet.time_base)
            ring.add(packet)
        assert ring.newest_at is None
        ring.tie(60.0, 2000.0)
        assert len(ring.between(0.0, 1e9)) == 10


@given(st.lists(st.integers(0, 2**33), min_size=1, max_size=50))
def test_times_of_decoding_ascend_and_come_before_those_of_display(shown: list[int]) -> None:
    order = decoding_times(shown)
    assert all(before < after for before, after in itertools.pairwise(order))
    assert all(dts <= pts for dts, pts in zip(order, shown, strict=True))
