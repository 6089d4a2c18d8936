"""The bus doubles nothing and counts nothing that it refused.

A Redis that refuses is waited for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookout.service.core.clock import Moment
from lookout.service.core.messages import Frame, FrameId, Gap, Heat, InferenceReport, Score
from lookout.service.storage.bus.bus import ADDED, FENCED, LOST, REPEATED, UNOWNED, Bus
from lookout.service.storage.bus.mending import KINDS, STAGE_KINDS
from lookout.service.storage.bus.outcomes import Outcome, OutcomeWrite, ScoredFrame
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import UNAVAILABLE, connect
from tests.conftest import Urls
from tests.owning import add_frames, add_scores, own
from tests.refusing import REFUSALS, LosesAnswers, Refusing, refusing_redis
from tests.waiting import wait_until

PIXELS = np.zeros((4, 4, 3), np.uint8)


def frame(seq: int, camera: str = "a") -> Frame:
    return Frame(camera, 1000, seq, 1.5, PIXELS)


def result(
    seq: int, camera: str = "a", updated: bool | None = True, session: int = 1000
) -> tuple[Score, Heat]:
    score = Score(camera, session, seq, 1.5, 1.6, "tiny", 30.1, 0.2, None, updated, 0.5)
    return score, Heat(camera, session, seq, np.arange(16, dtype=np.uint16).reshape(4, 4))


def bus_of(url: str) -> Bus:
    return Bus(connect(url), frames_kept=16, scores_kept=16, heats_kept=8)


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[Refusing]:
    with refusing_redis(tmp_path) as server:
        yield server


@pytest.fixture
def lossy(urls: Urls, tmp_path: Path) -> Iterator[LosesAnswers]:
    with LosesAnswers(urls.bus, tmp_path / "lossy.sock") as wire:
        yield wire


def test_what_goes_in_comes_out(bus: Bus) -> None:
    add_frames(bus, frame(3))
    assert add_scores(bus, [result(3)]) == [ADDED]
    score, heat = result(3)
    (got,) = bus.frames_after({"a": None}, 10)["a"]
    assert (got.id, got.captured_at) == (FrameId(1000, 3), 1.5)
    np.testing.assert_array_equal(got.pixels, PIXELS)
    assert bus.scores_after({"a": None}, 10) == {"a": [score]}
    found = bus.heat("a", FrameId(1000, 3))
    assert found is not None
    np.testing.assert_array_equal(found.cells, heat.cells)
    assert bus.cursor("a") == FrameId(1000, 3)


def test_streams_are_bounded_and_everything_is_counted(urls: Urls) -> None:
    bus = bus_of(urls.bus)
    for seq in range(40):
        add_frames(bus, frame(seq))
        add_scores(bus, [result(seq, updated=(True, False, None)[seq % 3])])
    assert [one.seq for one in bus.frames_after({"a": None}, 100)["a"]] == list(range(24, 40))
    assert [one.seq for one in bus.scores_after({"a": None}, 100)["a"]] == list(range(24, 40))
    assert bus.heat("a", FrameId(1000, 31)) is None
    assert bus.heat("a", FrameId(1000, 32)) is not None
    assert bus.counters("a") == {
        "frames": 40,
        "scores": 40,
        "memory_updated": 14,
        "memory_kept": 13,
    }


def test_a_frame_that_is_not_newer_is_refused_and_not_counted(bus: Bus) -> None:
    add_frames(bus, frame(3))
    for seq in (3, 2):
        with pytest.raises(ValueError, match=f"frame 1000-{seq} was refused: {REPEATED}"):
            add_frames(bus, frame(seq))
    assert bus.counters("a") == {"frames": 1}


def test_a_replay_of_scores_changes_nothing_and_holds_no_other_camera_up(bus: Bus) -> None:
    add_scores(bus, [result(seq) for seq in range(3)])
    before = bus.scores_after({"a": None}, 10), bus.counters("a"), bus.cursor("a")
    again = [(replace(score, value=0.9), heat) for score, heat in (result(seq) for seq in range(3))]
    assert add_scores(bus, [again[0], result(0, "b"), *again[1:]]) == [
        REPEATED,
        ADDED,
        REPEATED,
        REPEATED,
    ]
    assert (bus.scores_after({"a": None}, 10), bus.counters("a"), bus.cursor("a")) == before
    assert bus.counters("b") == {"scores": 1, "memory_updated": 1}


def test_a_frame_whose_answer_was_lost_is_there_and_counted_once(
    lossy: LosesAnswers, bus: Bus
) -> None:
    through = Bus(lossy.client(), frames_kept=16, scores_kept=16, heats_kept=16)
    token = own(bus, "a", "ingest")
    lossy.lose_answer()
    assert (
        through.add_frame(frame(0), token) == REPEATED
    )  # its own repetition: the writer knows that
    assert lossy.lost == 1
    assert bus.counters("a") == {"frames": 1}


def test_scores_whose_answer_was_lost_are_there_and_counted_once(
    lossy: LosesAnswers, bus: Bus
) -> None:
    through = Bus(lossy.client(), frames_kept=16, scores_kept=16, heats_kept=16)
    mine = [
        (own(bus, score.camera, "inference"), ScoredFrame(score, heat))
        for score, heat in (result(0), result(0, "b"))
    ]
    lossy.lose_answer()
    assert through.add_outcomes(mine) == [REPEATED, REPEATED]
    assert lossy.lost == 1
    for camera in ("a", "b"):
        assert bus.counters(camera) == {"scores": 1, "memory_updated": 1}
        assert bus.cursor(camera) == FrameId(1000, 0)
        assert bus.heat(camera) is not None


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_server_that_refuses_is_unavailable_and_holds_nothing_by_halves(
    refusing: Refusing, kind: str
) -> None:
    bus = bus_of(refusing.url)
    refusing.refuse(kind)
    calls: list[Callable[[], object]] = [
        lambda: add_frames(bus, frame(0)),
        lambda: add_scores(bus, [result(0)]),
        lambda: bus.count("a", "corrupt"),
        lambda: bus.report_inference("a", InferenceReport("online", 1.0)),
        lambda: bus.heartbeat("ingest", "one"),
    ]
    for call in calls:
        with pytest.raises(UNAVAILABLE):
            call()
    refusing.mend()
    assert (bus.counters("a"), bus.cursor("a"), bus.frame("a"), bus.heat("a")) == (
        {},
        None,
        None,
        None,
    )
    for call in calls:
        call()
    assert bus.counters("a") == {"frames": 1, "scores": 1, "memory_updated": 1, "corrupt": 1}


def test_what_cannot_be_read_is_removed_and_counted(bus: Bus, urls: Urls) -> None:
    add_frames(bus, frame(0))
    add_scores(bus, [result(0)])
    client = connect(urls.bus)
    client.xadd(keys.frames("a"), {"size": "9x9", "rgb": "x", "captured_at": "1"}, id="1000-1")
    client.xadd(keys.scores("a"), {"model": "tiny"}, id="1000-1")
    assert [(one.seq, one.pixels.size > 0) for one in bus.frames_after({"a": None}, 10)["a"]] == [
        (0, True),
        (1, False),
    ]
    assert [one.seq for one in bus.frames_after({"a": None}, 10)["a"]] == [0]
    assert [one.seq for one in bus.scores_after({"a": None}, 10)["a"]] == [0]
    assert (client.xlen(keys.frames("a")), client.xlen(keys.scores("a"))) == (1, 1)
    client.close()
    assert bus.counters("a")["broken"] == 2


# Fences


def test_who_has_lost_the_lease_writes_nothing(bus: Bus, urls: Urls) -> None:
    old = own(bus, "a", "inference")
    gap = Gap("a", 1000, 0, 4, "window")
    assert bus.add_outcomes([(old, gap), (old, ScoredFrame(*result(4)))]) == [ADDED, ADDED]
    before = bus.scores_after({"a": None}, 10), bus.counters("a"), bus.cursor("a"), bus.gaps("a")
    with closing(connect(urls.bus)) as client:
        client.set(keys.lease("inference", "a"), "another")
        assert bus.add_outcomes(
            [(old, Gap("a", 1000, 5, 1, "lag")), (old, ScoredFrame(*result(6)))]
        ) == [FENCED, FENCED]
        assert bus.restore_cursors("a", old, FrameId(9000, 0), FrameId(9000, 0)) == FENCED
        client.delete(keys.lease("inference", "a"))
        assert bus.add_outcomes([(old, ScoredFrame(*result(6)))]) == [UNOWNED]
    assert (
        bus.scores_after({"a": None}, 10),
        bus.counters("a"),
        bus.cursor("a"),
        bus.gaps("a"),
    ) == before
    assert (bus.heat("a", FrameId(1000, 6)), bus.snapshot_cursor("a")) == (None, None)


def test_a_decoder_without_the_lease_adds_no_frame(bus: Bus) -> None:
    token = own(bus, "a", "ingest")
    assert bus.add_frame(frame(0), token) == ADDED
    assert bus.add_frame(frame(1), "former") == FENCED
    assert bus.add_frame(frame(0, "b"), token) == UNOWNED
    assert bus.newest_frame_id("a") == (1000, 0)
    assert bus.newest_frame_id("b") is None


def test_a_frame_that_must_follow_another_is_refused_where_that_is_missing(bus: Bus) -> None:
    token = own(bus, "a", "ingest")
    assert bus.add_frame(frame(3), token, behind=FrameId(1000, 2)) == LOST
    assert bus.add_frame(frame(2), token) == ADDED
    assert bus.add_frame(frame(3), token, behind=FrameId(1000, 2)) == ADDED
    assert bus.add_frame(frame(3), token, behind=FrameId(1000, 2)) == REPEATED
    assert bus.add_frame(frame(5), token, behind=FrameId(1000, 4)) == LOST


@pytest.mark.parametrize(
    ("first", "frames", "told"),
    [(0, 5, None), (3, 7, (5, 5)), (5, 2, (5, 2)), (7, 1, (7, 1))],
)
def test_a_gap_counts_only_what_lies_behind_the_cursor(
    bus: Bus, first: int, frames: int, told: tuple[int, int] | None
) -> None:
    """A new owner repeats what the old one reported.

    It replays from the snapshot, which is older than the cursor.
    """
    token = own(bus, "a", "inference")
    bus.add_outcomes([(token, ScoredFrame(*result(4)))])
    bus.add_outcomes([(token, Gap("a", 1000, first, frames, "lag"))])
    assert [(gap.first_seq, gap.frames) for gap in bus.gaps("a")] == ([told] if told else [])
    assert bus.counters("a").get("dropped_lag", 0) == (told[1] if told else 0)
    assert bus.cursor("a") == (1000, max(4, first + frames - 1))


def test_a_bus_that_was_started_anew_is_reminded_but_never_set_back(bus: Bus) -> None:
    token = own(bus, "a", "inference")
    bus.restore_cursors("a", token, FrameId(1000, 7), FrameId(1000, 3))
    assert (bus.cursor("a"), bus.snapshot_cursor("a")) == ((1000, 7), (1000, 3))
    bus.add_outcomes([(token, ScoredFrame(*result(8)))])
    bus.restore_cursors("a", token, FrameId(1000, 7), FrameId(1000, 5))
    assert (bus.cursor("a"), bus.snapshot_cursor("a")) == ((1000, 8), (1000, 5))


def test_times_come_without_pixels_in_order(bus: Bus) -> None:
    for seq in range(5):
        add_frames(bus, frame(seq))
    assert bus.frame_times("a", FrameId(1000, 1), 2) == [
        ((1000, 2), Moment(frame(2).captured_at)),
        ((1000, 3), Moment(frame(3).captured_at)),
    ]
    assert bus.frame_times("b", None, 10) == []
    late = replace(frame(5), uptime_s=70.0, machine="m", late_s=4.5)
    add_frames(bus, late)
    assert bus.frame_times("a", FrameId(1000, 4), 2) == [((1000, 5), late.due)]
    assert late.due == Moment(late.captured_at + 4.5, 74.5, "m")


def test_who_is_at_work_is_known_with_what_he_carries_until_he_falls_silent(bus: Bus) -> None:
    assert bus.heartbeat("inference", "one", 20.0) == {"one": 20.0}
    assert bus.heartbeat("inference", "two", 5.0) == {"one": 20.0, "two": 5.0}
    assert not bus.has_workers("ingest")
    wait_until(
        lambda: bus.heartbeat("inference", "two", 5.0, present_s=0.05) == {"two": 5.0},
        "one counts as gone",
    )
    bus.remove_worker("inference", "two")
    assert bus.has_workers("inference")
    bus.remove_worker("inference", "one")
    assert not bus.has_workers("inference")


def test_a_worker_that_stops_leaves_nothing_behind(bus: Bus) -> None:
    bus.heartbeat("inference", "one", 20.0)
    bus.remove_worker("inference", "one")
    assert bus._redis.hlen(keys.loads("inference")) == 0
    assert bus._redis.zcard(keys.workers("inference")) == 0


def test_a_removed_camera_leaves_nothing_behind(bus: Bus) -> None:
    for stage in ("ingest", "inference", "alerting"):
        bus._redis.set(keys.owner(stage, "a"), "token")
    bus._redis.set(keys.owner("ingest", "b"), "token")
    bus.count("a", "frames")
    bus.forget("a")
    assert bus._redis.keys() == [keys.owner("ingest", "b").encode()]


def test_what_a_bus_has_lost_is_written_again_before_anything_else_and_not_counted(
    bus: Bus, urls: Urls
) -> None:
    token = own(bus, "a", "inference")
    acked: list[Outcome] = [
        ScoredFrame(*result(4)),
        Gap("a", 1000, 5, 2, "lag"),
        ScoredFrame(*result(7)),
    ]
    later = OutcomeWrite(token, ScoredFrame(*result(8)), behind=FrameId(1000, 7))
    assert bus.add_outcomes([(token, one) for one in acked]) == [ADDED] * 3
    bus._redis.delete(keys.lease("inference", "a"))
    assert bus.add_outcomes([later]) == [UNOWNED]
    bus._redis.flushall()
    own(bus, "a", "inference")
    assert bus.add_outcomes([later]) == [LOST]
    assert bus.restore_outcomes(token, acked[:2]) == [ADDED] * 2
    assert bus.add_outcomes([later]) == [LOST], "it broke off in the middle"
    assert bus.restore_outcomes(token, acked) == [REPEATED, REPEATED, ADDED]
    assert bus.counters("a") == {}
    assert bus.add_outcomes([later]) == [ADDED]
    assert [one.seq for one in bus.newest_scores("a", 10)] == [4, 7, 8]
    assert bus.gaps("a") == [acked[1]]
    assert bus.heat("a", FrameId(1000, 7)) is not None
    assert bus.counters("a") == {"scores": 1, "memory_updated": 1}


def line_calls(bus: Bus, numbers: Iterator[int]) -> list[Callable[[], object]]:
    return [
        lambda: bus.overview(["a", "b"]),
        lambda: bus.scores_after({"a": None, "b": None}, 10),
        lambda: bus.newest_score_ids(["a", "b"]),
        lambda: bus.newest_scores("a", 10),
        lambda: bus.frames_after({"a": None, "b": None}, 10),
        lambda: bus.frame("a"),
        lambda: bus.heat("a"),
        lambda: bus.count("a", "reconnects"),
        lambda: bus.cursor("a"),
        lambda: bus.snapshot_cursor("a"),
        lambda: bus.ingest_report("a"),
        lambda: bus.inference_report("a"),
        lambda: add_frames(bus, frame(next(numbers)), frame(next(numbers), "b")),
        lambda: add_scores(bus, [result(next(numbers)), result(next(numbers), "b")]),
    ]


def stage_calls(bus: Bus) -> list[Callable[[], object]]:
    return [
        lambda: bus.heartbeat("ingest", "me", 10.0),
        lambda: bus.workers("ingest"),
        lambda: bus.count_stage("ingest", {"x": 1}),
        lambda: bus.stage_counters("ingest"),
    ]


@pytest.mark.parametrize("key", STAGE_KINDS, ids=[key.__name__ for key in STAGE_KINDS])
def test_a_key_of_a_stage_of_another_type_is_dropped(
    bus: Bus, urls: Urls, key: Callable[[str], str]
) -> None:
    with closing(connect(urls.bus)) as client:
        for call in stage_calls(bus):
            client.flushall()
            client.rpush(key("ingest"), "no such thing")
            with suppress(*UNAVAILABLE):
                call()
            call()


@pytest.mark.parametrize("value", ["", "x", "-1", "1e300", b"\xff", "9" * 30])
def test_a_value_that_is_no_number_holds_up_nobody(bus: Bus, urls: Urls, value: str) -> None:
    numbers = itertools.count(1)
    with closing(connect(urls.bus)) as client:
        for call in (*line_calls(bus, numbers), *stage_calls(bus)):
            client.flushall()
            client.set(keys.cursor("a"), value)
            client.set(keys.snapshot_cursor("a"), value)
            client.hset(keys.counters("a"), "frames", value)
            client.hset(keys.loads("ingest"), "other", value)
            client.zadd(keys.workers("ingest"), {"other": 2e12})
            with suppress(*UNAVAILABLE):
                call()
            call()


@pytest.mark.parametrize("key", KINDS, ids=[key.__name__ for key in KINDS])
def test_a_key_of_another_type_is_dropped_and_holds_up_nobody(
    bus: Bus, urls: Urls, key: Callable[[str], str]
) -> None:
    """Every call that a stage makes again and again works at its second try at the latest."""
    with closing(connect(urls.bus)) as client:
        for call in line_calls(bus, itertools.count(1)):
            client.flushall()
            client.rpush(key("a"), "no such thing")
            with suppress(*UNAVAILABLE):
                call()
            call()
