"""Results of an evaluation: lines for the user, numbers for programs, a plot a clip."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from lookout.models.errors import DataError
from lookout.models.evaluation.evaluate import Evaluation, columns
from lookout.models.evaluation.events import EventMetrics
from lookout.models.evaluation.frames import FrameMetrics
from lookout.models.media.atomic_file import replacing
from lookout.models.scoring.metrics import AROUND

NAMES = {
    "per_video_minmax": "per-video min-max (offline)",
    "none": "no normalisation",
    "causal": "causal",
    "local": "local score, causal",
    "fused": f"fused with the local score, mean of {2 * AROUND + 1} frames (offline)",
    "places": "memory of places, causal",
    "fused_causal": "memory of places and local score, causal",
}


COPIES = {"psnr": "PSNR", "local": "local score"}
"""Part of `Evaluation.copy_last` → its name."""


def check_suffix(option: str, path: Path | None, *suffixes: str) -> None:
    """Check the name of a file before the work, not after it. Raises DataError."""
    if path is not None and path.suffix not in suffixes:
        raise DataError(f"{option} {path.name}: the name must end in {' or '.join(suffixes)}")


def as_lines(evaluation: Evaluation) -> str:
    """Return the table that the user reads."""
    updated = np.concatenate([clip.memory_updated for clip in evaluation.clips])
    lines = [
        f"{len(evaluation.clips)} clips, {len(updated)} scored frames, "
        f"{updated.mean():.1%} updated the memory"
    ]
    reused = np.concatenate([clip.reused for clip in evaluation.clips])
    if reused.any():
        lines.append(f"{reused.mean():.1%} of a still picture, with the score of an earlier frame")
    for way in evaluation.auc_percent:
        words = "no labels"
        if evaluation.frames:
            words = frame_words(evaluation.frames[way])
        lines.append(f"frame AUC, {NAMES[way]}: {words}")
    for part, found_copy in (evaluation.copy_last or {}).items():
        lines.append(f"copy of the last frame, {COPIES[part]}, causal: {frame_words(found_copy)}")
    if gaps := evaluation.gaps_percent:
        words = ", ".join(f"{way} {signed(gap)}" for way, gap in gaps.items())
        lines.append(f"without looking ahead: {words} against per-video min-max")
    if evaluation.events is not None:
        lines.append(event_words(evaluation.events))
    elif evaluation.labels is not None and evaluation.watched is None:
        lines.append("alarms: left out, a clip does not say its frame rate (--fps)")
    if evaluation.regions is not None:
        found = evaluation.regions
        words = (
            f"RBDC {percent(found.rbdc)}, TBDC {percent(found.tbdc)}, "
            f"AUC over pixels {percent(found.pixel_auc)}"
        )
        lines.append(f"{found.regions} regions, {found.tracks} tracks: {words}")
    if evaluation.calibration == "learn":
        lines.append(
            "bounds: learned from the first frames scored (the checkpoint holds no calibration)"
        )
    elif evaluation.local_calibration == "learn":
        lines.append(
            "local score's bounds: learned from the first frames scored "
            "(the calibration holds none of it)"
        )
    return "\n".join(lines)


def frame_words(found: FrameMetrics) -> str:
    """Return AUC and AP in words, and the clips that the macro AUC is without."""
    words = (
        f"{percent(found.auc_micro)} (macro {percent(found.auc_macro)}, "
        f"AP {percent(found.ap_micro)})"
    )
    if found.left_out:
        words += f", macro without {', '.join(found.left_out)}"
    return words


def event_words(found: EventMetrics) -> str:
    """Return recall, delay and false alarms at the threshold, in words."""
    if not found.events and not found.normal_hours:
        return "alarms: no frame has a causal value"
    noticed = f"{len(found.delays_s)} of {len(found.events)} events noticed"
    if found.delays_s:
        noticed += f", median delay {np.median(found.delays_s):.1f} s"
    often = "no normal footage"
    if found.normal_hours:
        hourly, share = found.false_alarms_per_hour, percent(found.normal_in_alarm_percent)
        often = f"{hourly:.1f} an hour of normal footage, {share} of it within an alarm"
    line = (
        f"alarms at {found.policy.threshold:.4g}: {noticed}; {found.false_alarms} false ({often})"
    )
    if found.budget is not None:
        line += f"\nalarm budget: {found.budget.sentence}"
    return line


def percent(number: float | None) -> str:
    """Return a number of percent as text, or "none"."""
    if number is None:
        return "none"
    return f"{number:.2f} %"


def signed(number: float | None) -> str:
    """Return a difference as text with its sign, or "none"."""
    if number is None:
        return "none"
    return f"{number:+.2f}"


def write_scores(path: Path, evaluation: Evaluation) -> None:
    """Write one entry a scored frame: `NN/psnr_db` in an NPZ, or a line a frame in a CSV."""
    with replacing(path) as temporary:
        if path.suffix == ".npz":
            np.savez_compressed(temporary, allow_pickle=False, **columns(evaluation))
        else:
            write_csv(temporary, evaluation)


def write_csv(path: Path, evaluation: Evaluation) -> None:
    """Write a line for each scored frame; path: as it is, not atomically."""
    found = columns(evaluation)
    fields = ["psnr_db", "distance", "gate_error", "memory_updated"]
    fields += ["value", "value_local", "value_minmax", "value_fused"]
    if evaluation.labels is not None:
        fields.append("label")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "frame", *fields])
        for clip in evaluation.clips:
            rows = zip(*(found[f"{clip.name}/{field}"] for field in fields), strict=True)
            writer.writerows([clip.name, clip.first + i, *row] for i, row in enumerate(rows))


def write_plots(folder: Path, evaluation: Evaluation) -> None:
    """Write `NN.png` for each clip: PSNR, distance and values, anomalous frames shaded."""
    from matplotlib.figure import Figure  # noqa: PLC0415  slow to import, and only plots need it

    for clip in evaluation.clips:
        values = evaluation.values[clip.name]
        frames = clip.first + np.arange(len(clip.psnr_db))
        figure = Figure(figsize=(9, 6), layout="constrained")
        axes = figure.subplots(3, 1, sharex=True)
        axes[0].plot(frames, clip.psnr_db, label="PSNR, dB")
        axes[1].plot(frames, clip.distance, label="memory distance")
        axes[2].plot(frames, values.minmax, label="value, per-video min-max (offline)")
        axes[2].plot(frames, values.causal, label="value, causal")
        axes[2].plot(frames, values.local, label="value of the local score, causal")
        axes[2].set_xlabel(f"frame of clip {clip.name}")
        for axis in axes:
            if evaluation.labels is not None:
                shaded = evaluation.labels[clip.name].astype(bool)
                axis.fill_between(
                    frames,
                    0,
                    1,
                    where=shaded,
                    alpha=0.15,
                    color="red",
                    transform=axis.get_xaxis_transform(),
                )
            axis.legend(loc="upper right", fontsize="small")
        with replacing(folder / f"{clip.name}.png") as temporary:
            figure.savefig(temporary, dpi=100)
