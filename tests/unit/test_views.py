"""A camera's views by colour and by infrared light: each keeps its bounds and its examples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.motion import PlacesConfig
from lookout.models.scorer import Scorer
from lookout.models.scoring.camera_state import CameraState, FrameScore
from lookout.models.scoring.normalizer import Normalizer, Scheme
from lookout.models.scoring.place_state import PlaceState
from lookout.models.scoring.views import MOST_PARKED, Views, ViewState
from lookout.models.vision.scene_signature import SceneSignature
from tests.tiny import TINY_OF, at_dusk, infrared, street, untrained

COLOUR, INFRARED = at_dusk()
LEARNED = ViewState({"bounds": None, "seen": []}, None)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(untrained(TINY_OF["places"]))


def state_of(scorer: Scorer, scheme: Scheme = "fused") -> CameraState:
    places = PlaceState(4, PlacesConfig(side_px=128)) if scheme == "fused" else None
    normalizer = Normalizer(None, 5, scheme)
    return CameraState(scorer.fresh_items(), normalizer, gamma=0.0, rule=None, places=places)


def watch(scorer: Scorer, state: CameraState, pictures: dict[int, Pixels]) -> list[FrameScore]:
    """Score consecutive pictures by number, of one session."""
    scores = []
    numbers = sorted(pictures)
    for number in numbers[scorer.t_length - 1 :]:
        clip = [pictures[one] for one in range(number - scorer.t_length + 1, number + 1)]
        (output,) = scorer.step([np.stack(clip)], state.items[None], [state.rule]).samples()
        motion = None
        if state.places is not None:
            motion = state.places.features((1, number), clip[-2], clip[-1])
        scores.append(state.update(output, (1, number), motion))
    return scores


def seen(numbers: Iterable[int], *, by_infrared: bool = False) -> dict[int, Pixels]:
    return {number: infrared(number) if by_infrared else street(number) for number in numbers}


def values(scores: list[FrameScore]) -> list[tuple[float | None, float, str]]:
    return [(one.value, one.local_db, str(one.place_db)) for one in scores]


@pytest.mark.parametrize("scheme", ["fused", "local"])
def test_a_view_that_comes_back_goes_on_as_if_it_had_never_been_left(
    scorer: Scorer, scheme: Scheme
) -> None:
    state = state_of(scorer, scheme)
    alone = state_of(scorer, scheme)
    evening = seen(range(20))
    assert values(watch(scorer, state, evening)) == values(watch(scorer, alone, evening))
    dusk = state.switch_view(COLOUR, INFRARED)
    assert (dusk.name, dusk.learned) == ("infrared 2", None)
    night = watch(scorer, state, seen(range(30, 50), by_infrared=True))
    assert night[0].value is None
    assert night[-1].value is not None
    dawn = state.switch_view(INFRARED, COLOUR)
    assert dawn.name == "colour 1"
    assert state.places is None or state.places is not alone.places
    day = seen(range(60, 70))
    expected = watch(scorer, alone, day)
    assert values(watch(scorer, state, day)) == values(expected)
    assert all(one.value is not None for one in expected)
    assert state.switch_view(COLOUR, INFRARED).name == "infrared 2"
    assert state.normalizer.bounds is not None


@pytest.mark.parametrize("cut", range(4))
def test_a_snapshot_goes_on_with_every_view(scorer: Scorer, cut: int) -> None:
    """Another worker takes over between any two of evening, dusk, night and dawn."""

    def live(state: CameraState, part: int) -> object:
        if part == 1:
            return state.switch_view(COLOUR, INFRARED).name
        if part == 3:
            return state.switch_view(INFRARED, COLOUR).name
        if part == 2:
            return values(watch(scorer, state, seen(range(30, 45), by_infrared=True)))
        return values(watch(scorer, state, seen(range(20 * part, 20 * part + 15))))

    whole = state_of(scorer)
    expected = [live(whole, part) for part in range(5)]
    first = state_of(scorer)
    before = [live(first, part) for part in range(cut)]
    second = state_of(scorer)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert before + [live(second, part) for part in range(cut, 5)] == expected
    assert json.dumps(second.state_dict()) == json.dumps(whole.state_dict())


def test_a_camera_that_never_changed_has_a_snapshot_as_before(scorer: Scorer) -> None:
    assert "views" not in state_of(scorer).state_dict()


def test_what_is_left_while_it_is_learned_is_not_kept(scorer: Scorer) -> None:
    state = state_of(scorer)
    watch(scorer, state, seen(range(6)))
    state.switch_view(COLOUR, INFRARED)
    back = state.switch_view(INFRARED, COLOUR)
    assert (back.name, back.learned) == ("colour 3", None)
    assert state.learned_frames == 0


def picture(number: int) -> SceneSignature:
    """One of several places without anything in common."""
    return SceneSignature.from_pixels(
        np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    )


def test_the_view_that_was_left_the_longest_time_ago_is_dropped() -> None:
    views = Views()
    names = []
    for number in range(MOST_PARKED + 2):
        switch = views.switch(picture(number), picture(number + 1), LEARNED)
        names.append(switch.name)
        assert switch.dropped == (None if number < MOST_PARKED else f"colour {number - 2}")
    assert names == [f"colour {number}" for number in range(2, MOST_PARKED + 4)]
    assert (views.dropped, views.known) == (2, MOST_PARKED + 1)
    last = picture(MOST_PARKED + 2)
    assert views.switch(last, picture(0), LEARNED).learned is None  # the first one is gone
    assert views.switch(picture(0), picture(4), LEARNED).name == "colour 5"


def test_a_view_is_known_by_its_first_and_its_last_picture() -> None:
    """The light drifts from dawn to dusk; both are of the same view."""
    dawn = street(0) // 2
    dusk = street(0) // 2 + 100
    shown = [SceneSignature.from_pixels(one) for one in (dawn, dusk)]
    for light in shown:
        views = Views()
        views.switch(INFRARED, shown[0], LEARNED)
        assert views.switch(shown[1], INFRARED, LEARNED).name == "infrared 1"
        assert views.switch(INFRARED, light, LEARNED).name == "colour 2"


def test_a_picture_of_an_unreported_change_does_not_stand_for_the_view() -> None:
    views = Views()
    views.switch(INFRARED, COLOUR, LEARNED)
    views.switch(picture(5), INFRARED, LEARNED)  # the camera was turned between flashes
    assert views.switch(INFRARED, picture(5), LEARNED).learned is None
    assert views.switch(picture(5), COLOUR, LEARNED).name == "colour 2"


@pytest.mark.parametrize(
    "spoiled", [{"memory": ""}, {"memory": "AAAA"}, {"learner": {}}, {"pictures": [{}]}]
)
def test_broken_views_are_refused_and_change_nothing(
    scorer: Scorer, spoiled: dict[str, Any]
) -> None:
    state = state_of(scorer)
    watch(scorer, state, seen(range(20)))
    state.switch_view(COLOUR, INFRARED)
    saved = json.loads(json.dumps(state.state_dict()))
    saved["views"]["parked"][0] |= spoiled
    fresh = state_of(scorer)
    before = fresh.state_dict()
    with pytest.raises((ValueError, KeyError, TypeError)):
        fresh.load_state_dict(saved)
    assert fresh.state_dict() == before


def test_bounds_of_places_in_another_form_are_learned_anew(scorer: Scorer) -> None:
    """An earlier version took the mean of other frames: its bounds tell nothing of ours."""
    before = state_of(scorer)
    watch(scorer, before, seen(range(20)))
    before.switch_view(COLOUR, INFRARED)
    watch(scorer, before, seen(range(30, 50), by_infrared=True))
    same = json.loads(json.dumps(before.state_dict()))
    another = json.loads(json.dumps(before.state_dict()))
    another["places"]["form"] = [12, 8]
    oldest = json.loads(json.dumps(before.state_dict()))
    del oldest["places"]["form"]
    continued = state_of(scorer)
    continued.load_state_dict(same)
    assert continued.normalizer.bounds == before.normalizer.bounds
    assert continued.state_dict()["views"]["name"] == "infrared 2"
    for snapshot in (another, oldest):
        upgraded = state_of(scorer)
        upgraded.load_state_dict(snapshot)
        assert upgraded.normalizer.bounds is None
        assert "views" not in upgraded.state_dict()
        assert upgraded.places is not None
        assert upgraded.places.memory_json() == before.state_dict()["places"]["memory"]
