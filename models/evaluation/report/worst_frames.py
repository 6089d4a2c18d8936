"""The frames that an evaluation got most wrong, as pictures: each beside its heatmap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lookout.models.arrays import PEAK, Cells, Pixels
from lookout.models.data.image_folder import images_at
from lookout.models.evaluation.clip_scores import ClipScores
from lookout.models.evaluation.evaluate import Evaluation
from lookout.models.media.decode import open_video, pictures
from lookout.models.vision.overlay import encode

HOW_MANY = 6
APART = 10  # frames between two of a clip at least: neighbours show the same

HEIGHT_PX = 160
JPEG_OPTIONS = [cv2.IMWRITE_JPEG_QUALITY, 85]
FULL_RMSE = 0.20
"""The heatmap's brightest colour, peak 1. Fixed, so that pictures compare."""

GREEN_BGR = (0, 255, 0)


@dataclass(frozen=True, slots=True)
class Wrong:
    clip: str
    frame: int  # 0-based, of the clip
    value: float
    alarmed: bool  # within an alarm


@dataclass(frozen=True, slots=True)
class Ranked:
    false_alarms: list[Wrong]  # normal frames, highest value first
    misses: list[Wrong]  # anomalous frames, lowest value first
    causal: bool  # by the live value; else, where no frame has one, by per-video min-max


def ranked(evaluation: Evaluation) -> Ranked:
    """Nothing without labels."""
    causal = any(
        np.isfinite(values.live(evaluation.scheme)).any() for values in evaluation.values.values()
    )
    if evaluation.labels is None:
        return Ranked([], [], causal)
    every: dict[int, list[Wrong]] = {0: [], 1: []}
    for clip in evaluation.clips:
        values = evaluation.values[clip.name]
        shown = values.live(evaluation.scheme) if causal else values.minmax
        for i, (label, value) in enumerate(zip(evaluation.labels[clip.name], shown, strict=True)):
            if np.isfinite(value):
                frame = clip.first + i
                every[int(label)].append(
                    Wrong(clip.name, frame, float(value), _alarmed(evaluation, clip.name, frame))
                )
    return Ranked(
        false_alarms=_apart(sorted(every[0], key=lambda wrong: -wrong.value)),
        misses=_apart(sorted(every[1], key=lambda wrong: wrong.value)),
        causal=causal,
    )


def _alarmed(evaluation: Evaluation, clip: str, frame: int) -> bool:
    alarms = evaluation.events.alarms if evaluation.events else []
    return any(alarm.clip == clip and alarm.since <= frame <= alarm.last for alarm in alarms)


def _apart(candidates: list[Wrong]) -> list[Wrong]:
    """The first ones that are not neighbours of one already taken."""
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
    """By clip and frame. Needs the heatmaps; the clips are decoded once more, at their own size."""
    found = {}
    scores = {clip.name: clip for clip in evaluation.clips}
    for path in paths:
        wanted = {wrong.frame for wrong in wrongs if wrong.clip == path.stem}
        for frame, rgb in _frames(path, wanted).items():
            found[path.stem, frame] = encode(
                ".jpg",
                _side_by_side(rgb, *_beside(evaluation, scores[path.stem], frame)),
                JPEG_OPTIONS,
            )
    return found


def _frames(path: Path, wanted: set[int]) -> dict[int, Pixels]:
    """(H, W, 3) RGB by number, 0-based."""
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


def _beside(
    evaluation: Evaluation, clip: ClipScores, frame: int
) -> tuple[npt.NDArray[np.uint16], Cells]:
    """Return the frame's heatmap, and the anomalous pixels in each of its cells: (64, 64) both."""
    if clip.heat is None:
        raise ValueError("pictures need the heatmaps: evaluate(..., keep_heat=True)")
    heat = clip.heat[frame - clip.first]
    true = np.zeros(heat.shape, np.int64)
    for region in evaluation.masks[clip.name].regions[frame] if evaluation.masks else []:
        true += region.cells
    return heat, true


def _side_by_side(rgb: Pixels, heat: npt.NDArray[np.uint16], true: Cells) -> Pixels:
    """BGR: the frame with the anomalous cells outlined, and the heatmap at the same size."""
    size = (round(HEIGHT_PX * rgb.shape[1] / rgb.shape[0]), HEIGHT_PX)
    frame = cv2.resize(np.ascontiguousarray(rgb[..., ::-1]), size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize((true > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(frame, outlines, -1, GREEN_BGR, 1)
    strength = np.clip(heat / PEAK / FULL_RMSE * 255, 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(
        cv2.resize(strength, size, interpolation=cv2.INTER_NEAREST), cv2.COLORMAP_INFERNO
    )
    return np.asarray(np.hstack([frame, colours]), np.uint8)
