"""Tracks of an alert's regions: joined by overlap, then by distance, and bounded."""

from __future__ import annotations

import numpy as np
import pytest

from lookout.models.scoring.alert_regions import AlertRegion, Box
from lookout.models.scoring.alert_tracks import (
    FIRST_EVERY_S,
    LOST_AFTER_S,
    MOST_POINTS,
    MOST_TRACKS,
    AlertTracks,
)
from lookout.service.storage.redis import codec

T0 = 1000.0


def region(left: float, top: float = 0.4, side: float = 0.1) -> AlertRegion:
    return AlertRegion((left, top, side, side), 0.5, side**2)


def tracks_of(*moments: list[AlertRegion]) -> AlertTracks:
    """Follow the regions of moments as far apart as they are looked at."""
    tracks = AlertTracks("gate:1-1")
    for number, regions in enumerate(moments):
        tracks = tracks.with_regions(T0 + number * FIRST_EVERY_S, regions)
    return tracks


def lefts(tracks: AlertTracks) -> list[list[float]]:
    return [[point.box[0] for point in one.points] for one in tracks.tracks]


def test_a_region_that_moves_is_one_track() -> None:
    tracks = tracks_of([region(0.1)], [region(0.2)], [region(0.3)])
    assert lefts(tracks) == [[0.1, 0.2, 0.3]]
    assert [point.at for point in tracks.tracks[0].points] == [1000.0, 1000.5, 1001.0]


def test_two_that_pass_each_other_stay_two() -> None:
    one, other = [0.1, 0.2, 0.3], [0.5, 0.4, 0.3]
    tracks = tracks_of(*([region(a, 0.2), region(b, 0.8)] for a, b in zip(one, other, strict=True)))
    assert lefts(tracks) == [one, other]


def test_what_overlaps_most_continues_a_track_before_what_is_near() -> None:
    tracks = tracks_of([region(0.4)], [region(0.52), region(0.42)])
    assert lefts(tracks) == [[0.4, 0.42], [0.52]]


def test_a_jump_begins_another_track_unless_there_was_time_for_it() -> None:
    assert lefts(tracks_of([region(0.1)], [region(0.35)])) == [[0.1], [0.35]]
    assert lefts(tracks_of([region(0.1)], [], [region(0.35)])) == [[0.1, 0.35]]


LOST = int(LOST_AFTER_S / FIRST_EVERY_S)  # moments, while they are half a second apart


@pytest.mark.parametrize(("gap", "count"), [(LOST - 1, 1), (LOST, 2)])
def test_a_track_goes_on_after_a_short_gap_and_not_after_a_long_one(gap: int, count: int) -> None:
    tracks = tracks_of([region(0.1)], *([[]] * gap), [region(0.1)])
    assert len(tracks.tracks) == count


def test_without_room_the_shortest_lost_track_gives_way_and_else_the_region_is_left_out() -> None:
    places = [0.0, 0.25, 0.5, 0.75]
    assert len(places) == MOST_TRACKS
    full = [region(left, 0.1) for left in places]
    tracks = tracks_of(full, [*full[:-1], region(0.1, 0.8)])
    assert (len(tracks.tracks), tracks.dropped) == (MOST_TRACKS, 1)
    empty: list[list[AlertRegion]] = [[]] * LOST
    tracks = tracks_of(full, full[:-1], *empty, [region(0.1, 0.8)])
    assert (lefts(tracks)[-1], tracks.dropped) == ([0.1], 1)  # in the place of that of one point


def test_a_long_alert_keeps_few_points_from_its_beginning_to_its_end() -> None:
    tracks = AlertTracks()
    moments = 0
    for tick in range(36_000):  # an hour of ten frames a second
        at = T0 + tick / 10
        if tracks.is_due(at):
            moments += 1
            tracks = tracks.with_regions(at, [region(0.4)])
    (track,) = tracks.tracks
    times = np.array([point.at for point in track.points])
    assert MOST_POINTS / 2 <= len(times) <= MOST_POINTS
    assert times[0] == T0
    assert times[-1] > T0 + 3600 - tracks.every_s - 1
    assert np.ptp(np.diff(times)) < 0.2  # at equal distances
    assert moments < 200


def test_noise_stays_within_the_bounds_and_is_read_as_it_was_saved() -> None:
    rng = np.random.default_rng(7)
    tracks = AlertTracks("gate:1-1")
    for tick in range(2000):
        boxes: list[Box] = [tuple(rng.uniform(0.0, 0.5, 4).tolist()) for _ in range(8)]
        regions = [AlertRegion(box, 0.5, 0.1) for box in boxes]
        tracks = tracks.with_regions(T0 + tick, regions)
    assert len(tracks.tracks) <= MOST_TRACKS
    assert max(len(one.points) for one in tracks.tracks) <= MOST_POINTS
    text = codec.dump(tracks)
    assert len(text) < 12_000
    assert codec.load(AlertTracks, text) == tracks
