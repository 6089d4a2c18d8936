"""Measure whether a memory forgets that an event is unusual once it has seen it often.

    python -m tests.bench.forgetting

A lamp fails for ten seconds of every thirty: a quarter less light. The prediction takes its light
from the frames before and stays as good as ever, so PSNR notices nothing and a gate on the
prediction error lets the frames in; only the memory knows the event. A camera watches it for half
an hour, once for each update rule of the memory; then two more repetitions, in footage that it has
not seen, are scored as they would be live. Printed: the share of frames that each gate lets in, and
how far the event still stands out.

The footage is the generated square, or two normal clips of your own: one is repeated, one is held
out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lookout.models.arrays import Floats, Pixels
from lookout.models.checkpoint.file import Checkpoint, load_checkpoint
from lookout.models.device import choose_precision
from lookout.models.evaluation.evaluate import guarded_rule
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.models.memory_update import Rollback, UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import causal_value
from lookout.service.demo.scene import Scene
from tests.bench.footage import MODEL

FPS = 10
PERIOD = 300  # frames: two thirds in normal light, one with the event
LIGHT = 0.75

FrameOf = Callable[
    [int], Pixels
]  # the camera's frame of an index, in normal light, at the model's size
Window = tuple[Pixels, bool]  # (T, H, W, 3), and whether the event is in its last frame


@dataclass(frozen=True, slots=True)
class Followed:
    """One camera's numbers, one entry a frame, and its memory afterwards."""

    event: npt.NDArray[np.bool_]
    psnr_db: Floats
    distance: Floats
    updated: Floats  # 0 or 1
    drift: Floats
    items: Tensor  # (M, D)
    rollbacks: int


def rules_of(checkpoint: Checkpoint) -> dict[str, UpdateRule]:
    """Return the rules: as published; guarded behind the same gate, so that only the bound differs;
    and guarded.
    """
    guarded, gamma = guarded_rule(checkpoint), checkpoint.config.input_spec.gate
    return {
        "paper": UpdateRule.paper(gamma),
        "guarded, γ": replace(guarded, gate=gamma),
        "guarded": guarded,
    }


def square(seed: int, preprocess: Preprocess) -> FrameOf:
    """The generated scene: ever new walkers, noise and clouds."""
    scene = Scene(seed)
    return lambda index: preprocess(scene.frame(index))


def clip(path: Path, preprocess: Preprocess) -> FrameOf:
    """A clip, over and over."""
    frames = read_clip(path, preprocess)
    return lambda index: np.asarray(frames[index % len(frames)])


def windows(frame_of: FrameOf, frames: int, period: int, t_length: int) -> Iterator[Window]:
    """Yield the windows of the first `frames` frames of the camera."""
    recent: list[Pixels] = []
    for index in range(frames):
        event = index % period >= period * 2 // 3
        frame = frame_of(index)
        recent = [*recent, (frame * LIGHT).astype(np.uint8) if event else frame][-t_length:]
        if len(recent) == t_length:
            yield np.stack(recent), event


def follow(
    scorer: Scorer, rules: Sequence[UpdateRule], memories: Sequence[Tensor], seen: Iterator[Window]
) -> list[Followed]:
    """Score what is seen once for each rule, each with a memory (M, D) of its own."""
    items, backs = torch.stack(list(memories)), [Rollback() for _ in rules]
    events, rows = [], []
    for window, event in seen:
        scored = scorer.step([window] * len(rules), items, rules)
        items, columns = (
            scored.items.clone(),
            (scored.psnr_db, scored.distance, scored.memory_updated, scored.drift),
        )
        numbers = torch.stack(columns, dim=1).tolist()
        for i, (_, distance, updated, drift) in enumerate(numbers):
            if backs[i].saw(drift, distance, bool(updated), rules[i]):
                items[i] = scorer.fresh_items()
        events.append(event)
        rows.append(numbers)
    found = []
    for i, back in enumerate(backs):
        psnr, distances, updates, drifts = np.array(rows)[:, i].T
        found.append(
            Followed(np.array(events), psnr, distances, updates, drifts, items[i], back.rollbacks)
        )
    return found


def report(
    checkpoint: Checkpoint, seen: FrameOf, held_out: FrameOf, frames: int, period: int = PERIOD
) -> Iterator[str]:
    """frames: how many the camera sees of the one, before two periods of the other are scored."""
    scorer = Scorer(checkpoint, precision=choose_precision("auto", "cpu"))
    rules, length, trained = rules_of(checkpoint), scorer.t_length, scorer.fresh_items()
    before = follow(
        scorer, list(rules.values()), [trained] * len(rules), windows(seen, frames, period, length)
    )
    memories = [trained, *(one.items for one in before)]
    two_more = windows(held_out, 2 * period, period, length)
    untaught, *after = follow(scorer, [UpdateRule.fixed(), *rules.values()], memories, two_more)
    yield (
        f"{'':17} gate     let in         drift   back  "
        "distance, 1e-6  value         AUC, event from normal"
    )
    yield (
        f"{'':17}          normal  event               "
        "normal   event  normal  event  PSNR  distance  value"
    )
    yield f"{'as trained':17} {'':36} {_judged(checkpoint, untaught)}"
    for (name, rule), one, then in zip(rules.items(), before, after, strict=True):
        normal, event = (
            float(one.updated[one.event == happens].mean()) for happens in (False, True)
        )
        taken_in = (
            f"{rule.gate:.4f} {normal:7.0%} {event:6.0%}  {one.drift[-1]:8.1e} {one.rollbacks:5}"
        )
        yield f"{name:17} {taken_in:36} {_judged(checkpoint, then)}"


def values(checkpoint: Checkpoint, found: Followed) -> Floats:
    """The live value of each frame."""
    bounds, fusion_weight = checkpoint.calibration, checkpoint.config.fusion_weight
    assert bounds is not None
    frames = zip(found.psnr_db.tolist(), found.distance.tolist(), strict=True)
    return np.array(
        [causal_value(psnr, distance, bounds, fusion_weight) for psnr, distance in frames]
    )


def auc(found: Followed, numbers: Floats) -> float:
    """Return the AUC of the event against normal frames.

    At 1 these numbers separate the two, at 0.5 they are blind to the event, and at 0 the event
    looks more normal than the normal frames.
    """
    return float(roc_auc_score(found.event, numbers))


def _judged(checkpoint: Checkpoint, found: Followed) -> str:
    """Return a row: distances and values of normal and event frames, and three AUCs."""
    value, normal, event = values(checkpoint, found), ~found.event, found.event
    distances = (
        f"{1e6 * found.distance[normal].mean():6.1f} {1e6 * found.distance[event].mean():7.1f}"
    )
    aucs = (
        f"{auc(found, -found.psnr_db):5.2f} {auc(found, found.distance):9.2f} "
        f"{auc(found, value):6.2f}"
    )
    return f"{distances} {value[normal].mean():7.2f} {value[event].mean():6.2f} {aucs}"


def main() -> None:
    """Print the report for the options of the command line."""
    parser = argparse.ArgumentParser(description="Does a memory forget that an event is unusual?")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="how long the camera sees the event"
    )
    parser.add_argument("--checkpoint", type=Path, default=MODEL, help="a calibrated one")
    parser.add_argument(
        "--clips", type=Path, nargs=2, metavar=("SEEN", "HELD_OUT"), help="in place of the square"
    )
    given = parser.parse_args()
    checkpoint = load_checkpoint(given.checkpoint)
    ready = checkpoint.preprocess
    seen, held_out = (
        (clip(path, ready) for path in given.clips)
        if given.clips
        else (square(7, ready), square(99, ready))
    )
    for text in report(checkpoint, seen, held_out, round(60 * FPS * given.minutes)):
        print(text, flush=True)


if __name__ == "__main__":
    main()
