"""Localisation metrics: RBDC and TBDC, and the AUC over pixels.

Ramachandra and Jones, "Street Scene", WACV 2020: what is found must lie where the anomaly is. The
detected regions at a threshold are the connected components of the heatmap's cells that reach it;
they are compared in pixels of the mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from lookout.models.arrays import PEAK, Floats, HeatMap
from lookout.models.data.masks import Masked, Region
from lookout.models.errors import DataError

Counts = npt.NDArray[np.int64]

LEAST_IOU = 0.1
"""β: the least intersection over union of a true region that is found, and of a detected one that
is not false.
"""

LEAST_SHARE = 0.1
"""α: a track is found when this share of its regions is."""

LEVELS = 100


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the curve: the detections at one threshold on the heatmap."""

    threshold: float  # RMSE a cell, peak 1
    false_regions_per_frame: float
    regions_found_percent: float
    tracks_found_percent: float


@dataclass(frozen=True, slots=True)
class RegionMetrics:
    """The localisation metrics, in percent.

    None where no scored frame has an anomalous region (for pixels: or no normal pixel).
    """

    regions: int  # anomalous, of all scored frames
    tracks: int
    frames: int
    rbdc: float | None
    tbdc: float | None
    pixel_auc: float | None
    curve: list[Point]  # from the highest threshold down

    def as_json(self) -> dict[str, Any]:
        """Return the metrics and every point of the curve as plain values."""
        return {
            "rbdc_percent": self.rbdc,
            "tbdc_percent": self.tbdc,
            "pixel_auc_percent": self.pixel_auc,
            "regions": self.regions,
            "tracks": self.tracks,
            "least_iou": LEAST_IOU,
            "least_share_of_track": LEAST_SHARE,
            "curve": [asdict(point) for point in self.curve],
        }


@dataclass(frozen=True, slots=True)
class Pictured:
    """A clip's scored frames with their ground truth."""

    heat: HeatMap  # (n, 64, 64): RMSE a cell times 65535
    regions: list[list[Region]]  # n of them
    cell_pixels: Counts  # (64, 64)

    @classmethod
    def of(cls, name: str, masked: Masked, heat: HeatMap, first: int, frames: int) -> Pictured:
        """Return one clip's heatmaps with its masks.

        first: 0-based, of those scored; frames: of the clip.

        Raises DataError where the mask has not as many.
        """
        if len(masked.regions) != frames:
            raise DataError(
                f"{name}_mask.npz has {len(masked.regions)} frames; the clip has {frames}"
            )
        return cls(heat, masked.regions[first : first + len(heat)], masked.cell_pixels)


def region_metrics(clips: Mapping[str, Pictured]) -> RegionMetrics:
    """Return the localisation metrics of the clips, by name."""
    tracks = tracks_of_regions(clips)
    size_of_track = np.bincount(tracks)  # how many regions each has
    frames = sum(len(clip.heat) for clip in clips.values())
    curve = []
    levels = []
    if len(tracks):
        levels = thresholds(clips)
    for level in levels:
        found, false = detections_at(clips, level)
        found_of_track = np.bincount(tracks, weights=found)
        curve.append(
            Point(
                threshold=level / PEAK,
                false_regions_per_frame=false / frames,
                regions_found_percent=100 * float(found.mean()),
                tracks_found_percent=100
                * float((found_of_track / size_of_track >= LEAST_SHARE).mean()),
            )
        )
    rbdc = None
    tbdc = None
    if curve:
        false_per_frame = [point.false_regions_per_frame for point in curve]
        rbdc = area_under(false_per_frame, [point.regions_found_percent for point in curve])
        tbdc = area_under(false_per_frame, [point.tracks_found_percent for point in curve])
    return RegionMetrics(
        regions=len(tracks),
        tracks=len(size_of_track),
        frames=frames,
        rbdc=rbdc,
        tbdc=tbdc,
        pixel_auc=pixel_auc_percent(clips),
        curve=curve,
    )


def tracks_of_regions(clips: Mapping[str, Pictured]) -> Counts:
    """Return the track of each region, (regions,), numbered from 0 over all clips.

    Only tracks with a scored frame count.
    """
    names = [
        (name, region.track)
        for name, clip in clips.items()
        for regions in clip.regions
        for region in regions
    ]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], np.int64)


def thresholds(clips: Mapping[str, Pictured]) -> list[int]:
    """Return the thresholds, descending.

    They are those that 1 cell reaches, a few more, ... all cells, in steps of one factor.
    """
    cells_at = np.sum(
        [np.bincount(clip.heat.ravel(), minlength=PEAK + 1) for clip in clips.values()], axis=0
    )
    # By how many cells the levels 65535, 65534, ... are reached.
    reached = np.cumsum(cells_at[::-1])
    wanted = np.geomspace(1, reached[-1], LEVELS)
    wanted[-1] = reached[-1]
    return [PEAK - int(steps) for steps in np.unique(np.searchsorted(reached, wanted))]


def detections_at(clips: Mapping[str, Pictured], level: int) -> tuple[npt.NDArray[np.bool_], int]:
    """Return which true regions are found, (regions,), and how many detected ones are false."""
    found: list[npt.NDArray[np.bool_]] = []
    false = 0
    for clip in clips.values():
        for heat, regions in zip(clip.heat, clip.regions, strict=True):
            iou = intersections_over_unions(heat >= level, regions, clip.cell_pixels)
            overlaps: npt.NDArray[np.bool_] = iou >= LEAST_IOU  # (regions, detected)
            found.append(np.any(overlaps, axis=1))
            false += int((~np.any(overlaps, axis=0)).sum())
    return np.concatenate(found), false


def intersections_over_unions(
    hot: npt.NDArray[np.bool_], regions: list[Region], cell_pixels: Counts
) -> Floats:
    """Return the intersection over union of each true region with each component of `hot`.

    hot: (64, 64). Result: (regions, components).
    """
    count, components = cv2.connectedComponents(hot.astype(np.uint8), connectivity=8)
    component = components.ravel()
    if count == 1 or not regions:
        return np.zeros((len(regions), count - 1))
    # Pixels of each; component 0 is what is not hot.
    detected = np.bincount(component, cell_pixels.ravel())[1:]
    shared = np.stack([np.bincount(component, region.cells.ravel())[1:] for region in regions])
    true = np.array([[region.pixels] for region in regions])
    iou: Floats = shared / (detected + true - shared)
    return iou


def area_under(false_per_frame: list[float], found_percent: list[float]) -> float:
    """Return the area under the curve from 0 to 1 false region a frame, in percent."""
    rate, best = best_at(false_per_frame, found_percent)
    return float((best[:-1] * np.diff(rate)).sum())


def best_at(false_per_frame: list[float], found_percent: list[float]) -> tuple[Floats, Floats]:
    """Return rates of false regions, and the most that a threshold with no more of them finds.

    A step function over rates from 0 to 1.

    A curve of components folds back where low thresholds melt them into one. Steps, no straight
    lines between thresholds: never more than could be chosen.
    """
    order = np.argsort(false_per_frame, kind="stable")
    rate = np.array(false_per_frame)[order]
    best = np.maximum.accumulate(np.array(found_percent)[order])
    kept = rate <= 1
    rate = np.append(0.0, rate[kept])
    best = np.append(0.0, best[kept])
    return np.append(rate, 1.0), np.append(best, best[-1])


def pixel_auc_percent(clips: Mapping[str, Pictured]) -> float | None:
    """Return the micro AUC over all pixels of all scored frames; a pixel's value is its cell's.

    None where one class is missing.
    """
    pixels = np.zeros(PEAK + 1)  # by level
    anomalous = np.zeros(PEAK + 1)
    for clip in clips.values():
        for heat, regions in zip(clip.heat, clip.regions, strict=True):
            level = heat.ravel()
            pixels += np.bincount(level, clip.cell_pixels.ravel(), minlength=PEAK + 1)
            for region in regions:
                anomalous += np.bincount(level, region.cells.ravel(), minlength=PEAK + 1)
    normal = pixels - anomalous
    if not anomalous.any() or not normal.any():
        return None
    levels = np.arange(PEAK + 1)
    truth = np.repeat([1, 0], PEAK + 1)
    return 100 * float(
        roc_auc_score(truth, np.tile(levels, 2), sample_weight=np.concatenate([anomalous, normal]))
    )
