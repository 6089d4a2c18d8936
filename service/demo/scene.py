"""A fixed camera over a square where people walk; at times a cyclist, a runner or a van passes.

A small model is trained on this footage, and the demo's camera shows it. The place is always the
same; the seed decides who walks where, the noise and the clouds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, pi, sin
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from lookout.models.media.atomic_file import replacing
from lookout.service.demo.figures import PinholeCamera, Stance
from lookout.service.demo.square import (
    FOUNTAIN,
    PLANTERS,
    draw_fountain,
    draw_planter,
    paint_square,
)
from lookout.service.demo.walks import Actor, AnomalyKind, Crowd, Figure, anomaly

RgbImage = NDArray[np.uint8]  # (H, W, 3) RGB, 0 to 255
Interval = tuple[int, int]  # first and last frame, 0-based, inclusive

KINDS: tuple[AnomalyKind, ...] = ("cyclist", "runner", "van")
OVERSAMPLING = 2  # drawn at twice the size and scaled down: smooth edges, and lines of half a pixel
NOISE_SIGMA = 1.5  # of 255, as of a sensor in daylight
NOISE_MIDDLE = 16  # keeps the noise field unsigned; beyond ten sigma
NOISE_MARGIN_PX = 64
"""Every frame cuts its own window from one field, which is far cheaper than new noise."""
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
class StagedEvent:
    """An anomaly, visible within a second of `start_s`; the variant is its way and its colour."""

    kind: AnomalyKind
    start_s: float
    variant: int = 0


class Scene:
    """Frames in any order: each is a function of seed, events and frame number alone."""

    def __init__(
        self,
        seed: int,
        events: Sequence[StagedEvent] = (),
        *,
        size: tuple[int, int] = (384, 288),
        fps: int = 10,
    ) -> None:
        """`size`: width, height, both even."""
        self.size = size
        self.fps = fps
        self._camera = PinholeCamera(size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
        self._sunny, self._shady = paint_square(self._camera)
        self._crowd = Crowd(seed, self._camera)
        self._anomalies = [anomaly(it.kind, it.start_s, it.variant, self._camera) for it in events]
        self._air = Atmosphere(seed, size)

    def frame(self, index: int) -> RgbImage:
        """Return frame `index`: (H, W, 3) uint8 RGB."""
        time_s = index / self.fps
        moving = [actor.figure(time_s) for actor in self.actors(time_s)]
        canvas = self._sunny.copy()
        cv2.copyTo(self._shady, self.shadow_mask(moving), canvas)
        for figure in sorted([*moving, *PROPS], key=lambda figure: -figure.stance.depth_m):
            figure.paint(canvas, self._camera)
        picture = cv2.resize(canvas, self.size, interpolation=cv2.INTER_AREA)
        return self._air.over(np.asarray(picture, np.uint8), index, time_s)

    def frames(self, count: int) -> Iterator[RgbImage]:
        """Yield the first `count` frames."""
        return (self.frame(index) for index in range(count))

    def actors(self, time_s: float) -> list[Actor]:
        """Return all who are on their way at `time_s`, the anomalies last."""
        passing = [actor for actor in self._anomalies if actor.start_s <= time_s <= actor.end_s]
        return [*self._crowd.at(time_s), *passing]

    def intervals(self, frames: int | None = None) -> list[Interval]:
        """Return the frames in which an anomaly or its shadow is visible.

        frames: only of the first so many, where given.
        """
        visible = {index for actor in self._anomalies for index in self.frames_with(actor)}
        return frame_runs(
            sorted(index for index in visible if index >= 0 and (frames is None or index < frames))
        )

    def is_seen(self, actor: Actor, time_s: float) -> bool:
        """Return whether any of the actor is inside the picture: it alone is drawn on black."""
        figure = actor.figure(time_s)
        canvas = np.zeros_like(self._sunny)
        figure.paint(canvas, self._camera)
        return bool(canvas.any() or self.shadow_mask([figure]).any())

    def frames_with(self, actor: Actor) -> Iterator[int]:
        """Yield the numbers of the frames in which the actor or its shadow is visible."""
        candidates = range(ceil(actor.start_s * self.fps), floor(actor.end_s * self.fps) + 1)
        return (index for index in candidates if self.is_seen(actor, index / self.fps))

    def shadow_mask(self, figures: Sequence[Figure]) -> NDArray[np.uint8]:
        """Return a mask of the canvas, (H, W) uint8: 255 where a figure casts a shadow."""
        mask = np.zeros(self._sunny.shape[:2], np.uint8)
        for figure in figures:
            figure.paint(mask, self._camera, casting=True)
        return mask


class Atmosphere:
    """Slow clouds and the sensor's noise, added to every frame."""

    def __init__(self, seed: int, size: tuple[int, int]) -> None:
        rng = np.random.default_rng((seed, 1_000_003))  # independent of the walkers' streams
        self._size = size
        self._phase = rng.uniform(0, 2 * pi)
        shape = (size[1] + NOISE_MARGIN_PX, size[0] + NOISE_MARGIN_PX, 3)
        self._field = np.rint(rng.normal(NOISE_MIDDLE, NOISE_SIGMA, shape)).astype(np.uint8)
        self._corners = rng.integers(0, NOISE_MARGIN_PX, (997, 2)).tolist()

    def over(self, picture: RgbImage, index: int, time_s: float) -> RgbImage:
        """Return the picture, (H, W, 3), in the light and with the noise of frame `index`."""
        gain = (
            1 + 0.012 * sin(2 * pi * time_s / 97 + self._phase) + 0.006 * sin(2 * pi * time_s / 41)
        )
        top, left = self._corners[index % len(self._corners)]
        noise = self._field[top : top + self._size[1], left : left + self._size[0]]
        return np.asarray(cv2.addWeighted(picture, gain, noise, 1.0, -NOISE_MIDDLE), np.uint8)


def frame_runs(indices: Sequence[int]) -> list[Interval]:
    """Join ascending numbers into runs without a gap."""
    runs: list[Interval] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs


class FrameSource(Protocol):
    """Frames that can be written to a clip."""

    @property
    def size(self) -> tuple[int, int]: ...  # width, height, both even
    @property
    def fps(self) -> int: ...
    def frames(self, count: int) -> Iterator[RgbImage]: ...


def write_clip(
    path: Path, scene: FrameSource, seconds: float, on_frame: Callable[[], None] = lambda: None
) -> None:
    """Write H.264 in an mp4, atomically. One encoder thread makes the file reproducible.

    `on_frame` is called before each frame is written; what it raises ends the writing.
    """
    with replacing(path) as unfinished:
        encode_mp4(unfinished, scene, round(seconds * scene.fps), on_frame)


def video_frames(scene: FrameSource, count: int) -> Iterator[av.VideoFrame]:
    """Yield the first `count` frames for an encoder: yuv420p, with time stamps."""
    reformatter = VideoReformatter()  # one for all: each is set up anew
    for index, picture in enumerate(scene.frames(count)):
        frame = reformatter.reformat(
            av.VideoFrame.from_ndarray(picture, format="rgb24"), format="yuv420p"
        )
        frame.pts = index
        frame.time_base = Fraction(1, scene.fps)
        yield frame


def encode_mp4(path: Path, scene: FrameSource, count: int, on_frame: Callable[[], None]) -> None:
    """Encode the first `count` frames into a file; `on_frame` as for `write_clip`."""
    options = {"crf": str(CRF), "preset": "veryfast", "threads": "1"}
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=scene.fps, options=options)
        stream.width, stream.height = scene.size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = KEYFRAME_EVERY
        stream.time_base = Fraction(1, scene.fps)
        for frame in video_frames(scene, count):
            on_frame()
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_dataset(out: Path, train_clips: int, test_clips: int, seconds: float, seed: int) -> None:
    """Write train/01.mp4 … of walkers, test/01.mp4 … with an anomaly each, and labels.json."""
    train = {f"{clip:02}": Scene(clip_seed(seed, clip)) for clip in range(1, train_clips + 1)}
    test = {
        f"{clip:02}": single_event_scene(seed, clip, seconds) for clip in range(1, test_clips + 1)
    }
    for part, scenes in (("train", train), ("test", test)):
        for name, scene in scenes.items():
            write_clip(out / part / f"{name}.mp4", scene, seconds)
    labels = dataset_labels(train, test, seconds)
    (out / "labels.json").write_text(json.dumps(labels, indent=1) + "\n")


def clip_seed(seed: int, clip: int) -> int:
    """Return the seed of one clip, far from the small seeds of single scenes."""
    return (seed + 1) * 10_000 + clip


def single_event_scene(seed: int, clip: int, seconds: float) -> Scene:
    """Return a test clip: the kinds take turns, each on another way; the first 20 % are normal."""
    seed = clip_seed(seed, FIRST_TEST_SEED + clip)
    start_s = seconds * float(np.random.default_rng((seed, 2)).uniform(0.2, 0.5))
    turn, kind = divmod(clip - 1, len(KINDS))
    return Scene(seed, [StagedEvent(KINDS[kind], start_s, turn)])


def dataset_labels(
    train: dict[str, Scene], test: dict[str, Scene], seconds: float
) -> dict[str, object]:
    """Return labels in the layout of the labels of the Ped2 footage."""
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


def demo_events(seconds: float = DEMO_S) -> list[StagedEvent]:
    """Return a cyclist at 15 s, a runner at 35 s, a van at 55 s, and so on, each alone."""
    starts = range(15, max(15, int(seconds) - 12), 20)
    return [
        StagedEvent(KINDS[turn % 3], float(start_s), turn // 3)
        for turn, start_s in enumerate(starts)
    ]


def demo_scene(seconds: float = DEMO_S) -> Scene:
    """Return the scene that the demo's camera shows."""
    return Scene(DEMO_SEED, demo_events(seconds))


def write_demo_video(
    path: Path, seconds: float = DEMO_S, on_frame: Callable[[], None] = lambda: None
) -> None:
    """Write the demo's scene; `on_frame` as for `write_clip`."""
    write_clip(path, demo_scene(seconds), seconds, on_frame)
