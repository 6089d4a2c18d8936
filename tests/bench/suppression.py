"""Answers that suppress, and masks that are offered, on Ped2 with a nuisance made into it.

    python -m tests.bench.suppression PED2

A striped flag waves at one place of normal footage, again and again, each time a little moved and
lit otherwise. Each alert of it that is told is answered `false_alarm`. Then persons on cycles,
vehicles and skaters, cut out of the test clips by their masks, cross the same place, with the flag
at rest and with the flag waving. Printed is how many answers silence the flag, and how many of
these events are told. Scored by the shipped `ped2/compact`; of an alert's opening and of what it
shows later, the product's own code decides. That an alert opens at all is taken for granted. Then
the mask that is offered for the flag, with these events as true ones: what it spares and hides.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lookout.models.arrays import HeatMap, Pixels
from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.media.clip_reader import read_clip
from lookout.models.scorer import Scorer
from lookout.models.scoring.alert_regions import AlertRegion, alert_regions
from lookout.models.scoring.look_alikes import WINDOW, AlertLook, are_look_alikes, look_at
from lookout.models.scoring.offered_masks import PastAlarm, offered_masks
from lookout.models.vision.tensors import as_levels
from lookout.service.core.settings import SHIPPED_MODELS

MODEL = SHIPPED_MODELS / "ped2" / "compact.safetensors"
SHOWN = 15  # scored frames of an appearance, 10 a second
OPENS = 5  # frames after its begin: an alert opens half a second later
LOOKS = (1, 2, 3, 4, 6, 8)  # frames after its opening: an alert is looked at again
LASTS = 6  # frames that something else is shown until that is told
FLAG_PX = 32
TOP, LEFT = 150, 100  # of the flag, in frames of 256x256
STEP_PX = 4  # that an object moves in a frame


@dataclass(frozen=True, slots=True)
class CutOut:
    """An abnormal object, frame by frame: pixels (H, W, 3) uint8 and where it is, (H, W) bool."""

    pixels: list[Pixels]
    where: list[npt.NDArray[np.bool_]]


def cut_outs(folder: Path, footage: dict[str, Pixels]) -> Iterator[CutOut]:
    """Yield one object of each test clip that has an object for long enough."""
    for path in sorted((folder / "test").glob("*.mp4")):
        with np.load(path.with_name(f"{path.stem}_mask.npz")) as saved:
            count, height, width = (int(one) for one in saved["shape"])
            masks = np.unpackbits(saved["mask"], axis=2, count=width).astype(bool)
        clip = footage[path.stem]
        rows = (np.arange(clip.shape[1]) * height) // clip.shape[1]
        columns = (np.arange(clip.shape[2]) * width) // clip.shape[2]
        large = [at for at in range(count) if masks[at].sum() > 400]
        frames = large[len(large) // 2 :][: SHOWN + 4]
        if len(frames) < SHOWN + 4:
            continue
        pixels = []
        where = []
        for at in frames:
            mask = masks[at][rows][:, columns]
            down, across = np.nonzero(mask)
            box = slice(down.min(), down.max() + 1), slice(across.min(), across.max() + 1)
            pixels.append(clip[at][box])
            where.append(mask[box])
        yield CutOut(pixels, where)


def with_flag(frames: Pixels, random: np.random.Generator) -> Pixels:
    """Return frames (N, H, W, 3) in which the flag waves."""
    top, left = TOP + int(random.integers(-2, 3)), LEFT + int(random.integers(-2, 3))
    phase, light = random.uniform(0, 6.3), random.uniform(0.85, 1.15)
    columns = np.arange(FLAG_PX)[None]
    made = frames.copy()
    for at in range(len(made)):
        wave = np.sin(columns * 0.8 + np.arange(FLAG_PX)[:, None] * 0.2 + phase + at * 1.3)
        level = np.clip(light * (130 + 90 * wave), 0, 255).astype(np.uint8)
        made[at, top : top + FLAG_PX, left : left + FLAG_PX] = level[..., None]
    return made


def with_object(frames: Pixels, cut_out: CutOut) -> Pixels:
    """Return frames (N, H, W, 3) in which an object crosses the place of the flag."""
    made = frames.copy()
    begin = LEFT + FLAG_PX // 2 - STEP_PX * len(frames) // 2
    for at, (pixels, where) in enumerate(zip(cut_out.pixels, cut_out.where, strict=True)):
        height, width = where.shape
        top = TOP + FLAG_PX // 2 - height // 2
        left = begin + STEP_PX * at - width // 2
        made[at, top : top + height, left : left + width][where] = pixels[where]
    return made


@dataclass(frozen=True, slots=True)
class Moment:
    """Regions and look of a scored frame."""

    regions: list[AlertRegion]
    look: AlertLook | None

    @property
    def peak(self) -> float:
        """Return the highest peak of the regions."""
        return max((one.peak for one in self.regions), default=0.0)


def shown(scorer: Scorer, frames: Pixels) -> list[Moment]:
    """Return what each scored frame shows."""
    found = []
    heats: list[HeatMap] = []
    length = scorer.t_length
    items = scorer.fresh_items()[None]
    for end in range(length, len(frames) + 1):
        heats.append(as_levels(scorer.step([frames[end - length : end]], items).heat)[0])
        look = look_at(list(frames[max(0, end - WINDOW) : end]), heats[-WINDOW:])
        found.append(Moment(alert_regions(heats[-1], []), look))
    return found


def kept(moments: Sequence[Moment]) -> list[Moment]:
    """Return the moments of which an alert keeps something: opening, peak, and a few more."""
    more = [moments[OPENS + late] for late in LOOKS if OPENS + late < len(moments)]
    return [moments[OPENS], max(moments, key=lambda one: one.peak), *more]


def as_alarm(moments: Sequence[Moment], *, is_true: bool) -> PastAlarm:
    """Return an alarm with the regions that are kept of it."""
    opening, peak, *_ = kept(moments)
    return PastAlarm(opening.regions + peak.regions, is_true)


def is_told(moments: Sequence[Moment], known: Sequence[AlertLook]) -> bool:
    """Tell whether an alert of these frames is told, at its opening or later."""
    unlike = [one.look is None or not are_look_alikes(one.look, known) for one in moments[OPENS:]]
    runs = (unlike[at : at + LASTS] for at in range(len(unlike) - LASTS + 1))
    return unlike[0] or any(all(run) for run in runs)


def report(folder: Path, nuisances: int, seed: int) -> Iterator[str]:
    """Yield the lines of the report."""
    random = np.random.default_rng(seed)
    checkpoint = load_checkpoint(MODEL)
    scorer = Scorer(checkpoint)
    length = SHOWN + scorer.t_length - 1
    normal = read_clip(folder / "train" / "01.mp4", checkpoint.preprocess)

    def background() -> Pixels:
        begin = int(random.integers(0, len(normal) - length))
        return normal[begin : begin + length]

    known: list[AlertLook] = []
    told = []
    flags: list[PastAlarm] = []
    events: list[PastAlarm] = []
    for number in range(nuisances):
        moments = shown(scorer, with_flag(background(), random))
        flags.append(as_alarm(moments, is_true=False))
        if is_told(moments, known):
            told.append(number + 1)
            known += [one.look for one in kept(moments) if one.look]
    yield f"flag: told {len(told)} of {nuisances} times, at appearances {told}"
    names = [path.stem for path in sorted((folder / "test").glob("*.mp4"))]
    footage = {
        name: read_clip(folder / "test" / f"{name}.mp4", checkpoint.preprocess) for name in names
    }
    objects = list(cut_outs(folder, footage))
    for with_it in (False, True):
        count = 0
        for one in objects:
            frames = background()
            if with_it:
                frames = with_flag(frames, random)
            moments = shown(scorer, with_object(frames, one))
            events.append(as_alarm(moments, is_true=True))
            count += is_told(moments, known)
        label = "with the flag waving" if with_it else "alone"
        yield f"objects at its place, {label}: told {count} of {len(objects)}"
    first = next((count for count in range(nuisances + 1) if offered_masks(flags[:count])), None)
    yield f"a mask is offered from appearance {first} on"
    for mask in offered_masks([*flags, *events]):
        alone = sum(number < nuisances + len(objects) for number in mask.hidden)
        yield (
            f"mask of {mask.box[2] * mask.box[3]:.1%} of the picture: {len(mask.spared)} of "
            f"{nuisances} flags spared; hidden {alone} of {len(objects)} objects alone, "
            f"{len(mask.hidden) - alone} of {len(objects)} with the flag waving"
        )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--nuisances", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for line in report(asked.data, asked.nuisances, asked.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
