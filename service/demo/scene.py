"""A fixed camera over a square where people walk, and now and then a cyclist, a runner or a van comes by.

The footage a small model learns its normal from, and the camera of the demo. The place is always the same;
the seed decides who walks where, the noise and the clouds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, pi, sin
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lookout.models.media.atomic_file import replacing
from lookout.service.demo.figures import Camera, Stance
from lookout.service.demo.square import (
    FOUNTAIN,
    PLANTERS,
    draw_fountain,
    draw_planter,
    paint_square,
)
from lookout.service.demo.walks import Actor, Crowd, Figure, Kind, anomaly

Picture = NDArray[np.uint8]  # (H, W, 3) RGB, 0 to 255
Interval = tuple[int, int]  # first and last frame, 0-based, inclusive

KINDS: tuple[Kind, ...] = ("cyclist", "runner", "van")
OVERSAMPLING = 2  # drawn at twice the size and scaled down: smooth edges, and lines of half a pixel
NOISE_SIGMA = 1.5  # of 255, as of a sensor in daylight
NOISE_MIDDLE = 16  # keeps the noise field unsigned; beyond ten sigma
NOISE_MARGIN_PX = (
    64  # every frame cuts its own window from one field, which is far cheaper than new noise
)
PROPS = (
    Figure(Stance(*FOUNTAIN), draw_fountain),
    *(Figure(Stance(*at), draw_planter) for at in PLANTERS),
)
CRF = 18
FIRST_TEST_SEED = 5000  # test clips never repeat the people of training clips
KEYFRAME_EVERY = 100
DEMO_S = 300.0
DEMO_SEED = 7


@dataclass(frozen=True, slots=True)
class Event:
    """An anomaly, in sight within a second of `start_s`; the variant is its way and its colour."""

    kind: Kind
    start_s: float
    variant: int = 0


class Scene:
    """Any frame of it, in any order: a function of seed, events and frame number alone."""

    def __init__(
        self,
        seed: int,
        events: Sequence[Event] = (),
        *,
        size: tuple[int, int] = (384, 288),
        fps: int = 10,
    ) -> None:
        """`size`: width, height, both even."""
        self.size, self.fps = size, fps
        self._camera = Camera(size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
        self._sunny, self._shady = paint_square(self._camera)
        self._crowd = Crowd(seed, self._camera)
        self._anomalies = [anomaly(it.kind, it.start_s, it.variant, self._camera) for it in events]
        self._air = _Air(seed, size)

    def frame(self, index: int) -> Picture:
        """(H, W, 3) uint8 RGB."""
        time_s = index / self.fps
        moving = [actor.figure(time_s) for actor in self.actors(time_s)]
        canvas = self._sunny.copy()
        cv2.copyTo(self._shady, self._shadows(moving), canvas)
        for figure in sorted([*moving, *PROPS], key=lambda figure: -figure.stance.depth_m):
            figure.paint(canvas, self._camera)
        picture = cv2.resize(canvas, self.size, interpolation=cv2.INTER_AREA)
        return self._air.over(np.asarray(picture, np.uint8), index, time_s)

    def frames(self, count: int) -> Iterator[Picture]:
        return (self.frame(index) for index in range(count))

    def actors(self, time_s: float) -> list[Actor]:
        """Everybody on their way, the anomalies last; at its ends they are just outside the picture."""
        passing = [actor for actor in self._anomalies if actor.start_s <= time_s <= actor.end_s]
        return [*self._crowd.at(time_s), *passing]

    def intervals(self, frames: int | None = None) -> list[Interval]:
        """Frames in which an anomaly, or its shadow, is in sight; of the first `frames` if that is given."""
        seen = {index for actor in self._anomalies for index in self._seen_in(actor)}
        return _runs(
            sorted(index for index in seen if index >= 0 and (frames is None or index < frames))
        )

    def is_seen(self, actor: Actor, time_s: float) -> bool:
        """Whether any of it is inside the picture: it alone is drawn on black."""
        figure, canvas = actor.figure(time_s), np.zeros_like(self._sunny)
        figure.paint(canvas, self._camera)
        return bool(canvas.any() or self._shadows([figure]).any())

    def _seen_in(self, actor: Actor) -> Iterator[int]:
        candidates = range(ceil(actor.start_s * self.fps), floor(actor.end_s * self.fps) + 1)
        return (index for index in candidates if self.is_seen(actor, index / self.fps))

    def _shadows(self, figures: Sequence[Figure]) -> NDArray[np.uint8]:
        """255 where the sun is kept off the ground; (H, W) of the canvas."""
        mask = np.zeros(self._sunny.shape[:2], np.uint8)
        for figure in figures:
            figure.paint(mask, self._camera, casting=True)
        return mask


class _Air:
    """What is between the square and the file: clouds that come and go slowly, and the sensor's noise."""

    def __init__(self, seed: int, size: tuple[int, int]) -> None:
        rng = np.random.default_rng(
            (seed, 1_000_003)
        )  # a stream of its own, away from the walkers'
        self._size, self._phase = size, rng.uniform(0, 2 * pi)
        shape = (size[1] + NOISE_MARGIN_PX, size[0] + NOISE_MARGIN_PX, 3)
        self._field = np.rint(rng.normal(NOISE_MIDDLE, NOISE_SIGMA, shape)).astype(np.uint8)
        self._corners = rng.integers(0, NOISE_MARGIN_PX, (997, 2)).tolist()

    def over(self, picture: Picture, index: int, time_s: float) -> Picture:
        gain = (
            1 + 0.012 * sin(2 * pi * time_s / 97 + self._phase) + 0.006 * sin(2 * pi * time_s / 41)
        )
        top, left = self._corners[index % len(self._corners)]
        noise = self._field[top : top + self._size[1], left : left + self._size[0]]
        return np.asarray(cv2.addWeighted(picture, gain, noise, 1.0, -NOISE_MIDDLE), np.uint8)


def _runs(indices: Sequence[int]) -> list[Interval]:
    """Ascending numbers as runs without a gap."""
    runs: list[Interval] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs


def write_clip(
    path: Path, scene: Scene, seconds: float, on_frame: Callable[[], None] = lambda: None
) -> None:
    """H.264 in an mp4; one encoder thread, so that a scene gives one file. Whole or not at all.

    `on_frame` is called before each frame is written; what it raises ends the writing.
    """
    with replacing(path) as unfinished:
        _encode(unfinished, scene, round(seconds * scene.fps), on_frame)


def video_frames(scene: Scene, count: int) -> Iterator[av.VideoFrame]:
    """Its first frames as an encoder takes them: yuv420p, with their time stamps."""
    for index, picture in enumerate(scene.frames(count)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, scene.fps)
        yield frame


def _encode(path: Path, scene: Scene, count: int, on_frame: Callable[[], None]) -> None:
    options = {"crf": str(CRF), "preset": "veryfast", "threads": "1"}
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=scene.fps, options=options)
        stream.width, stream.height = scene.size
        stream.pix_fmt, stream.gop_size = "yuv420p", KEYFRAME_EVERY
        stream.time_base = Fraction(1, scene.fps)
        for frame in video_frames(scene, count):
            on_frame()
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_dataset(out: Path, train_clips: int, test_clips: int, seconds: float, seed: int) -> None:
    """`out`/train/01.mp4 ... of walkers, `out`/test/01.mp4 ... with an anomaly each, `out`/labels.json."""
    train = {f"{clip:02}": Scene(_clip_seed(seed, clip)) for clip in range(1, train_clips + 1)}
    test = {f"{clip:02}": _test_scene(seed, clip, seconds) for clip in range(1, test_clips + 1)}
    for part, scenes in (("train", train), ("test", test)):
        for name, scene in scenes.items():
            write_clip(out / part / f"{name}.mp4", scene, seconds)
    labels = _labels(train, test, seconds)
    (out / "labels.json").write_text(json.dumps(labels, indent=1) + "\n")


def _clip_seed(seed: int, clip: int) -> int:
    return (seed + 1) * 10_000 + clip  # far from the small numbers people give a single scene


def _test_scene(seed: int, clip: int, seconds: float) -> Scene:
    """The kinds take turns, each time another way over the square; at least the beginning is normal."""
    seed = _clip_seed(seed, FIRST_TEST_SEED + clip)
    start_s = seconds * float(np.random.default_rng((seed, 2)).uniform(0.2, 0.5))
    turn, kind = divmod(clip - 1, len(KINDS))
    return Scene(seed, [Event(KINDS[kind], start_s, turn)])


def _labels(train: dict[str, Scene], test: dict[str, Scene], seconds: float) -> dict[str, object]:
    """In the layout of the labels of the Ped2 footage."""
    first = next(iter((train | test).values()), Scene(0))
    count = round(seconds * first.fps)
    spans = {name: scene.intervals(count) for name, scene in test.items()}
    return {
        "fps": first.fps,
        "size": list(first.size),
        "train_frames": dict.fromkeys(train, count),
        "test": {
            name: {
                "frames": count,
                "anomalous_first_last_0based_inclusive": [list(run) for run in runs],
            }
            for name, runs in spans.items()
        },
    }


def demo_events(seconds: float = DEMO_S) -> list[Event]:
    """A cyclist at 15 s, a runner at 35 s, a van at 55 s, and so on every minute, each alone."""
    starts = range(15, max(15, int(seconds) - 12), 20)
    return [
        Event(KINDS[turn % 3], float(start_s), turn // 3) for turn, start_s in enumerate(starts)
    ]


def demo_scene(seconds: float = DEMO_S) -> Scene:
    """What the demo's camera sees."""
    return Scene(DEMO_SEED, demo_events(seconds))


def write_demo_video(
    path: Path, seconds: float = DEMO_S, on_frame: Callable[[], None] = lambda: None
) -> None:
    write_clip(path, demo_scene(seconds), seconds, on_frame)
