"""The generated square: its pictures, its ground truth and its files."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from lookout.service.demo.scene import (
    KINDS,
    RgbImage,
    Scene,
    StagedEvent,
    demo_events,
    write_clip,
    write_dataset,
    write_demo_video,
)
from lookout.service.demo.walks import SPEED_MPS, AnomalyKind
from tests.conftest import with_long_forms

SMALL = (192, 144)
DEMO_SIZE_PX = (384, 288)


def decoded(path: Path) -> list[RgbImage]:
    with av.open(str(path)) as container:
        return [
            np.asarray(it.to_ndarray(format="rgb24"), np.uint8) for it in container.decode(video=0)
        ]


def difference(one: RgbImage, other: RgbImage) -> float:
    """Mean over pixels and channels, of 255."""
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def inside(index: int, intervals: list[tuple[int, int]]) -> bool:
    return any(first <= index <= last for first, last in intervals)


def test_a_frame_is_a_function_of_seed_and_number_alone() -> None:
    first, second = Scene(3, size=SMALL), Scene(3, size=SMALL)
    later = first.frame(400)
    assert np.array_equal(later, second.frame(400))
    assert np.array_equal(first.frame(5), list(second.frames(6))[5])
    assert later.shape == (144, 192, 3)
    assert later.dtype == np.uint8


def test_another_seed_brings_other_people_to_the_same_place() -> None:
    one, other = Scene(3, size=SMALL).frame(0), Scene(4, size=SMALL).frame(0)
    assert not np.array_equal(one, other)
    assert (
        np.median(np.abs(one.astype(np.int16) - other)) <= 6
    )  # the same stones, but for noise and clouds


def test_only_the_noise_changes_where_nothing_moves() -> None:
    scene = Scene(3)
    lawn = np.stack([scene.frame(index)[20:50, 60:90] for index in range(12)]).astype(float)
    assert 1.0 < float(lawn.std(0).mean()) < 2.0


def test_pictures_change_smoothly() -> None:
    pictures = list(Scene(5).frames(60))
    steps = [difference(one, other) for one, other in pairwise(pictures)]
    assert max(steps) < 3.5
    assert max(steps) - min(steps) < 1.0


def test_light_drifts_slowly_by_a_percent_or_two() -> None:
    scene = Scene(5, size=SMALL)
    light = [float(np.median(scene.frame(index))) for index in range(0, 3000, 150)]
    assert 0.005 < np.ptp(light) / np.mean(light) < 0.06


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_six_to_twelve_people_are_on_the_square(seed: int) -> None:
    scene = Scene(seed, size=SMALL)
    for time_s in range(0, 300, 7):
        seen = [actor for actor in scene.actors(time_s) if scene.is_seen(actor, time_s)]
        assert 6 <= len(seen) <= 12


def test_nobody_appears_or_vanishes_inside_the_picture() -> None:
    scene = Scene(1, demo_events(), size=SMALL)
    for actor in {
        id(actor): actor for time_s in range(0, 300, 5) for actor in scene.actors(time_s)
    }.values():
        assert actor.start_s < 0 or not scene.is_seen(actor, actor.start_s)
        assert not scene.is_seen(actor, actor.end_s - 1e-6)


def test_people_walk_around_what_stands_on_the_square() -> None:
    scene = Scene(2, demo_events(), size=SMALL)
    assert all(
        actor.route.is_free() for time_s in range(0, 300, 5) for actor in scene.actors(time_s)
    )


def test_a_normal_scene_has_no_anomalous_frames() -> None:
    assert Scene(1).intervals() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", with_long_forms(range(6), {0, 3}))
def test_intervals_are_the_frames_in_which_the_anomaly_is_drawn(
    kind: AnomalyKind, variant: int
) -> None:
    with_event, without = (
        Scene(8, [StagedEvent(kind, 2.0, variant)], size=SMALL),
        Scene(8, size=SMALL),
    )
    [(first, last)] = with_event.intervals()
    assert 20 <= first <= 30
    assert last - first >= 30
    probes = [
        0,
        first - 2,
        first - 1,
        first + 2,
        (first + last) // 2,
        last - 2,
        last + 1,
        last + 20,
    ]
    for index in probes:
        differs = not np.array_equal(with_event.frame(index), without.frame(index))
        assert differs == (first <= index <= last), index


def test_intervals_are_cut_to_the_clip_and_overlaps_are_one() -> None:
    scene = Scene(
        1,
        [StagedEvent("runner", 1.0), StagedEvent("van", 2.0), StagedEvent("cyclist", 30.0)],
        size=SMALL,
    )
    assert len(scene.intervals()) == 2
    [(first, last)] = scene.intervals(40)
    assert 10 <= first < last == 39


def test_anomalies_are_much_faster_than_anybody_walks() -> None:
    scene = Scene(1, size=SMALL)
    walkers = [actor for time_s in range(0, 120, 10) for actor in scene.actors(time_s)]
    fastest_mps = max(
        (actor.gone_m(t + 0.1) - actor.gone_m(t)) * 10 for actor in walkers for t in range(40)
    )
    assert fastest_mps < 1.5
    assert SPEED_MPS["runner"] > 2 * fastest_mps
    assert SPEED_MPS["van"] > SPEED_MPS["cyclist"] > SPEED_MPS["runner"]


def test_demo_begins_normal_and_leaves_calm_between_its_events() -> None:
    intervals = Scene(7, demo_events(), size=SMALL).intervals()
    assert len(intervals) == len(demo_events()) == 14
    assert 140 <= intervals[0][0] <= 160
    assert [event.kind for event in demo_events()[:4]] == ["cyclist", "runner", "van", "cyclist"]
    assert all(later[0] - earlier[1] > 80 for earlier, later in pairwise(intervals))
    assert intervals[-1][1] < 3000


def test_clip_decodes_as_it_was_drawn(tmp_path: Path) -> None:
    path, scene = tmp_path / "new" / "clip.mp4", Scene(2, size=SMALL, fps=10)
    write_clip(path, scene, 2.0)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == SMALL
        assert stream.average_rate == 10
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
    pictures = decoded(path)
    assert len(pictures) == 20
    assert (
        max(difference(picture, scene.frame(index)) for index, picture in enumerate(pictures)) < 4
    )
    assert [file.name for file in path.parent.iterdir()] == ["clip.mp4"]


def test_a_clip_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")
    with pytest.raises(av.FFmpegError):
        write_clip(path, Scene(2, size=(191, 143)), 1.0)  # H.264 with 4:2:0 colour needs even sides
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_dataset_has_the_layout_of_ped2(tmp_path: Path) -> None:
    write_dataset(tmp_path, train_clips=1, test_clips=2, seconds=4.0, seed=1)
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert set(labels) == {"fps", "size", "train_frames", "test"}
    assert (labels["fps"], labels["size"], labels["train_frames"]) == (
        10,
        list(DEMO_SIZE_PX),
        {"01": 40},
    )
    assert len(decoded(tmp_path / "train" / "01.mp4")) == 40
    for name in ("01", "02"):
        clip = labels["test"][name]
        [[first, last]] = clip["anomalous_first_last_0based_inclusive"]
        assert 10 <= first < last <= 39
        assert len(decoded(tmp_path / "test" / f"{name}.mp4")) == clip["frames"] == 40


def test_the_demo_video_can_be_short(tmp_path: Path) -> None:
    write_demo_video(tmp_path / "demo.mp4", seconds=1.0)
    assert decoded(tmp_path / "demo.mp4")[0].shape == (288, 384, 3)
