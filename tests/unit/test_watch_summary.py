"""The line on the whole watch: its words, its level, and the standing of each camera."""

from __future__ import annotations

import pytest

from lookout.service.core.messages import CameraStatus
from lookout.service.watch.camera_status import Status
from lookout.service.watch.watch_summary import (
    LAG,
    LATELY_S,
    LagShares,
    Standing,
    SummaryLevel,
    WatchSummary,
    standing,
)


@pytest.mark.parametrize(
    ("enabled", "alerts", "cameras", "text", "level"),
    [
        (0, 0, {}, "no camera is watched", "calm"),
        (2, 0, {"watched": "ab"}, "2 of 2 watched", "good"),
        (2, 1, {"watched": "ab"}, "2 of 2 watched · 1 alert", "bad"),
        (1, 0, {"ended": "a"}, "0 of 1 watched · 1 ended", "calm"),
        (2, 0, {"watched": "a", "learning": "b"}, "1 of 2 watched · 1 learning", "calm"),
        (2, 0, {"watched": "a", "starting": "b"}, "1 of 2 watched · 1 starting", "calm"),
        (2, 0, {"watched": "a", "blind": "b"}, "1 of 2 watched · 1 blind", "warn"),
        (
            6,
            2,
            {"watched": "abc", "blind": "de", "lagging": "f"},
            "3 of 6 watched · 2 alerts · 2 blind · 1 lagging",
            "bad",
        ),
    ],
)
def test_the_line_counts_and_is_good_only_when_all_are_watched(
    enabled: int, alerts: int, cameras: dict[Standing, str], text: str, level: SummaryLevel
) -> None:
    summary = WatchSummary(enabled, alerts, {name: tuple(ids) for name, ids in cameras.items()})
    assert (summary.text, summary.level) == (text, level)


@pytest.mark.parametrize(
    ("status", "lag_share", "live", "expected"),
    [
        (Status(CameraStatus.ONLINE, score_age_s=0.2, frame_age_s=0.1), 0.0, True, "watched"),
        (Status(CameraStatus.ONLINE), 0.04, True, "watched"),
        (Status(CameraStatus.ONLINE), 0.67, True, "lagging"),
        (Status(CameraStatus.ONLINE, score_age_s=9.0, frame_age_s=0.1), 0.0, True, "lagging"),
        # A camera of a frame every ten seconds, and a file at full pace.
        (Status(CameraStatus.ONLINE, score_age_s=9.0, frame_age_s=8.9), 0.0, True, "watched"),
        (Status(CameraStatus.ONLINE, score_age_s=9.0, frame_age_s=0.1), 0.0, False, "watched"),
        (Status(CameraStatus.ONLINE, tampered=True), 0.0, True, "blind"),
        (Status(CameraStatus.LEARNING), 0.0, True, "learning"),
        (Status(CameraStatus.LEARNING), 0.67, True, "lagging"),
        (Status(CameraStatus.STALLED), 0.0, True, "blind"),
        (Status(CameraStatus.RECONNECTING), 0.0, True, "blind"),
        (Status(CameraStatus.FAILED), 0.0, True, "blind"),
        (Status(CameraStatus.STARTING), 0.0, True, "starting"),
        (Status(CameraStatus.ENDED), 0.0, False, "ended"),
    ],
)
def test_a_camera_is_watched_while_its_scores_come_in_time(
    status: Status, lag_share: float, live: bool, expected: Standing
) -> None:
    assert standing(status, lag_share, live=live) == expected


def counters(scores: int, lag: int) -> dict[str, int]:
    return {"scores": scores, LAG: lag}


def test_the_share_of_lagging_frames_is_of_lately() -> None:
    shares = LagShares()
    assert shares.take("a", counters(100, 900), 0.0) == 0.0  # nothing is known of lately
    assert shares.take("a", counters(110, 920), 10.0) == pytest.approx(20 / 30)
    assert shares.take("a", counters(400, 920), LATELY_S) == pytest.approx(20 / 320)
    assert shares.take("a", counters(700, 920), 2 * LATELY_S) == 0.0  # in the last LATELY_S
    assert shares.take("a", counters(710, 930), 2 * LATELY_S + 1) == pytest.approx(10 / 320)


def test_the_share_begins_anew_on_a_new_bus_and_after_a_pause() -> None:
    shares = LagShares()
    shares.take("a", counters(100, 0), 0.0)
    assert shares.take("a", counters(5, 5), 1.0) == 0.0
    assert shares.take("a", counters(6, 6), 2.0) == 0.5
    assert shares.take("a", counters(6, 900), 2.0 + 2 * LATELY_S) == 0.0
    shares.keep_only([])
    assert shares.take("a", counters(7, 950), 3.0 + 2 * LATELY_S) == 0.0
