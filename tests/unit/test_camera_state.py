"""Derive a camera's state from the reports of the stages."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lookout.service.core.camera import Camera
from lookout.service.core.messages import FrameId, InferenceReport, IngestReport
from lookout.service.storage.bus.reports import Overview
from lookout.service.watch.camera_status import UNSCORED_S, Beats, Status, status

NOW = 2_000_000.0
BOTH, NONE = Beats(ingest=True, inference=True), Beats(ingest=False, inference=False)
SESSION = int((NOW - 60) * 1000)


def camera(**more: Any) -> Camera:
    given = {
        "enabled": True,
        "created_at": NOW - 100,
        "revision": 3,
        "calibration": "learn",
        "pace": "realtime",
    }
    return Camera(**{"id": "gate", "url": "rtsp://h/", "model": "m", "fps": None, **given, **more})


def ingest(state: Any = "online", age_s: float = 1, **more: Any) -> IngestReport:
    given = {
        "revision": 3,
        "session": SESSION,
        "last_seq": 9,
        "last_captured_at": NOW - 0.5,
        "fps": 10.0,
    }
    return IngestReport(state, NOW - age_s, **{**given, **more})


def inference(state: Any = "online", age_s: float = 1, **more: Any) -> InferenceReport:
    return InferenceReport(state, NOW - age_s, **{"revision": 3, **more})


def merged(
    one: IngestReport | None,
    two: InferenceReport | None,
    *,
    cursor: FrameId | None = None,
    frames: int = 10,
    beats: Beats = BOTH,
    **more: Any,
) -> Status:
    return status(
        camera(**more), Overview(one, two, cursor, {"frames": frames} if frames else {}), beats, NOW
    )


def test_online() -> None:
    at = merged(ingest(waiting=True), inference())
    assert (at.state, at.last_error, at.session, at.measured_fps, at.waiting) == (
        "online",
        None,
        SESSION,
        10.0,
        True,
    )
    assert at.frame_age_s == 0.5
    assert at.progress is None


def test_troubles_of_the_last_hour_are_shown_in_every_state() -> None:
    for state in ("online", "reconnecting", "stalled", "failed"):
        at = merged(ingest(state, reconnects_last_hour=5, stalls_last_hour=2), inference())
        assert (at.reconnects_last_hour, at.stalls_last_hour) == (5, 2)
    assert merged(None, inference()).reconnects_last_hour == 0


def test_learning_shows_how_far() -> None:
    at = merged(ingest(), inference("learning", learned=12, to_learn=300))
    assert (at.state, at.progress) == ("learning", (12, 300))


@pytest.mark.parametrize(
    ("one", "two", "state", "error"),
    [
        (None, None, "starting", None),
        (ingest("starting", session=None, last_seq=None), None, "starting", None),
        (ingest(last_seq=None), inference(), "starting", None),
        (ingest(session=int(NOW * 1000) - 2000), None, "starting", None),
        (ingest("reconnecting", last_error="refused"), inference(), "reconnecting", "refused"),
        (ingest("stalled", last_error="no frames"), inference(), "stalled", "no frames"),
        (ingest("failed", last_error="no video"), inference(), "failed", "no video"),
        (ingest("failed", age_s=900, last_error="no video"), None, "failed", "no video"),
        (ingest(), inference("failed", last_error="no such model"), "failed", "no such model"),
        (ingest("failed"), None, "failed", "it failed without a reason"),
        (
            ingest(last_error="12 packets were damaged"),
            inference(),
            "online",
            "12 packets were damaged",
        ),
        (ingest(), inference(last_error="slow"), "online", "slow"),
        # Silence
        (ingest(age_s=16), inference(), "stalled", "ingest says nothing of this camera"),
        (
            ingest("reconnecting", age_s=16),
            inference(),
            "stalled",
            "ingest says nothing of this camera",
        ),
        (ingest(), inference(age_s=16), "stalled", "inference says nothing of this camera"),
        (ingest(), None, "stalled", "inference says nothing of this camera"),
        # Leftovers of another revision
        (ingest("failed", revision=2), None, "starting", None),
        (ingest("failed", revision=4), None, "starting", None),
        (
            ingest(),
            inference("failed", revision=2),
            "stalled",
            "inference says nothing of this camera",
        ),
    ],
)
def test_each_state(
    one: IngestReport | None, two: InferenceReport | None, state: str, error: str | None
) -> None:
    at = merged(one, two)
    assert (at.state, at.last_error) == (state, error)


@pytest.mark.parametrize(
    ("one", "two", "age_s", "state", "error"),
    [
        (None, None, 100, "stalled", "no ingest worker is running"),
        (None, None, 10, "starting", None),
        (ingest(age_s=16), inference(), 100, "stalled", "no ingest worker is running"),
        (ingest(), None, 100, "stalled", "no inference worker is running"),
        (ingest(), inference(age_s=16), 100, "stalled", "no inference worker is running"),
    ],
)
def test_nobody_works(
    one: IngestReport | None,
    two: InferenceReport | None,
    age_s: float,
    state: str,
    error: str | None,
) -> None:
    at = merged(one, two, beats=NONE, created_at=NOW - age_s)
    assert (at.state, at.last_error) == (state, error)


def test_disabled_whatever_the_stages_say() -> None:
    for one in (ingest(), ingest("failed", last_error="x"), None):
        at = merged(one, inference(), enabled=False)
        assert (at.state, at.last_error) == ("disabled", None)


@pytest.mark.parametrize(
    ("cursor", "state"),
    [
        (None, "learning"),
        (FrameId(SESSION, 8), "learning"),
        (FrameId(SESSION - 1, 99), "learning"),
        (FrameId(SESSION, 9), "ended"),
        (FrameId(SESSION, 10), "ended"),
    ],
)
def test_a_file_has_ended_when_all_of_it_is_dealt_with(cursor: FrameId | None, state: str) -> None:
    at = merged(ingest("ended"), inference("learning", learned=1, to_learn=2), cursor=cursor)
    assert at.state == state
    assert (at.progress is None) is (state == "ended")
    reason = "it ended while learning: 1 of 2 scores" if state == "ended" else None
    assert at.last_error == reason


def test_the_reason_of_a_files_end_is_told() -> None:
    short = ingest("ended", last_error="4 frames; a score takes 5")
    at = merged(short, inference("learning", to_learn=300), cursor=FrameId(SESSION, 9))
    assert (at.state, at.last_error) == ("ended", "4 frames; a score takes 5")
    at = merged(ingest("ended"), inference("online"), cursor=FrameId(SESSION, 9))
    assert (at.state, at.last_error) == ("ended", None)


def test_a_file_whose_frames_went_with_the_bus_has_ended() -> None:
    """The bus restarted after the last frame.

    It has neither cursor nor frames, and nobody writes any.
    """
    assert merged(ingest("ended"), inference(), frames=0).state == "ended"
    assert (
        merged(ingest("ended"), inference(), frames=3).state == "online"
    )  # started anew before: there is more to come


def test_a_file_without_frames_has_ended() -> None:
    assert merged(ingest("ended", session=None, last_seq=None), None).state == "ended"


def test_an_end_lasts_when_nobody_reports_any_more() -> None:
    assert (
        merged(ingest("ended", age_s=9000), None, cursor=FrameId(SESSION, 9), beats=NONE).state
        == "ended"
    )


def test_a_file_ahead_of_the_clock_has_no_negative_age() -> None:
    assert merged(ingest(last_captured_at=NOW + 50), inference()).frame_age_s == 0


# Without scores


def silent(**more: Any) -> InferenceReport:
    return inference(score_age_s=UNSCORED_S + 8, **more)


LAST = FrameId(SESSION, 9)


@pytest.mark.parametrize(
    ("one", "two", "error"),
    [
        (
            ingest(frame_age_s=0.1),
            silent(drop_reason="lag"),
            "frames come, and none has been scored for 23 s: they drop (lag)",
        ),
        (
            ingest(frame_age_s=0.1),
            silent(state="learning", drop_reason="scene_change"),
            "frames come, and none has been scored for 23 s: they drop (scene_change)",
        ),
        (ingest(frame_age_s=22.4), silent(), "no frame has come for 22 s"),
        (
            ingest(frame_age_s=0.1, last_seq=200),
            silent(),
            "frames come, and none has been scored for 23 s: 191 wait",
        ),
    ],
)
def test_a_camera_without_a_score_is_not_online(
    one: IngestReport, two: InferenceReport, error: str
) -> None:
    at = merged(one, two, cursor=LAST)
    assert (at.state, at.last_error, at.score_age_s) == ("stalled", error, UNSCORED_S + 8)


@pytest.mark.parametrize(
    ("one", "two", "more"),
    [
        pytest.param(ingest(frame_age_s=0.1), inference(score_age_s=14.0), {}, id="in time"),
        pytest.param(ingest(frame_age_s=9.0), silent(), {}, id="a frame in 20 s"),
        pytest.param(
            ingest(frame_age_s=40.0), silent(), {"stall_timeout_s": 60.0}, id="may be silent"
        ),
        pytest.param(ingest(), inference(), {}, id="reports of an older version"),
        pytest.param(
            ingest(frame_age_s=500.0),
            silent(),
            {"url": "/x.mp4", "pace": "fast"},
            id="a file that waits for the store",
        ),
    ],
)
def test_a_camera_that_misses_nothing_is_online(
    one: IngestReport, two: InferenceReport, more: dict[str, Any]
) -> None:
    assert merged(one, two, cursor=LAST, **more).state == "online"


# Another frame rate than the model's


@pytest.mark.parametrize(
    ("kept", "given", "warning"),
    [
        (None, 25.0, "25 frames a second .* trained on 10: .*; set fps to 10"),
        (None, 5.0, "5 frames a second .* trained on 10: .*; the source sends too few"),
        (10.0, 5.0, "5 frames a second .* trained on 10: .*; the source sends too few"),
        (5.0, 5.0, "5 frames a second .* trained on 10: .*; set fps to 10"),
        (5.0, None, "5 frames a second .* trained on 10: .*; set fps to 10"),
        (10.0, 9.0, None),
        (None, 11.5, None),
        (None, None, None),
    ],
)
def test_another_frame_rate_than_the_models_is_a_warning(
    kept: float | None, given: float | None, warning: str | None
) -> None:
    at = merged(ingest(), inference(fps=given, model_fps=10.0), fps=kept)
    assert at.state == "online"
    assert len(at.warnings) == (warning is not None)
    for text in at.warnings:
        assert re.fullmatch(warning or "", text.split(", or ")[0])


def test_a_model_that_does_not_say_its_frame_rate_warns_of_nothing() -> None:
    assert merged(ingest(), inference(fps=25.0), fps=None).warnings == ()
