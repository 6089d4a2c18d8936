"""The bus: nothing is doubled, nothing refused is counted, and a Redis that refuses is one that is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service import keys
from service.bus import UNAVAILABLE, Bus, connect
from service.messages import Frame, FrameId, Heat, InferReport, Score
from tests.conftest import Urls
from tests.refusing import REFUSALS, LosesAnswers, Refusing, refusing_redis

PIXELS = np.zeros((4, 4, 3), np.uint8)


def frame(seq: int, camera: str = "a") -> Frame:
    return Frame(camera, 1000, seq, 1.5, PIXELS)


def result(seq: int, camera: str = "a", updated: bool | None = True, session: int = 1000) -> tuple[Score, Heat]:
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
    bus.add_frame(frame(3))
    assert bus.add_scores([result(3)]) == 0
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
        bus.add_frame(frame(seq))
        bus.add_scores([result(seq, updated=(True, False, None)[seq % 3])])
    assert [one.seq for one in bus.frames_after({"a": None}, 100)["a"]] == list(range(24, 40))
    assert [one.seq for one in bus.scores_after({"a": None}, 100)["a"]] == list(range(24, 40))
    assert bus.heat("a", FrameId(1000, 31)) is None
    assert bus.heat("a", FrameId(1000, 32)) is not None
    assert bus.counters("a") == {"frames": 40, "scores": 40, "memory_updated": 14, "memory_kept": 13}


def test_a_frame_that_is_not_newer_is_refused_and_not_counted(bus: Bus) -> None:
    bus.add_frame(frame(3))
    for seq in (3, 2):
        with pytest.raises(ValueError, match=f"frame 1000-{seq} of a is not newer"):
            bus.add_frame(frame(seq))
    assert bus.counters("a") == {"frames": 1}


def test_a_replay_of_scores_changes_nothing_and_holds_no_other_camera_up(bus: Bus) -> None:
    bus.add_scores([result(seq) for seq in range(3)])
    before = bus.scores_after({"a": None}, 10), bus.counters("a"), bus.cursor("a")
    again = [(replace(score, value=0.9), heat) for score, heat in (result(seq) for seq in range(3))]
    assert bus.add_scores([again[0], result(0, "b"), *again[1:]]) == 3
    assert (bus.scores_after({"a": None}, 10), bus.counters("a"), bus.cursor("a")) == before
    assert bus.counters("b") == {"scores": 1, "memory_updated": 1}


def test_a_frame_whose_answer_was_lost_is_there_and_counted_once(lossy: LosesAnswers, bus: Bus) -> None:
    through = Bus(lossy.client(), frames_kept=16, scores_kept=16, heats_kept=16)
    lossy.lose_answer()
    with pytest.raises(ValueError, match="not newer"):  # its own repetition: the writer knows that
        through.add_frame(frame(0))
    assert lossy.lost == 1
    assert bus.counters("a") == {"frames": 1}


def test_scores_whose_answer_was_lost_are_there_and_counted_once(lossy: LosesAnswers, bus: Bus) -> None:
    through = Bus(lossy.client(), frames_kept=16, scores_kept=16, heats_kept=16)
    lossy.lose_answer()
    assert through.add_scores([result(0), result(0, "b")]) == 2
    assert lossy.lost == 1
    for camera in ("a", "b"):
        assert bus.counters(camera) == {"scores": 1, "memory_updated": 1}
        assert bus.cursor(camera) == FrameId(1000, 0)
        assert bus.heat(camera) is not None


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_server_that_refuses_is_unavailable_and_holds_nothing_by_halves(refusing: Refusing, kind: str) -> None:
    bus = bus_of(refusing.url)
    refusing.refuse(kind)
    calls: list[Callable[[], object]] = [
        lambda: bus.add_frame(frame(0)),
        lambda: bus.add_scores([result(0)]),
        lambda: bus.count("a", "corrupt"),
        lambda: bus.report_infer("a", InferReport("online", 1.0)),
        lambda: bus.beat("ingest"),
    ]
    for call in calls:
        with pytest.raises(UNAVAILABLE):
            call()
    refusing.mend()
    assert (bus.counters("a"), bus.cursor("a"), bus.frame("a"), bus.heat("a")) == ({}, None, None, None)
    for call in calls:
        call()
    assert bus.counters("a") == {"frames": 1, "scores": 1, "memory_updated": 1, "corrupt": 1}


def test_what_cannot_be_read_is_removed_and_counted(bus: Bus, urls: Urls) -> None:
    bus.add_frame(frame(0))
    bus.add_scores([result(0)])
    client = connect(urls.bus)
    client.xadd(keys.frames("a"), {"size": "9x9", "rgb": "x", "captured_at": "1"}, id="1000-1")
    client.xadd(keys.scores("a"), {"model": "tiny"}, id="1000-1")
    assert [one.seq for one in bus.frames_after({"a": None}, 10)["a"]] == [0]
    assert [one.seq for one in bus.scores_after({"a": None}, 10)["a"]] == [0]
    assert (client.xlen(keys.frames("a")), client.xlen(keys.scores("a"))) == (1, 1)
    client.close()
    assert bus.counters("a")["dropped_broken"] == 2
