"""Small clips whose frames carry their own number, which survives encoding and scaling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

from lookout.models.arrays import Pixels

BITS = 10
TICKS = 90_000  # a second


def numbered(number: int, width_px: int = 160, height_px: int = 120) -> Pixels:
    """Return (H, W, 3) RGB: the number in binary, as black and white bars from left to right."""
    bits = [number >> bit & 1 for bit in range(BITS)]
    columns = np.arange(width_px) * BITS // width_px
    row = np.array(bits, np.uint8)[columns] * 255
    return np.broadcast_to(row[None, :, None], (height_px, width_px, 3)).copy()


def number_in(pixels: Pixels) -> int:
    """Return the number that `numbered` drew."""
    height_px, width_px, _ = pixels.shape
    centers = ((np.arange(BITS) + 0.5) * width_px / BITS).astype(int)
    return sum(1 << bit for bit, x in enumerate(centers) if pixels[height_px // 2, x].mean() > 127)


def write_clip(
    path: Path,
    numbers: Iterable[int],
    *,
    fps: int = 10,
    size_px: tuple[int, int] = (160, 120),
    times_s: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    kind: str | None = None,
    display_matrix: Sequence[int] | None = None,
) -> Path:
    """Write numbered frames, as H.264 unless said otherwise, at `fps` or at the times given.

    size_px: width, height; kind: libav's name of the container, None: by the path's end;
    display_matrix: 9 numbers, as the container is to say how pictures are turned.
    """
    width_px, height_px = size_px
    with av.open(str(path), "w", format=kind, options=container_options or {}) as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=fps, options=options or {}))
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, pix_fmt
        if display_matrix:
            stream.set_display_matrix(display_matrix)
        ticks = TICKS if codec == "libx264" else fps  # older codecs count in frames
        stream.time_base = stream.codec_context.time_base = Fraction(1, ticks)
        for index, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(
                numbered(number, width_px, height_px), format="rgb24"
            )
            at_s = times_s[index] if times_s else index / fps
            frame.pts, frame.time_base = round(at_s * ticks), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def damage(path: Path, packets: Iterable[int] | None = None) -> Path:
    """Make packets of an mp4 or mkv, by their order in the file, undecodable; None: all."""
    with av.open(str(path)) as container:
        found = [
            (packet.pos or 0, bytes(packet)) for packet in container.demux(video=0) if packet.size
        ]
    content = bytearray(path.read_bytes())
    for number in range(len(found)) if packets is None else packets:
        after, packet = found[number]
        start = content.index(packet, after)  # mkv tells where the block begins that it lies in
        content[start : start + len(packet)] = b"\xff" * len(packet)
    path.write_bytes(content)
    return path


def write_sound(path: Path) -> Path:
    """Write a file with sound and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
