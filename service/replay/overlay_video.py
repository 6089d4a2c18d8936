"""A recording as a video with heatmap and curve of the score, from the steps of a replay."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.errors import DataError
from lookout.models.media.atomic_file import replacing
from lookout.models.media.clip_reader import read_info
from lookout.models.media.container import USUAL_FPS
from lookout.models.media.preprocess import resized
from lookout.models.media.video_writer import VideoWriter
from lookout.models.vision.curve import Curve
from lookout.models.vision.overlay import overlay
from lookout.service.replay.replay import Replay

WIDEST_PX = 1280
STRIP_PX = 96
LEAST_PX = 160  # narrower pictures are enlarged: the strip must be readable


def write_overlay(
    replay: Replay, path: Path, out: Path, on_frame: Callable[[], None] = lambda: None
) -> int:
    """Write every scored frame of a recording with heatmap and curve; return how many there are.

    The file has its name once it is whole. Raises as `Replay.steps`, DataError where no frame has
    a score, and OSError.
    """
    count = 0
    fps = read_info(path).fps or USUAL_FPS
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(replacing(out))
        file = stack.enter_context(temporary.open("wb+"))
        writer: VideoWriter | None = None
        curve: Curve | None = None
        sides = (0, 0)
        for step in replay.steps(replay.recording(path)):
            if writer is None or curve is None:
                sides = video_sides(step.picture)
                height_px = sides[1] + STRIP_PX
                writer = stack.enter_context(VideoWriter(file, sides[0], height_px, fps))
                curve = Curve(sides[0], STRIP_PX, replay.policies.rule.threshold)
            shown = overlay(resized(step.picture, sides), step.cells)
            strip = curve.add(step.at_s, step.score.value)
            writer.add(np.concatenate([shown, strip]), step.at_s)
            count += 1
            on_frame()
        if writer is None:
            raise DataError(
                f"{path.name}: no frame has a score; it takes {replay.scorer.t_length} in a row"
            )
    return count


def video_sides(picture: Pixels) -> tuple[int, int]:
    """Return width and height of the video for a picture: even, and neither tiny nor wide."""
    height, width = picture.shape[:2]
    shown = min(WIDEST_PX, max(LEAST_PX, width))
    return shown // 2 * 2, max(2, round(height * shown / width) // 2 * 2)
