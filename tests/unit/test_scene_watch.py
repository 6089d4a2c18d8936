"""A change of the whole picture is reported once and its frames are held back.

Passers-by are not.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.messages import CameraEvent, FrameId
from lookout.service.demo.scene import Scene
from lookout.service.inference.scene_watch import SceneWatch, Verdict
from tests.conftest import SHARED, with_long_forms
from tests.scene_changes import (
    PARTIAL,
    WHOLE,
    Happening,
    between,
    blurred,
    covered,
    flickering,
    frames_of,
    happening,
    light,
    moved,
    panned,
    swaying,
)

AFTER = 30  # frames of a normal scene, before anything happens to it


@pytest.fixture(scope="module")
def square() -> list[Pixels]:
    """Ten seconds of people on a square, (144, 192, 3) each."""
    return list(Scene(7, size=(192, 144)).frames(100))


def shown(
    pictures: Iterable[Pixels], *, fps: float = 10, watch: SceneWatch | None = None
) -> list[Verdict]:
    watch = watch or SceneWatch()
    return [watch.observe(frame) for frame in frames_of(pictures, fps=fps)]


def told(verdicts: Iterable[Verdict]) -> list[CameraEvent]:
    return [event for verdict in verdicts for event in verdict.events]


def kinds(verdicts: Iterable[Verdict]) -> list[str]:
    return [event.kind for event in told(verdicts)]


def held(verdicts: list[Verdict]) -> list[int]:
    return [number for number, verdict in enumerate(verdicts) if not verdict.settled]


def test_a_normal_scene_is_settled_and_nothing_is_told(square: list[Pixels]) -> None:
    assert set(map(str, shown(square))) == {"Verdict(settled=True, change=None, events=[])"}


@pytest.mark.parametrize("name", with_long_forms(WHOLE, list(WHOLE)[::2]))
def test_a_change_of_the_whole_picture_is_told_once(square: list[Pixels], name: str) -> None:
    verdicts = shown(happening(square, WHOLE[name], after=AFTER))
    (event,) = told(verdicts)
    changed = [number for number, verdict in enumerate(verdicts) if verdict.change]
    assert (event.kind, event.camera, event.session) == ("scene_change", "gate", 1000)
    assert changed == [event.seq]
    assert event.at == 1000 + event.seq / 10
    assert event.detail
    first, last = held(verdicts)[0], held(verdicts)[-1]
    assert held(verdicts) == list(range(first, last + 1))
    assert last == event.seq
    takes_s = 3.0 if "3 s" in name else 1.0 if "1 s" in name else 0.0
    assert AFTER <= first <= AFTER + (5 if takes_s else 0)
    assert (last - AFTER) / 10 <= takes_s + 1.0


@pytest.mark.parametrize("name", with_long_forms(PARTIAL, list(PARTIAL)[::3]))
def test_what_passes_is_no_change(square: list[Pixels], name: str) -> None:
    verdicts = shown(happening(square, PARTIAL[name], after=AFTER))
    assert told(verdicts) == []
    assert len(held(verdicts)) <= 6


@pytest.mark.parametrize("what", [covered(255), covered(0), light(2.5, 40)])
def test_of_a_flash_its_own_frames_are_held_back(square: list[Pixels], what: Happening) -> None:
    verdicts = shown(happening(square, between(1.0, 1.2, what), after=AFTER))
    assert (kinds(verdicts), held(verdicts)) == ([], [40, 41])


def test_a_light_that_flashes_stops_the_scoring_for_a_moment_only(square: list[Pixels]) -> None:
    verdicts = shown(happening(square, flickering(light(2.0, 60), 2.5), after=AFTER))
    assert kinds(verdicts) == []
    assert len(held(verdicts)) <= 4


def test_a_light_that_blinks_slowly_is_told_five_times_a_minute(square: list[Pixels]) -> None:
    verdicts = shown(happening(square * 6, flickering(light(0.3), 0.25), after=AFTER))
    assert kinds(verdicts) == ["scene_change"] * 5


def test_a_camera_that_is_carried_about_is_told_once_and_held_back_for_five_seconds(
    square: list[Pixels],
) -> None:
    verdicts = shown(happening(square * 2, swaying(0.5), after=AFTER))
    assert kinds(verdicts) == ["scene_change"]
    assert 48 <= len(held(verdicts)) <= 53


def test_the_place_where_a_carried_camera_comes_to_rest_is_told_too(square: list[Pixels]) -> None:
    carried = happening(square * 2, between(0.0, 9.0, swaying(0.5)), after=AFTER)
    verdicts = shown(happening(carried, between(9.0, 99.0, moved(0.4)), after=AFTER))
    assert kinds(verdicts) == ["scene_change"] * 2
    assert verdicts[-1].settled


def test_frames_count_by_their_time_and_not_by_their_number(square: list[Pixels]) -> None:
    slow = shown(happening(square[::10], light(0.4), after=5), fps=1)
    assert (kinds(slow), held(slow)) == (["scene_change"], [5, 6])
    quick = shown(
        happening([picture for picture in square for _ in range(3)], light(0.4), after=90), fps=30
    )
    assert kinds(quick) == ["scene_change"]
    assert held(quick) == list(range(90, 90 + 16))


def test_noise_of_a_dark_night_is_no_change(square: list[Pixels]) -> None:
    for gain in (0.3, 0.1):
        assert told(shown(happening(square, light(gain, noise=20), after=0))) == []


# Tampering


@pytest.mark.parametrize(
    ("what", "word"),
    [
        (covered(10), "dark"),
        (covered(110), "empty"),
        (blurred(0.015), "blurred"),
        (blurred(0.03, 1.0), "blurred"),
        (light(0.08, noise=4), "dark"),
    ],
)
def test_what_stays_dark_or_blurred_is_tampering_until_it_is_restored(
    square: list[Pixels], what: Happening, word: str
) -> None:
    watch = SceneWatch()
    verdicts = shown(happening(square * 3, between(0.0, 15.0, what), after=AFTER), watch=watch)
    assert kinds(verdicts) == ["scene_change", "tampered", "scene_change", "restored"]
    _, tampered, _, restored = told(verdicts)
    assert 9.9 <= tampered.at - 1003.0 <= 10.6
    assert word in tampered.detail
    assert 1.0 <= restored.at - 1018.0 <= 2.6
    assert not watch.tampered


@pytest.mark.parametrize(
    "what", [moved(0.2), light(0.4), light(1.5), between(0.0, 8.0, covered(10))]
)
def test_what_can_still_be_seen_or_soon_again_is_no_tampering(
    square: list[Pixels], what: Happening
) -> None:
    verdicts = shown(happening(square * 2, what, after=AFTER))
    assert set(kinds(verdicts)) == {"scene_change"}


def test_tampering_is_told_while_it_lasts(square: list[Pixels]) -> None:
    watch = SceneWatch()
    shown(happening(square * 2, covered(10), after=AFTER), watch=watch)
    assert watch.tampered


def test_a_slow_dusk_is_no_tampering(square: list[Pixels]) -> None:
    def dusk(picture: Pixels, t: float) -> Pixels:
        return light(max(0.05, 1 - t / 45))(picture, t)

    assert told(shown(happening(square * 6, dusk, after=AFTER))) == []


# Going on from a snapshot


@pytest.mark.parametrize(
    "what", [covered(10), panned(0.2, 2.0), between(1.0, 1.2, light(2.0, 60)), light(0.4)]
)
def test_who_goes_on_from_a_snapshot_decides_alike(square: list[Pixels], what: Happening) -> None:
    pictures = list(happening(square * 2, between(0.0, 13.0, what), after=AFTER))
    undisturbed, watch, verdicts = shown(pictures), SceneWatch(), []
    for frame in frames_of(pictures):
        text = json.dumps(watch.to_json())
        assert len(text) < 4096
        watch = SceneWatch.from_json(json.loads(text))
        verdicts.append(watch.observe(frame))
    assert verdicts == undisturbed


def test_a_snapshot_of_the_first_version_loads() -> None:
    signature = {
        "light": base64.b64encode(bytes(64)).decode(),
        "detail": base64.b64encode(bytes(48 * 48 * 2 // 8)).decode(),
        "colour": 12.5,
        "sharpness": 3.25,
    }
    saved = {
        "memory": {
            "lasting_at": 1000.0,
            "newer_at": 1000.5,
            "lasting": signature,
            "before": signature,
            "newer": signature,
        },
        "usual": {"at": 1000.5, "level": 90.0, "contrast": 30.0, "sharpness": 3.25},
        "unrest": {"since": 1000.25, "held": True, "told": True},
        "doubt": {"since": 990.0, "tampered": True, "good_since": None},
        "free_until": 1005.0,
        "told": [900.0, 950.0],
        "held": [1000, 7],
        "seen": [1000, 8],
    }
    watch = SceneWatch.from_json(saved)
    assert watch.tampered
    assert watch.last_unsettled_id == (1000, 7)
    assert json.loads(json.dumps(watch.to_json())) == saved
    del saved["seen"]  # the very first version
    assert SceneWatch.from_json(saved).to_json()["seen"] is None


@pytest.mark.parametrize("bad", [{}, {"memory": {}}, {"memory": None, "usual": {"level": 1}}])
def test_a_snapshot_of_something_else_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        SceneWatch.from_json(bad)


def test_no_window_may_reach_back_to_the_last_frame_that_was_held_back(
    square: list[Pixels],
) -> None:
    assert SceneWatch().last_unsettled_id is None
    watch = SceneWatch()
    verdicts = shown(happening(square, light(0.4), after=AFTER), watch=watch)
    assert watch.last_unsettled_id == FrameId(1000, held(verdicts)[-1])
    assert (
        SceneWatch.from_json(json.loads(json.dumps(watch.to_json()))).last_unsettled_id
        == watch.last_unsettled_id
    )


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_jumps_holds_nothing_up(square: list[Pixels], jump_s: float) -> None:
    watch = SceneWatch()
    before = frames_of(happening(square[:33], light(0.4), after=AFTER))
    later = frames_of(happening(square, light(0.4), after=0), first=33, start_s=1000 + jump_s)
    verdicts = [watch.observe(frame) for frame in [*before, *later]]
    assert kinds(verdicts) == ["scene_change"]
    assert len(held(verdicts)) <= 10


# Real footage


def clip(name: str) -> Pixels:
    return read_clip(SHARED / "data" / name, Preprocess())


@pytest.mark.footage
@pytest.mark.parametrize(
    "name",
    with_long_forms(
        ["ped2/train/01.mp4", "ped2/test/04.mp4", "vtest/vtest.avi"], {"ped2/train/01.mp4"}
    ),
)
def test_real_footage_is_told_apart_from_changes_made_of_it(name: str) -> None:
    normal = clip(name)
    assert (told(shown(normal)), held(shown(normal))) == ([], [])
    assert told(shown(normal[::10], fps=1)) == []
    for what in (
        "infrared, brighter",
        "lights off",
        "moved by 16% to the right",
        "covered, gray",
        "defocused, 1.2%",
    ):
        verdicts = shown(happening(normal[:60], WHOLE[what], after=AFTER))
        assert (kinds(verdicts), held(verdicts)[0]) == (["scene_change"], AFTER), what
    for what in ("bus over 50%, dark, 1 widths/s", "lightning, 0.3 s", "exposure drifts up"):
        assert told(shown(happening(normal[:80], PARTIAL[what], after=AFTER))) == [], what


@pytest.mark.footage
@pytest.mark.slow
def test_no_clip_of_the_real_footage_holds_a_scene_change() -> None:
    paths = sorted((SHARED / "data").rglob("*.mp4"))
    assert len(paths) == 28
    for path in paths:
        assert told(shown(read_clip(path, Preprocess()))) == [], path


def test_pictures_of_another_clip_are_another_scene() -> None:
    """Clips put together: a change is reported at each border, and nowhere else."""
    rng = np.random.default_rng(2)
    views = [
        np.kron(rng.integers(0, 256, (12, 16, 3), np.uint8), np.ones((12, 12, 1), np.uint8))
        for _ in range(4)
    ]
    verdicts = shown([view for view in views for _ in range(20)])
    assert [event.seq for event in told(verdicts)] == [25, 45, 65]
    assert all(b - a == 1 or b - a > 10 for a, b in pairwise(held(verdicts)))
