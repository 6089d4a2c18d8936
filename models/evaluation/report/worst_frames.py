"""The frames that an evaluation got most wrong, as pictures: each beside its heatmap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lookout.models.arrays import Cells, HeatMap, Pixels
from lookout.models.data.image_folder import images_at
from lookout.models.evaluation.clip_scores import ClipScores
from lookout.models.evaluation.evaluate import Evaluation
from lookout.models.media.container import open_video
from lookout.models.media.decode import pictures
from lookout.models.vision.overlay import jpeg, overlay

HOW_MANY = 6
APART = 10  # frames between two of a clip at least: neighbours show the same

HEIGHT_PX = 160
JPEG_QUALITY = 85
GREEN_RGB = (0, 255, 0)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A frame whose value contradicts its label."""

    clip: str
    frame: int  # 0-based, of the clip
    value: float
    alarmed: bool  # within an alarm


@dataclass(frozen=True, slots=True)
class Ranked:
    """The worst frames of an evaluation, at most HOW_MANY of each kind."""

    false_alarms: list[Wrong]  # normal frames, highest value first
    misses: list[Wrong]  # anomalous frames, lowest value first
    causal: bool  # by the live value; else, where no frame has one, by per-video min-max


def ranked(evaluation: Evaluation) -> Ranked:
    """Return the worst frames of an evaluation; none without labels."""
    causal = any(
        np.isfinite(values.live(evaluation.scheme)).any() for values in evaluation.values.values()
    )
    if evaluation.labels is None:
        return Ranked([], [], causal)
    alarms = evaluation.events.alarms if evaluation.events else []
    every: dict[int, list[Wrong]] = {0: [], 1: []}
    for clip in evaluation.clips:
        values = evaluation.values[clip.name]
        shown = values.live(evaluation.scheme) if causal else values.minmax
        for i, (label, value) in enumerate(zip(evaluation.labels[clip.name], shown, strict=True)):
            if np.isfinite(value):
                frame = clip.first + i
                alarmed = any(
                    alarm.clip == clip.name and alarm.since <= frame <= alarm.last
                    for alarm in alarms
                )
                every[int(label)].append(Wrong(clip.name, frame, float(value), alarmed))
    return Ranked(
        false_alarms=apart(sorted(every[0], key=lambda wrong: -wrong.value)),
        misses=apart(sorted(every[1], key=lambda wrong: wrong.value)),
        causal=causal,
    )


def apart(candidates: list[Wrong]) -> list[Wrong]:
    """Return the first HOW_MANY that are not neighbours of one already taken."""
    taken: list[Wrong] = []
    for one in candidates:
        if len(taken) == HOW_MANY:
            break
        if all(one.clip != other.clip or abs(one.frame - other.frame) >= APART for other in taken):
            taken.append(one)
    return taken


def jpegs(
    evaluation: Evaluation, paths: list[Path], wrongs: list[Wrong]
) -> dict[tuple[str, int], bytes]:
    """Return a picture of each frame, by clip and frame.

    Needs the heatmaps; the clips are decoded once more, at their own size.
    """
    made = {}
    scores = {clip.name: clip for clip in evaluation.clips}
    for path in paths:
        wanted = {wrong.frame for wrong in wrongs if wrong.clip == path.stem}
        for frame, rgb in frames_at(path, wanted).items():
            picture = side_by_side(rgb, *heat_and_truth(evaluation, scores[path.stem], frame))
            made[path.stem, frame] = jpeg(picture, JPEG_QUALITY)
    return made


def frames_at(path: Path, wanted: set[int]) -> dict[int, Pixels]:
    """Return frames of a clip by number, 0-based: (H, W, 3) uint8 RGB."""
    if path.is_dir():
        return images_at(path, wanted)
    found: dict[int, Pixels] = {}
    if wanted:
        with open_video(path) as container:
            for number, picture in enumerate(pictures(container)):
                if number in wanted:
                    found[number] = picture.rgb
                if len(found) == len(wanted):
                    break
    return found


def heat_and_truth(evaluation: Evaluation, clip: ClipScores, frame: int) -> tuple[HeatMap, Cells]:
    """Return the frame's heatmap, and the anomalous pixels in each of its cells: (64, 64) both."""
    if clip.heat is None:
        raise ValueError("pictures need the heatmaps: evaluate(..., keep_heat=True)")
    heat = clip.heat[frame - clip.first]
    truth = np.zeros(heat.shape, np.int64)
    if evaluation.masks:
        for region in evaluation.masks[clip.name].regions[frame]:
            truth += region.cells
    return heat, truth


def side_by_side(rgb: Pixels, heat: HeatMap, truth: Cells) -> Pixels:
    """Return the frame, and the frame with its heatmap over it, anomalous cells outlined in both.

    rgb: (H, W, 3) uint8, of any size; the result is (HEIGHT_PX, 2 W', 3) uint8 RGB.
    """
    size = (round(HEIGHT_PX * rgb.shape[1] / rgb.shape[0]), HEIGHT_PX)
    frame = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    inside = cv2.resize((truth > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    both = np.hstack([frame, overlay(frame, heat)])
    for left_px in (0, size[0]):
        cv2.drawContours(both, outlines, -1, GREEN_RGB, 1, offset=(left_px, 0))
    return both
