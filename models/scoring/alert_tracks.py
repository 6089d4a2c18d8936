"""Tracks of an alert's regions: where each was over the time of the alert.

At a few moments of an alert, its regions are joined to those of the moments before: the pairs that
overlap most first, then the nearest. Of a long alert fewer moments are kept, at equal distances, so
that its tracks reach from its beginning to its end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from lookout.models.scoring.alert_regions import AlertRegion, Box, common_area

FIRST_EVERY_S = 0.5
"""Between two moments, at first; it doubles where a track would have more than MOST_POINTS."""

MOST_POINTS = 32  # of a track
MOST_TRACKS = 4  # of an alert
NEAR = 0.3
"""Of the picture's sides, a second: how far the centre of a region may have gone on."""

NEAR_MOST = 0.3

LOST_AFTER = 3  # moments without a region, after which a track is not continued
LOST_AFTER_S = 3.0  # nor before so many seconds: frames may be left out


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """The place of a region at a moment."""

    at: float  # captured_at (s, UTC)
    box: Box


@dataclass(frozen=True, slots=True)
class RegionTrack:
    """The places of one region, oldest first, MOST_POINTS at most."""

    points: list[TrackPoint] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AlertTracks:
    """The tracks of an alert so far, MOST_TRACKS at most."""

    alert: str = ""  # its id
    tracks: list[RegionTrack] = field(default_factory=list)
    looked_at: float | None = None  # captured_at of the last moment; None: there was none
    every_s: float = FIRST_EVERY_S  # between two moments
    dropped: int = 0  # tracks that gave way to others, or for which there was no room

    def is_due(self, at: float) -> bool:
        """Tell whether a frame that was captured at `at` is a moment to look at."""
        return self.looked_at is None or at - self.looked_at >= self.every_s - 1e-6

    def with_regions(self, at: float, regions: Sequence[AlertRegion]) -> AlertTracks:
        """Return the tracks with the regions of a moment, the highest region first.

        A region that continues none begins a track. Where there are MOST_TRACKS, the shortest of
        those that are lost gives way to it; without one, the region is left out.
        """
        tracks = list(self.tracks)
        dropped = self.dropped
        taken = dict(self.pairs(at, regions))
        for number, region in enumerate(regions):
            point = TrackPoint(round(at, 3), rounded(region.box))
            if number in taken:
                known = tracks[taken[number]]
                tracks[taken[number]] = RegionTrack([*known.points, point])
                continue
            if len(tracks) >= MOST_TRACKS:
                dropped += 1
                lost = [one for one in tracks if self.is_lost(one, at)]
                if not lost:
                    continue
                shortest = tracks.index(min(lost, key=lambda one: len(one.points)))
                tracks[shortest] = RegionTrack([point])
                continue
            tracks.append(RegionTrack([point]))
        longest = max((len(one.points) for one in tracks), default=0)
        kept = replace(self, tracks=tracks, looked_at=at, dropped=dropped)
        return kept.thinned() if longest > MOST_POINTS else kept

    def pairs(self, at: float, regions: Sequence[AlertRegion]) -> Iterator[tuple[int, int]]:
        """Yield the number of each region that continues a track, with the track's number."""
        likely = []
        for number, track in enumerate(self.tracks):
            if self.is_lost(track, at):
                continue
            last = track.points[-1].box
            reach = min(NEAR_MOST, NEAR * (at - track.points[-1].at))
            for other, region in enumerate(regions):
                common = common_area(last, region.box)
                apart = math.dist(center(last), center(region.box))
                if common > 0 or apart <= reach:
                    likely.append((-common, apart, other, number))
        regions_taken: set[int] = set()
        tracks_taken: set[int] = set()
        for _, _, region_number, number in sorted(likely):
            if region_number not in regions_taken and number not in tracks_taken:
                regions_taken.add(region_number)
                tracks_taken.add(number)
                yield region_number, number

    def is_lost(self, track: RegionTrack, at: float) -> bool:
        """Tell whether a track had no region for too long."""
        return at - track.points[-1].at > max(LOST_AFTER_S, (LOST_AFTER + 0.5) * self.every_s)

    def thinned(self) -> AlertTracks:
        """Return them with every second point, and from now on half as many."""
        tracks = [RegionTrack(one.points[::2]) for one in self.tracks]
        return replace(self, tracks=tracks, every_s=2 * self.every_s)


def center(box: Box) -> tuple[float, float]:
    """Return the middle of a box."""
    left, top, width, height = box
    return left + width / 2, top + height / 2


def rounded(box: Box) -> Box:
    """Return a box to the thousandth of the picture's sides."""
    left, top, width, height = (round(one, 3) for one in box)
    return left, top, width, height
