"""The memory of places beside its slow, obvious version."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lookout.models.arrays import Floats32, Pixels
from lookout.models.motion import FEATURES, Features, MotionFeatures, PlacesConfig, motion_cells
from lookout.models.places import PlaceMemory
from lookout.models.scoring.place_state import PlaceState
from lookout.models.scoring.places import PlaceScore

CONFIG = PlacesConfig(side_px=64, examples=4, lasts=5, worst=3)
SIDE_PX = CONFIG.side_px


def scene(frames: int, step_px: float = 1.0, top_px: int = 16, seed: int = 0) -> Iterator[Pixels]:
    """Yield a textured street on which a textured thing goes to the right, again and again."""
    rng = np.random.default_rng(seed)
    street = cv2.GaussianBlur(rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8), (0, 0), 2)
    thing = cv2.GaussianBlur(rng.integers(0, 256, (20, 16, 3), np.uint8), (0, 0), 1)
    whole = np.ones((20, 16), np.float32)
    for number in range(frames):
        shift = np.array([[1, 0, (number * step_px) % (SIDE_PX - 16)], [0, 1, top_px]])
        alpha = cv2.warpAffine(whole, shift, (SIDE_PX, SIDE_PX))[..., None]
        moved = cv2.warpAffine(thing, shift, (SIDE_PX, SIDE_PX))
        yield np.asarray((street * (1 - alpha) + moved * alpha).round(), np.uint8)


def features(frames: Iterator[Pixels], config: PlacesConfig = CONFIG) -> list[Features]:
    motion = MotionFeatures(config)
    pictures = list(frames)
    return [
        motion.update((1, number), pictures[number - 1], pictures[number])
        for number in range(1, len(pictures))
    ]


def some_features(seed: int, config: PlacesConfig = CONFIG) -> Features:
    """Draw features of which about half move."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(0, 1, (config.patches, config.patches, len(FEATURES))).astype(np.float32)
    drawn[..., 0] = np.maximum(drawn[..., 0], 0)
    return drawn


def learned(seeds: range, config: PlacesConfig = CONFIG) -> PlaceMemory:
    memory = PlaceMemory(config)
    for seed in seeds:
        memory.learn(some_features(seed, config))
    return memory


def test_the_motion_of_a_thing_is_measured_where_it_is() -> None:
    seen = features(scene(6, step_px=2.0))[-1]
    there = dict(zip(FEATURES, seen[2, 1].tolist(), strict=True))  # x 8 to 24, y 16 to 32
    assert there["share"] > 0.9
    assert there["speed"] == pytest.approx(2, abs=0.3)
    assert there["right"] == pytest.approx(there["share"], abs=0.1)
    assert abs(there["down"]) < 0.2
    assert seen[6, 6, 0] == 0


@pytest.mark.parametrize("level", [0, 17, 255])
def test_a_constant_picture_does_not_move(level: int) -> None:
    picture = np.full((SIDE_PX, SIDE_PX, 3), level, np.uint8)
    seen = features(iter([picture] * 4))[-1]
    assert not seen[..., FEATURES.index("share")].any()
    memory = PlaceMemory(CONFIG)
    memory.learn(seen)
    assert not memory.distances(seen).any()
    assert memory.examples == 0
    assert PlaceScore(CONFIG).update((1, 0), memory.distances(seen)) == pytest.approx(-30)


@pytest.mark.parametrize("axis", [0, 1])
def test_noise_of_one_pixel_in_width_gives_finite_numbers(axis: int) -> None:
    rng = np.random.default_rng(3)
    lines = [rng.integers(0, 256, (SIDE_PX, 1, 3), np.uint8) for _ in range(8)]
    pictures = [np.repeat(line, SIDE_PX, axis=1) for line in lines]
    if axis:
        pictures = [picture.transpose(1, 0, 2) for picture in pictures]
    memory = PlaceMemory(CONFIG)
    for seen in features(iter(pictures)):
        assert np.isfinite(memory.distances(seen)).all()
        memory.learn(seen)
    assert memory.examples <= CONFIG.places**2 * CONFIG.examples


def test_noise_does_not_move_and_a_thing_in_noise_does() -> None:
    """The flow between two noisy pictures of a plain wall is not 0."""
    rng = np.random.default_rng(3)
    config = PlacesConfig()
    wall = np.full((256, 256), 130, np.uint8)
    other = wall.copy()
    wall[96:144, 64:112] = 250
    other[96:144, 67:115] = 250
    noisy = [
        np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        for picture in (wall, wall, other)
    ]
    still = motion_cells(noisy[0], noisy[1], config)[..., 0]
    assert (still > config.moving_share).mean() < 0.1
    moved = motion_cells(noisy[1], noisy[2], config)[..., 0]
    assert moved[12:18, 8:14].max() > 0.5
    loose = replace(config, noise_times=0.0)
    assert (motion_cells(noisy[0], noisy[1], loose)[..., 0] > config.moving_share).mean() > 0.5


def test_gray_frames_are_measured_as_rgb_ones_of_equal_channels() -> None:
    before, now = (picture[..., :1].repeat(3, axis=2) for picture in scene(2))
    of_rgb = motion_cells(before, now, CONFIG)
    of_gray = motion_cells(before[..., 0], now[..., 0], CONFIG)
    assert np.array_equal(of_rgb, of_gray)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((32, 64, 3), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
    ],
)
def test_a_frame_of_another_size_is_refused_in_one_line(frame: Pixels) -> None:
    good = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    for pair in ((good, frame), (frame, good)):
        with pytest.raises(ValueError, match="places need uint8 frames of 64x64, not") as refused:
            MotionFeatures(CONFIG).update((1, 1), *pair)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "sizes", [{"side_px": 60}, {"side_px": 16}, {"examples": 0}, {"lasts": 0}, {"worst": 0}]
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        PlacesConfig(**sizes)


def slow_distances(memory: PlaceMemory, seen: Features) -> Floats32:
    """Compute the distances patch by patch and example by example."""
    config = memory.config
    found = np.zeros(seen.shape[:2])
    sides = range(config.places)
    usual = memory._usual
    moved = memory._moved
    whole = sum(u * m for u, m in zip(usual, moved, strict=True)) / sum(moved)
    for row in range(config.patches):
        for column in range(config.patches):
            x = seen[row, column]
            if x[0] <= config.moving_share:
                continue
            y, z = row // 2, column // 2
            here = y * config.places + z
            known = memory._examples[here, : memory._count[here]]
            nearest = min(
                math.dist(x / memory.sigma, example / memory.sigma)
                for example in [np.zeros(len(x), np.float32), *known.astype(np.float32)]
            )
            total = count = 0.0
            for down, right in ((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)):
                if y + down in sides and z + right in sides:
                    weight = (0.5 if down == 0 else 0.25) * (0.5 if right == 0 else 0.25)
                    there = (y + down) * config.places + z + right
                    total += weight * usual[there] * moved[there]
                    count += weight * moved[there]
            prior = config.prior_patches
            found[row, column] = nearest * (count + prior) / (total + prior * whole)
    return found.astype(np.float32)


@pytest.mark.parametrize("frames", [1, 7, 40])
def test_distances_are_those_of_the_slow_version(frames: int) -> None:
    memory = learned(range(frames))
    seen = some_features(1000)
    assert memory.distances(seen) == pytest.approx(slow_distances(memory, seen), rel=1e-4)


def test_an_empty_memory_knows_that_nothing_moves() -> None:
    memory = PlaceMemory(CONFIG)
    seen = some_features(0)
    distances = memory.distances(seen)
    sigmas = np.sqrt(((seen / memory.sigma) ** 2).sum(axis=-1))
    moving = seen[..., 0] > CONFIG.moving_share
    assert distances[moving] == pytest.approx(sigmas[moving], rel=1e-5)
    assert not distances[~moving].any()
    assert memory.usual_range(0, 0, "speed") is None


def test_seen_motion_comes_near_and_the_memory_is_bounded() -> None:
    memory = learned(range(200))
    assert memory.examples == CONFIG.places**2 * CONFIG.examples
    assert memory.frames == 200
    seen = np.zeros((CONFIG.patches, CONFIG.patches, len(FEATURES)), np.float32)
    seen[::2, ::2] = memory._examples[:, 1].reshape(CONFIG.places, CONFIG.places, -1)
    assert not memory.distances(seen).any()
    assert len(json.dumps(memory.state_dict())) < 30_000


def test_the_state_of_the_default_sizes_is_bounded() -> None:
    config = PlacesConfig()
    memory = learned(range(80), config)
    assert len(json.dumps(memory.state_dict())) < 400_000


def test_the_same_frames_give_the_same_bits() -> None:
    states = []
    for _ in range(2):
        memory = PlaceMemory(CONFIG)
        for seen in features(scene(30)):
            memory.learn(seen)
        states.append(json.dumps(memory.state_dict()))
    assert states[0] == states[1]


@pytest.mark.parametrize("cut", range(0, 24, 3))
def test_a_camera_goes_on_from_its_snapshot_bit_for_bit(cut: int) -> None:
    pictures = list(scene(24))
    numbers = [number + (number > 12) for number in range(24)]  # number 13 is missing

    def play(
        memory: PlaceMemory, motion: MotionFeatures, score: PlaceScore, frames: range
    ) -> list[float]:
        scores = []
        for i in frames:
            frame_id = (1, numbers[i])
            seen = motion.update(frame_id, pictures[max(0, i - 1)], pictures[i])
            scores.append(score.update(frame_id, memory.distances(seen)))
            memory.learn(seen)
        return scores

    whole = (PlaceMemory(CONFIG), MotionFeatures(CONFIG), PlaceScore(CONFIG))
    scores = play(*whole, range(24))
    first = (PlaceMemory(CONFIG), MotionFeatures(CONFIG), PlaceScore(CONFIG))
    before = play(*first, range(cut))
    second = (PlaceMemory(CONFIG), MotionFeatures(CONFIG))
    second[0].load_state_dict(json.loads(json.dumps(first[0].state_dict())))
    second[1].load_json(json.loads(json.dumps(first[1].to_json())))
    restored = PlaceScore.from_json(json.loads(json.dumps(first[2].to_json())), CONFIG)
    assert before + play(*second, restored, range(cut, 24)) == scores
    assert second[0].state_dict() == whole[0].state_dict()
    assert np.array_equal(restored.heat(), whole[2].heat())


@pytest.mark.parametrize(
    "change",
    [
        {"count": "AAAA"},
        {"examples": "AAAA"},
        {"usual": 3},
        {"weight": "nan"},
        {"weight": 0},
        {"frames": -1},
        {"moments": "!"},
    ],
)
def test_a_broken_state_changes_nothing(change: dict[str, object]) -> None:
    memory = learned(range(3))
    state = memory.state_dict()
    with pytest.raises((ValueError, TypeError, KeyError)):
        memory.load_state_dict(learned(range(5)).state_dict() | change)
    assert memory.state_dict() == state


def test_a_state_of_another_size_is_refused() -> None:
    other = learned(range(9), PlacesConfig(side_px=64, examples=8))
    for config in (CONFIG, PlacesConfig(side_px=128)):
        with pytest.raises(ValueError, match=r"memory of places|reshape"):
            PlaceMemory(config).load_state_dict(other.state_dict())


def test_features_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="features must be"):
        PlaceMemory(CONFIG).distances(np.zeros((3, 3, len(FEATURES)), np.float32))


def test_footage_that_is_one_twentieth_abnormal_keeps_the_abnormal_strange() -> None:
    config = PlacesConfig(side_px=64)
    strange = features(scene(30, step_px=3.0), config)[10:20]
    usual = features(scene(220, step_px=1.0), config)

    memory = PlaceMemory(config)
    for number, seen in enumerate(usual):
        memory.learn(seen)
        if number % 20 == 19:
            memory.learn(strange[number // 20 * 2 % len(strange)])  # every second one of them
    calm = np.quantile([memory.distances(seen).max() for seen in usual[100:]], 0.9)
    for seen in strange[1::2]:  # the same thing at other points of its way
        assert memory.distances(seen).max() > 2 * calm


def test_a_score_is_the_mean_of_the_worst_patches_of_the_mean_over_the_last_frames() -> None:
    rng = np.random.default_rng(0)
    frames = [
        rng.random((CONFIG.patches, CONFIG.patches)).astype(np.float32) * 10 for _ in range(9)
    ]
    score = PlaceScore(CONFIG)
    for number, distances in enumerate(frames):
        last = frames[max(0, number - CONFIG.lasts + 1) : number + 1]
        lasting = np.sum(last, axis=0, dtype=float) / CONFIG.lasts
        slow = 10 * math.log10(np.sort(lasting.ravel())[-CONFIG.worst :].mean())
        assert score.update((5, number), distances) == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("after", [(5, 3), (5, 1), (6, 2), (6, 0)])
def test_a_frame_that_does_not_follow_begins_anew(after: tuple[int, int]) -> None:
    loud = np.full((CONFIG.patches, CONFIG.patches), 10, np.float32)
    score = PlaceScore(CONFIG)
    first = score.update((5, 0), loud)
    assert score.update((5, 1), loud) > first
    assert score.update(after, loud) == first == pytest.approx(10 * math.log10(10 / CONFIG.lasts))


def test_a_thing_that_is_faster_than_usual_is_a_region_that_says_so() -> None:
    memory = PlaceMemory(CONFIG)
    for seen in features(scene(200, step_px=1.0)):
        memory.learn(seen)
    score = PlaceScore(CONFIG)
    quiet = PlaceScore(CONFIG)
    for number, seen in enumerate(features(scene(14, step_px=3.0))):
        score.update((1, number), memory.distances(seen))
        last = seen
    for number, normal in enumerate(features(scene(40, step_px=1.0))):
        quiet.update((1, number), memory.distances(normal))
    assert score.lasting.max() > 2 * quiet.lasting.max()
    region = score.regions(memory, last, least=2 * float(quiet.lasting.max()))[0]
    assert 1.5 < region.speed.seen < 3.5  # the flow of a small thing falls short of its way
    assert region.speed.high is not None
    assert region.speed.high < region.speed.seen / 2
    assert region.direction_deg < 15 or region.direction_deg > 345
    left, top, width, height = region.box_px
    assert left < 30 + 16 < left + width + 16
    assert top < 26 < top + height
    assert json.loads(json.dumps(region.as_json()))["speed"]["name"] == "speed"
    heat = score.heat()
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert top <= row <= top + height  # the picture is as large as the heatmap
    assert left <= column <= left + width


def test_a_state_of_places_tells_what_moves_strangely() -> None:
    state = PlaceState(20, CONFIG)
    pictures = [*scene(200, step_px=1.0), *scene(14, step_px=3.0)]
    for number in range(1, len(pictures)):
        seen = state.features((1, number), pictures[number - 1], pictures[number])
        state.measure((1, number), seen)
        if number < 200:
            state.learn(seen, None)
    motion = state.motions(seen)[0]
    assert motion.speed_high is not None
    assert motion.speed > motion.speed_high
    assert 0 <= motion.box[0] < motion.box[0] + motion.box[2] <= 1


@pytest.mark.parametrize(
    "state", [{}, {"at": None, "last": ["AAAA"]}, {"at": [1], "last": []}, {"at": 3, "last": []}]
)
def test_a_broken_snapshot_of_a_score_is_refused(state: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        PlaceScore.from_json(state, CONFIG)


def test_distances_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="distances must be"):
        PlaceScore(CONFIG).update((1, 1), np.zeros((3, 3), np.float32))
