"""The thread of the store survives every error of one camera's request, and serves the others."""

from __future__ import annotations

import time
from collections import Counter
from typing import cast

import pytest

from lookout.service.core.camera import Camera
from lookout.service.core.messages import CameraEvent, FrameId
from lookout.service.inference import store_link
from lookout.service.inference.store_link import ATTEMPTS, SaveAnswer, StoreLink, TakeoverAnswer
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store
from tests.waiting import wait_until

LIMIT_S = 10.0


class FakeStore:
    """Keeps what it is given; raises ValueError for the requests that `failures` counts."""

    def __init__(self, **failures: int) -> None:
        self.failures = Counter(failures)  # how often "save_bad", "take_bad", "event_bad", "list"
        self.saved: dict[str, Snapshot] = {}
        self.events: list[CameraEvent] = []

    def fail(self, request: str) -> None:
        if self.failures[request]:
            self.failures[request] -= 1
            raise ValueError(request)

    def cameras(self) -> dict[str, Camera]:
        self.fail("list")
        return {}

    def save_snapshot(self, camera: str, epoch: int, snapshot: Snapshot) -> bool:
        self.fail(f"save_{camera}")
        self.saved[camera] = snapshot
        return epoch > 0

    def begin_ownership(self, camera: str) -> tuple[int, Snapshot | None]:
        self.fail(f"take_{camera}")
        return 7, self.saved.get(camera)

    def add_camera_event(self, event: CameraEvent) -> None:
        self.fail(f"event_{event.camera}")
        self.events.append(event)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_link, "FOLLOW_EVERY_S", 0.01)


def link_to(store: FakeStore) -> StoreLink:
    return StoreLink(cast(Store, store))


def snapshot(seq: int) -> Snapshot:
    return Snapshot(FrameId(5, seq), {})


def answers(link: StoreLink, count: int) -> list[TakeoverAnswer | SaveAnswer]:
    """Wait for so many answers."""
    found: list[TakeoverAnswer | SaveAnswer] = []

    def enough() -> bool:
        taken, saved = link.answers()
        found.extend([*taken, *saved])
        return len(found) >= count

    wait_until(enough, f"{count} answers", LIMIT_S)
    return found


def test_a_snapshot_that_fails_once_is_saved_and_delays_no_other() -> None:
    store = FakeStore(save_bad=1)
    with link_to(store) as link:
        link.save("bad", 1, snapshot(1))
        link.save("good", 1, snapshot(2))
        assert link.flush(LIMIT_S)
        link.take("good")
        link.take("bad")
        found = answers(link, 4)
    assert store.saved == {"bad": snapshot(1), "good": snapshot(2)}
    assert {one.camera for one in found if isinstance(one, TakeoverAnswer)} == {"good", "bad"}
    assert all(one.result == "saved" for one in found if isinstance(one, SaveAnswer))
    assert link.failures == 1
    assert not link.away


def test_a_snapshot_that_never_can_be_saved_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with link_to(FakeStore(save_bad=ATTEMPTS)) as link:
        link.save("bad", 1, snapshot(1))
        (answer,) = answers(link, 1)
        link.save("bad", 1, snapshot(2))
        (later,) = answers(link, 1)
    assert isinstance(answer, SaveAnswer)
    assert (answer.result, answer.cursor) == ("failed", (5, 1))
    assert "ValueError" in answer.error
    assert later == SaveAnswer("bad", 1, FrameId(5, 2), "saved")
    assert link.failures == ATTEMPTS
    assert sum("camera bad: snapshot failed" in line for line in caplog.messages) == ATTEMPTS


def test_a_snapshot_that_is_refused_is_no_failure() -> None:
    with link_to(FakeStore()) as link:
        link.save("a", 0, snapshot(1))
        assert answers(link, 1) == [SaveAnswer("a", 0, FrameId(5, 1), "refused")]
    assert link.failures == 0


def test_a_take_over_that_never_works_is_answered_with_its_reason() -> None:
    with link_to(FakeStore(take_bad=ATTEMPTS)) as link:
        link.take("bad")
        link.take("good")
        first, second = answers(link, 2)
    assert first == TakeoverAnswer("good", 7, None)
    assert isinstance(second, TakeoverAnswer)
    assert "ValueError" in second.error


@pytest.mark.parametrize("times", [1, ATTEMPTS])
def test_an_event_that_fails_holds_up_no_other_event_and_no_snapshot(times: int) -> None:
    store = FakeStore(event_bad=times)
    event = {
        name: CameraEvent("scene_change", name, 5, 1, time.time(), "darker")
        for name in ("bad", "good")
    }
    with link_to(store) as link:
        link.add_event(event["bad"])
        link.add_event(event["good"])
        link.save("a", 1, snapshot(1))
        answers(link, 1)
        wait_until(lambda: link.failures == times, "all attempts are made", LIMIT_S)
        wait_until(lambda: not link._events, "no event waits", LIMIT_S)
    assert store.events == [event["good"], *([event["bad"]] if times < ATTEMPTS else [])]


def test_a_list_of_cameras_that_cannot_be_used_stops_no_snapshot() -> None:
    with link_to(FakeStore(list=10**6)) as link:
        link.save("a", 1, snapshot(1))
        link.take("a")
        assert len(answers(link, 2)) == 2
        assert link.cameras() is None
        assert link.away
