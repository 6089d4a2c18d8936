"""Zones: polygons that are checked, drawn, and left out of the score to the last bit."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import shapely
import shapely.affinity
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.evaluation.clip_scores import ClipScorer, ClipScores
from lookout.models.media.preprocess import Preprocess
from lookout.models.scorer import Scorer
from lookout.models.scoring.camera_state import CameraState
from lookout.models.scoring.normalizer import Normalizer, Scheme
from lookout.models.scoring.place_state import PlaceState
from lookout.models.vision.zones import (
    LEAST_COUNTED,
    MAX_POINTS,
    MAX_ZONES,
    Zone,
    ZoneKind,
    ZoneMask,
    check_zones,
    counted_cells,
    polygon_of,
)
from tests.conftest import examples, with_wide_forms
from tests.tiny import TINY_OF, street, untrained

TREE = Zone("tree", "ignore", ((0.1, 0.1), (0.6, 0.15), (0.5, 0.7), (0.2, 0.5)))
HALF = Zone("half", "ignore", ((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
SOURCE = (48, 80)
"""Height and width of the camera's picture; the tiny models take 32 by 32."""


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([], "3 to 64 points, not 0"),
        ([(0, 0), (1, 1)], "3 to 64 points, not 2"),
        ([(0, 0)] * (MAX_POINTS + 1), "not 65"),
        ([(0, 0), (1.2, 0.5), (0, 1)], r"point 2 \(1.2, 0.5\) is outside the picture"),
        ([(0, 0), (1, 0.5), (0, -0.001)], r"point 3 \(0, -0.001\) is outside"),
        ([(0, 0), (math.nan, 0.5), (0, 1)], r"point 2 \(nan, 0.5\) is outside"),
        ([(0, 0), (0.5,), (0, 1)], "point 2 needs two numbers"),
        ([(0, 0), (1, 1), (1, 0), (0, 1)], r"crosses or touches itself at \(0.5, 0.5\)"),
        ([(0, 0), (0.8, 0), (0.2, 0.6), (0.8, 0.6), (0, 0.2)], r"itself at \(0.\d+, 0.\d+\)"),
        ([(0, 0), (1, 0), (0.5, 0), (0, 1)], r"itself at \(0.5, 0\)"),
        ([(0, 0), (0.5, 0.5), (1, 1)], "lie on a line"),
        ([(0.5, 0.5)] * 3, "lie on a line"),
    ],
)
def test_what_is_no_polygon_is_refused_with_its_place(
    points: list[tuple[float, ...]], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        polygon_of(points)


def test_the_zones_of_a_camera_are_refused_by_name() -> None:
    def zone(name: str, kind: ZoneKind = "ignore") -> Zone:
        return dataclasses.replace(HALF, name=name, kind=kind)

    bow = dataclasses.replace(TREE, points=((0, 0), (1, 1), (1, 0), (0, 1)))
    other = Zone("other", "ignore", ((0.49, 0), (1, 0), (1, 1), (0.49, 1)))
    for zones, reason in (
        ([bow], r"zone 'tree': the outline crosses or touches itself at \(0.5, 0.5\)"),
        ([zone("a"), zone("a")], "two zones have the name 'a'"),
        ([zone(f"{n}") for n in range(MAX_ZONES + 1)], "16 zones at most, not 17"),
        ([HALF, other], f"must leave {LEAST_COUNTED:.0%} of the picture"),
        ([HALF, zone("door", "watch")], "zone 'door' lies in ignored zones"),
    ):
        with pytest.raises(ValueError, match=reason):
            check_zones(zones)
    check_zones([HALF, TREE, zone("all", "watch")][:2])


@given(st.lists(st.tuples(*[st.floats(-0.5, 1.5)] * 2), max_size=8))
def test_points_are_a_polygon_or_refused_in_one_line(points: list[tuple[float, float]]) -> None:
    try:
        polygon = polygon_of(points)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    assert polygon.is_valid
    assert len(points) >= 3
    assert all(0 <= number <= 1 for point in points for number in point)


@given(st.data())
@examples(30)
def test_a_pixel_counts_where_no_polygon_comes_near(data: st.DataObject) -> None:
    """Beside a slow form of it, at any size."""
    height_px = data.draw(st.integers(8, 40))
    width_px = data.draw(st.integers(8, 40))
    corner = st.floats(0, 1, allow_subnormal=False)
    try:
        zone = Zone(
            "z", "ignore", tuple(data.draw(st.lists(st.tuples(corner, corner), max_size=6)))
        )
        mask = ZoneMask([zone], height_px, width_px)
    except ValueError:
        return
    polygon = shapely.affinity.scale(
        polygon_of(zone.points), width_px, height_px, origin=(0.0, 0.0)
    )
    for row in range(height_px):
        for column in range(width_px):
            grown = shapely.box(column - 1, row - 1, column + 2, row + 2)
            inner = shapely.box(column - 0.999, row - 0.999, column + 1.999, row + 1.999)
            if polygon.intersects(inner):
                assert not mask.weights[row, column]
            elif not polygon.intersects(grown):
                assert mask.weights[row, column]


def test_cells_and_patches_are_ignored_where_all_their_pixels_are() -> None:
    mask = ZoneMask([HALF], 256, 256)
    # Half of the picture, and the pixel beside it that resizing would mix with it.
    assert mask.weights.sum() == 256 * 127
    assert mask.weights[:, 129:].all()
    assert mask.cells[:, 32:].all()
    assert not mask.cells[:, :32].any()
    patches = mask.patches(256, 8)
    assert patches.shape == (31, 31)
    assert not patches[:, :15].any()
    assert patches[:, 15:].all()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
def test_cells_are_those_of_adaptive_pooling(height_px: int, width_px: int, side: int) -> None:
    counted = np.random.default_rng(height_px * 21 + width_px).random((height_px, width_px)) < 0.3
    wanted = torch.nn.functional.adaptive_max_pool2d(
        torch.from_numpy(counted.astype(np.float32))[None, None], side
    )
    assert (counted_cells(counted, side) == wanted[0, 0].numpy().astype(bool)).all()


def test_pictures_of_another_size_are_not_hidden() -> None:
    picture = street(0)
    assert ZoneMask([TREE], 64, 64).hide(picture) is picture
    assert ZoneMask([], 32, 32).hide(picture) is picture
    hidden = ZoneMask([TREE], 32, 32).hide(picture)
    counted = ZoneMask([TREE], 32, 32).weights.astype(bool)
    assert (hidden[counted] == picture[counted]).all()
    assert len(np.unique(hidden[~counted])) == 1


def source_pixels(zone: Zone) -> npt.NDArray[np.bool_]:
    """Return the pixels of the camera's picture that lie in a zone."""
    height_px, width_px = SOURCE
    rows, columns = np.mgrid[:height_px, :width_px]
    boxes = shapely.box(
        columns / width_px,
        rows / height_px,
        (columns + 1) / width_px,
        (rows + 1) / height_px,
    )
    return np.asarray(shapely.covers(polygon_of(zone.points), boxes))


def footage(seed: int, frames: int = 26) -> npt.NDArray[np.uint8]:
    """Return pictures of a camera, of which everything changes, (N, H, W, 3)."""
    still = np.random.default_rng(seed).integers(0, 256, (*SOURCE, 3), dtype=np.uint8)
    moving = [np.roll(still, 2 * number, axis=1) for number in range(frames)]
    return np.stack(moving)


def scored(
    checkpoint: Checkpoint, clip: npt.NDArray[np.uint8], zones: list[Zone], scheme: Scheme
) -> ClipScores:
    mask = ZoneMask(zones, 32, 32)
    places = None
    if scheme in ("places", "fused"):
        places = PlaceState(2, zones=mask)
    preprocess = Preprocess(32, 32)
    scorer = ClipScorer(
        Scorer(checkpoint, gamma=1e9),
        normalizer=Normalizer(None, 3, scheme),
        places=places,
        zones=mask,
    )
    frames = np.stack([preprocess(frame) for frame in clip])
    return scorer.score("clip", frames, keep_heat=True)


def assert_same_bits(one: ClipScores, other: ClipScores) -> None:
    for field in dataclasses.fields(ClipScores):
        mine = getattr(one, field.name)
        theirs = getattr(other, field.name)
        np.testing.assert_array_equal(mine, theirs, err_msg=field.name)


SCHEMES: list[tuple[str, Scheme]] = [
    *((name, "local") for name in sorted(TINY_OF)),
    ("mnad-pred", "paper"),
    ("places", "places"),
    ("mnad-pred", "fused"),
]


with_schemes = pytest.mark.parametrize(("name", "scheme"), with_wide_forms(SCHEMES, {"mnad-pred"}))


@with_schemes
@given(st.integers(0, 5), st.integers(6, 9))
@examples(3)
def test_whatever_happens_in_an_ignored_zone_the_scores_are_the_same_bits(
    name: str, scheme: Scheme, seed: int, other: int
) -> None:
    """Of every model and score; the zone's pixels are those of the camera's own picture."""
    checkpoint = untrained(TINY_OF[name])
    calm = footage(seed)
    wild = calm.copy()
    inside = source_pixels(TREE)
    assert inside.sum() > 400
    wild[:, inside] = footage(other)[:, inside]
    one = scored(checkpoint, calm, [TREE], scheme)
    assert_same_bits(one, scored(checkpoint, wild, [TREE], scheme))
    assert np.isfinite(one.value).any()
    assert one.heat is not None
    assert not one.heat[:, ~ZoneMask([TREE], 32, 32).cells].any()
    assert one.heat.any()


@with_schemes
def test_what_happens_beside_the_zone_still_counts(name: str, scheme: Scheme) -> None:
    checkpoint = untrained(TINY_OF[name])
    calm = footage(0)
    wild = calm.copy()
    wild[12:, 30:, 60:] = footage(6)[12:, 30:, 60:]
    one = scored(checkpoint, calm, [TREE], scheme)
    other = scored(checkpoint, wild, [TREE], scheme)
    assert (one.psnr_db != other.psnr_db).any() or (one.place_db != other.place_db).any()


@with_schemes
def test_without_ignored_zones_the_scores_are_the_bits_of_before(name: str, scheme: Scheme) -> None:
    checkpoint = untrained(TINY_OF[name])
    watched = Zone("door", "watch", TREE.points)
    frames = np.stack([street(number) for number in range(26)])
    places = [PlaceState(2, zones=ZoneMask([watched], 32, 32)), PlaceState(2)]
    if scheme not in ("places", "fused"):
        places = []
    one, other = (
        ClipScorer(
            Scorer(checkpoint),
            normalizer=Normalizer(None, 3, scheme),
            places=places.pop() if places else None,
            zones=zones,
        ).score("clip", frames, keep_heat=True)
        for zones in (None, ZoneMask([watched], 32, 32))
    )
    assert_same_bits(one, other)


def test_the_distance_is_that_of_the_places_that_count() -> None:
    """Half a picture is ignored: the queries of the other half alone make the distance."""
    scorer = Scorer(untrained(TINY_OF["mnad-pred"]))
    mask = ZoneMask([HALF], 32, 32)
    clip = mask.hide(np.stack([street(number) for number in range(scorer.t_length)]))
    items = scorer.fresh_items()[None]
    weights = torch.from_numpy(mask.weights)
    scored = scorer.step([clip], items, None, weights)
    plain = scorer.network.measure(scorer.normalise([clip]), items)  # type: ignore[call-arg]
    assert plain.distances is not None
    places = plain.distances[0, 0]  # (4, 4) places of 8 by 8 px; the half ends at pixel 17
    share = torch.tensor([0, 0, 7 / 8, 1.0])
    wanted = (places * share).sum() / (4 * share.sum())
    assert scored.distance.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_ignored_queries_teach_the_memory_nothing() -> None:
    scorer = Scorer(untrained(TINY_OF["mnad-pred"]), gamma=1e9)
    mask = ZoneMask([HALF], 32, 32)
    clip = mask.hide(np.stack([street(number) for number in range(scorer.t_length)]))
    items = scorer.fresh_items()[None]
    scored = scorer.step([clip], items, None, torch.from_numpy(mask.weights))
    from lookout.models import memory

    q = scorer.network.measure(scorer.normalise([clip]), items).queries  # type: ignore[call-arg]
    assert q is not None
    kept = q.reshape(1, 4, 4, -1)[:, :, 2:].reshape(1, 8, -1)
    wanted = memory.update(kept, items)
    assert torch.allclose(scored.items, wanted, atol=1e-6)
    assert not torch.allclose(scored.items, memory.update(q, items), atol=1e-4)


def test_a_file_of_zones_is_a_list_of_a_cameras_zones(tmp_path: Path) -> None:
    from lookout.models.errors import DataError
    from lookout.service.cli.evaluate import read_zones

    path = tmp_path / "zones.json"
    for text, reason in (
        ("{", "the list: Invalid JSON"),
        ("{}", "the list: Input should be a valid"),
        ('[{"name": "a", "kind": "ignore"}]', "0.points: Field required"),
        (
            '[{"name": "a", "kind": "ignore", "points": [[0, 0], [1, 1], [1, 0], [0, 1]]}]',
            r"zone 'a': the outline crosses or touches itself at \(0.5, 0.5\)",
        ),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=f"--zones: zones.json: {reason}"):
            read_zones(path)
    path.write_text('[{"name": "a", "kind": "ignore", "points": [[0, 0], [1, 1], [1, 0]]}]')
    assert [zone.as_zone() for zone in read_zones(path)] == [
        Zone("a", "ignore", ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0)))
    ]


DOOR = Zone("door", "watch", ((0.7, 0.6), (0.98, 0.6), (0.98, 0.98), (0.7, 0.98)))


@pytest.mark.parametrize(
    "scheme", with_wide_forms(["paper", "local", "places", "fused"], {"paper", "places"})
)
def test_a_watched_zone_is_scored_by_its_cells_alone(scheme: Scheme) -> None:
    """What happens far from it changes no bit of its value; what happens in it raises it."""
    checkpoint = untrained(TINY_OF["places"])  # whose error is that of each pixel alone

    def values(strange: tuple[slice, slice] | None) -> tuple[list[float | None], float]:
        scorer = Scorer(checkpoint)
        mask = ZoneMask([DOOR], 64, 64)
        places = PlaceState(10, zones=mask) if scheme in ("places", "fused") else None
        state = CameraState(
            scorer.fresh_items(),
            Normalizer(None, 10, scheme),
            gamma=0.0,
            rule=None,
            places=places,
            zones=mask,
        )
        frames = [street(number, 64) for number in range(40)]
        for number in range(30, 40):
            if strange is not None:
                noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
                frames[number][strange] = noise[strange]
        found: list[float | None] = []
        whole = 0.0
        for number in range(1, 40):
            pair = np.stack(frames[number - 1 : number + 1])
            (output,) = scorer.step([pair], state.items[None]).samples()
            motion = None if places is None else places.features((1, number), pair[0], pair[1])
            if number == 25:  # a new owner goes on from a snapshot with the same bits
                state.load_state_dict(state.state_dict())
                places = state.places
            score = state.update(output, (1, number), motion)
            assert (score.zones["door"] is None) == (score.value is None) or number < 25
            found.append(score.zones["door"])
            whole = score.value or 0.0
        return found, whole

    calm, _ = values(None)
    away, whole = values((slice(0, 30), slice(0, 36)))
    inside, _ = values((slice(42, 60), slice(46, 60)))
    assert calm[-1] is not None
    assert away == calm
    assert whole > calm[-1]
    assert inside[-1] is not None
    assert inside[-1] > calm[-1]


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 2), min_size=3, max_size=6))
@examples(30)
def test_every_watched_zone_has_cells_and_patches(points: list[tuple[float, float]]) -> None:
    try:
        mask = ZoneMask([Zone("z", "watch", tuple(points))], 64, 64)
    except ValueError:
        return
    assert mask.watched["z"].any()
    assert mask.watched_patches(256, 8)["z"].any()
    assert mask.watched_patches(256, 8)["z"].shape == (31, 31)
    assert not mask.ignores
