"""Run the scene watch on normal footage, and on changes made from it.

    python -m tests.bench.scene [CLIP...]

Without clips: the generated scene, and the real footage where it is there. Printed, never judged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.models.vision.scene_signature import SceneSignature, likeness, sharpness_ratio
from lookout.service.demo.scene import demo_scene
from lookout.service.inference.scene_watch import SceneWatch, Verdict
from tests.bench.footage import median_s
from tests.conftest import SHARED
from tests.scene_changes import PARTIAL, WHOLE, Happening, frames_of, happening

FPS = 10  # of all this footage
PIECE, AFTER = 120, 30  # frames of a piece, and after how many something happens


def report(clips: Sequence[Pixels]) -> Iterator[str]:
    """Yield the lines of the report; each of `clips` is (N, H, W, 3)."""
    yield normal(clips)
    pieces = [
        clip[at : at + PIECE] for clip in clips for at in range(0, len(clip) - PIECE + 1, PIECE)
    ]
    yield f"{len(pieces)} pieces of {PIECE} frames: scene changes told of, frames not scored"
    for title, happenings in (
        ("whole picture", WHOLE),
        ("part of it, slowly, or for a moment", PARTIAL),
    ):
        yield f"  {title}"
        for name, what in happenings.items():
            told, held = rates(pieces, what)
            yield f"    {name:36} {told:3}/{len(pieces)}  {held:5.1f} frames"
    yield cost(clips[0])


def normal(clips: Sequence[Pixels]) -> str:
    """Return how the watch judges normal clips, and how far their pictures differ."""
    verdicts = [verdict for clip in clips for verdict in shown(clip)]
    pairs = [pair for clip in clips for pair in about_a_second_apart(clip)]
    like = min(likeness(*pair) for pair in pairs)
    ratios = [sharpness_ratio(*pair) for pair in pairs]
    brighter = max(float((np.abs(now.light - before.light) > 20).mean()) for before, now in pairs)
    return (
        f"{len(verdicts)} normal frames: {sum(len(v.events) for v in verdicts)} events, "
        f"{sum(not v.settled for v in verdicts)} not scored; over 0.8 s: likeness from {like:.2f}, "
        f"changed light in up to {brighter:.0%} of the blocks, "
        f"sharpness {min(ratios):.2f} to {max(ratios):.2f} times"
    )


def about_a_second_apart(clip: Pixels) -> Iterator[tuple[SceneSignature, SceneSignature]]:
    """Yield pairs of signatures of a clip at 10 fps, 0.8 s apart."""
    looks = [SceneSignature.from_pixels(picture) for picture in clip]
    return zip(looks, looks[8:], strict=False)


def rates(pieces: Sequence[Pixels], what: Happening) -> tuple[int, float]:
    """The mean number of pieces that a change was reported in, and of frames left out in each."""
    seen = [shown(list(happening(piece, what, after=AFTER, fps=FPS))) for piece in pieces]
    told = sum(any(verdict.change for verdict in verdicts) for verdicts in seen)
    return told, sum(not verdict.settled for verdicts in seen for verdict in verdicts) / len(seen)


def shown(pictures: Sequence[Pixels] | Pixels) -> list[Verdict]:
    """Return the watch's verdict on each picture."""
    watch = SceneWatch()
    return [watch.observe(frame) for frame in frames_of(pictures, fps=FPS)]


def cost(clip: Pixels) -> str:
    """Return the median time of a frame, as a line."""
    watch, frames = SceneWatch(), iter(frames_of([*clip] * 3))
    each_s = median_s(lambda: watch.observe(next(frames)), len(clip))
    size = "x".join(str(side) for side in clip.shape[2:0:-1])
    return f"a frame of {size} takes {each_s * 1e6:.0f} us (median)"


def footage() -> Iterator[Pixels]:
    """Yield the generated scene and every clip of the shared folder."""
    scene = demo_scene(60)
    yield np.stack([Preprocess()(picture) for picture in scene.frames(600)])
    for path in sorted((SHARED / "data").rglob("*.mp4")) + sorted((SHARED / "data").rglob("*.avi")):
        yield read_clip(path, Preprocess())


def main() -> None:
    """Print the report on the clips of the command line, or on all footage."""
    named = [read_clip(Path(name), Preprocess()) for name in sys.argv[1:]]
    for text in report(named or list(footage())):
        print(text, flush=True)


if __name__ == "__main__":
    main()
