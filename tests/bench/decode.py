"""Decode and preprocess against bare PyAV decoding of the same clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av

from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from tests.bench.footage import median_s, scene_clip


def report(folder: Path, seconds: float = 30.0, repeats: int = 5) -> Iterator[str]:
    """Yield one line: frames a second of `read_clip` and of bare decoding, and their ratio."""
    clip = scene_clip(folder, seconds)
    frames = round(seconds * 10)

    def bare() -> None:
        with av.open(str(clip)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for _ in container.decode(video=0):
                pass

    bare_fps = frames / median_s(bare, repeats)
    ours_fps = frames / median_s(lambda: read_clip(clip, Preprocess()), repeats)
    yield (
        f"decode + RGB + resize to 256x256: {ours_fps:.0f} frames/s; "
        f"bare PyAV decode: {bare_fps:.0f} frames/s; ratio {ours_fps / bare_fps:.2f}"
    )
