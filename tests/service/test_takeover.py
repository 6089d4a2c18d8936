"""A camera outlives its workers.

The next worker goes on with what the last one had learned; a worker that was replaced writes no
more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lookout.models.checkpoint.file import save_checkpoint
from lookout.service.core.camera import Camera
from lookout.service.core.messages import Frame, FrameId, Score
from lookout.service.core.settings import Settings
from lookout.service.inference.ownership import STAGE, Ownership
from lookout.service.inference.store_link import StoreLink
from lookout.service.inference.worker import InferenceWorker, run
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.outcomes import ScoredFrame
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import Urls, with_wide_forms
from tests.owning import add_frames
from tests.tiny import EASY_BOUNDS, street, tiny_checkpoint
from tests.waiting import wait_until

FRAMES = 60
Numbers = list[tuple[object, ...]]


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    # A gate that lets everything through: the memory moves with each frame; a lost one shows.
    save_checkpoint(
        tmp_path / "tiny.safetensors", tiny_checkpoint(calibration=EASY_BOUNDS, gamma=1e9)
    )
    return Settings(
        bus_url=urls.bus,
        store_url=urls.store,
        models_dir=tmp_path,
        device="cpu",
        precision="fp32",
        lease_s=0.6,
        snapshot_every_s=0.2,
        learn_frames=20,
    )


def camera(name: str = "a", **changes: object) -> Camera:
    made = Camera(
        id=name,
        url="/x.mp4",
        model="tiny",
        fps=None,
        pace="fast",
        calibration="learn",
        enabled=True,
        created_at=0.0,
        revision=1,
    )
    return made.model_copy(update=changes)


def frames(name: str = "a", count: int = FRAMES) -> list[Frame]:
    return [Frame(name, 5, seq, seq / 10, street(seq)) for seq in range(count)]


def numbers(scores: list[Score]) -> Numbers:
    """Return everything of the scores but the time of scoring."""
    return [(s.id, s.psnr_db, s.distance, s.gate_error, s.memory_updated, s.value) for s in scores]


def series(bus: Bus, name: str = "a") -> Numbers:
    return numbers(bus.newest_scores(name, 10_000))


class Mortal:
    """An inference worker that ends as by kill -9: it saves nothing and gives nothing back."""

    def __init__(self, settings: Settings) -> None:
        self._leases = open_leases(settings, STAGE)
        self._link = StoreLink(open_store(settings))
        bus = open_bus(settings)
        self.worker = InferenceWorker(
            settings,
            bus,
            Ownership(Assignment(STAGE, bus, self._leases), self._link),
            self._link,
            "cpu",
            "fp32",
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        self._leases._thread.start()
        self._link._thread.start()
        self.worker.work(self._stop)

    def start(self) -> None:
        self._thread.start()

    def die(self) -> None:
        """End at once.

        Requests that have not reached the store are lost, and so are lease renewals.
        """
        with self._link._mutex:
            self._link._to_save.clear()
        self._link._stop.set()
        self._leases._stop.set()
        self._stop.set()
        self._thread.join(10)


working = partial(stage.working, run)


@pytest.fixture
def undisturbed(bus: Bus, store: Store, settings: Settings) -> Numbers:
    """Return what one worker makes of the frames that are there from the start."""
    store.add_camera(camera("calm"))
    add_frames(bus, *frames("calm"))
    with working(settings):
        wait_until(lambda: bus.cursor("calm") == (5, FRAMES - 1), "all is scored")
    found = series(bus, "calm")
    store.remove_camera("calm")
    assert len(found) == FRAMES - 4
    return found


def test_a_worker_that_is_told_to_stop_hands_its_memory_over(
    bus: Bus, store: Store, settings: Settings, undisturbed: Numbers
) -> None:
    store.add_camera(camera())
    for upto in (3, 17, 40, FRAMES):
        newest = bus.newest_frame_id("a")
        add_frames(bus, *frames()[(newest.seq + 1 if newest else 0) : upto])
        with working(settings):
            wait_until(lambda upto=upto: bus.cursor("a") == (5, upto - 1), f"scored up to {upto}")  # type: ignore[misc]
        assert store.snapshot("a").cursor == (5, upto - 1)  # type: ignore[union-attr]
    assert series(bus) == undisturbed
    assert bus.counters("a")["scores"] == FRAMES - 4
    assert bus.counters("a")["window"] == 4


def test_after_a_kill_the_next_owner_replays_and_the_series_is_the_same(
    bus: Bus, store: Store, settings: Settings, undisturbed: Numbers
) -> None:
    store.add_camera(camera())
    for upto in (2, 11, 12, 33, 50):
        victim = Mortal(settings)
        victim.start()
        newest = bus.newest_frame_id("a")
        add_frames(bus, *frames()[(newest.seq + 1 if newest else 0) : upto])
        wait_until(lambda upto=upto: bus.cursor("a") == (5, upto - 1), f"scored up to {upto}")  # type: ignore[misc]
        victim.die()
    add_frames(bus, *frames()[50:])
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, FRAMES - 1), "all is scored")
    assert series(bus) == undisturbed
    assert bus.counters("a")["scores"] == FRAMES - 4
    assert [(gap.first_seq, gap.frames, gap.reason) for gap in bus.gaps("a")] == [
        (0, 2, "window"),
        (2, 2, "window"),
    ]


def test_a_killed_workers_cameras_are_taken_within_two_leases(
    bus: Bus, store: Store, settings: Settings
) -> None:
    settings = settings.model_copy(
        update={"lease_s": 3.0}
    )  # so long that a busy machine is no excuse
    store.add_camera(camera())
    victim, heir = Mortal(settings), Mortal(settings)
    victim.start()
    wait_until(lambda: bus.inference_report("a"), "it has an owner")
    heir.start()
    name = victim.worker.ownership.assignment.name
    assert bus.inference_report("a").worker == name  # type: ignore[union-attr]
    victim.die()
    died = time.monotonic()
    try:
        add_frames(bus, *frames(count=8))
        wait_until(lambda: heir.worker.ownership.leases.owned() == {"a"}, "owned by the other")
        assert time.monotonic() - died < 2 * settings.lease_s
        wait_until(lambda: bus.cursor("a") == (5, 7), "scored by the other")
        assert time.monotonic() - died < 2 * settings.lease_s
        wait_until(lambda: bus.inference_report("a").worker != name, "the other says so")  # type: ignore[union-attr]
    finally:
        heir.die()


def test_who_wakes_after_its_lease_ran_out_writes_neither_score_nor_snapshot(
    bus: Bus, store: Store, settings: Settings, urls: Urls
) -> None:
    """Stop a worker between scoring a frame and telling the bus, as by SIGSTOP.

    Another has taken over meanwhile.
    """
    store.add_camera(camera())
    add_frames(bus, *frames(count=10))
    with ExitStack() as stack:
        leases = open_leases(
            settings.model_copy(update={"lease_s": 60.0}), STAGE
        )  # nobody renews it here
        link = stack.enter_context(StoreLink(store))
        sleeper = InferenceWorker(
            settings, bus, Ownership(Assignment(STAGE, bus, leases), link), link, "cpu", "fp32"
        )
        stop = threading.Event()
        wait_until(
            lambda: not sleeper.turn(stop) and bus.cursor("a") == (5, 9), "it has scored them"
        )
        line = sleeper.lines.running["a"]
        with ExitStack() as others:
            client = others.enter_context(connect(urls.bus))
            client.delete(keys.lease(STAGE, "a"))  # time passes
            others.enter_context(working(settings))
            add_frames(bus, *frames(count=20)[10:])
            wait_until(lambda: bus.cursor("a") == (5, 19), "the other scores")
            wait_until(lambda: (s := store.snapshot("a")) and s.cursor == (5, 19), "and saves")
            before = series(bus), bus.counters("a"), store.snapshot("a")
            line.outbox.add(replace_seq(bus, FrameId(5, 30)))
            old = Snapshot(FrameId(5, 30), {"of": line.identity})
            assert not store.save_snapshot("a", line.epoch, old), "an epoch that is over"
            sleeper.send()
            assert sleeper.lines.running == {}
            assert (series(bus), bus.counters("a"), store.snapshot("a")) == before


def test_the_last_snapshot_is_saved_before_a_new_epoch_and_before_the_lease_goes(
    bus: Bus, store: Store, settings: Settings
) -> None:
    store.add_camera(camera())
    epoch, _ = store.begin_ownership("a")
    link, leases = (
        StoreLink(store),
        open_leases(settings, STAGE),
    )  # its thread does not run: the test takes its steps
    worker = InferenceWorker(
        settings, bus, Ownership(Assignment(STAGE, bus, leases), link), link, "cpu", "fp32"
    )
    worker.ownership.hand_over("a")
    first, last = (Snapshot(FrameId(5, seq), {}) for seq in (1, 2))
    link.save("a", epoch, first)
    link.save_snapshots()
    link.save("a", epoch, last)
    worker.apply_store_answers()  # of the first
    assert worker.ownership.handing_over == {"a"}
    link.take("a")
    link.take_cameras()
    assert link.answers() == ([], [])
    link.save_snapshots()
    worker.apply_store_answers()
    assert worker.ownership.handing_over == set()
    saved = store.snapshot("a")
    assert saved is not None
    assert saved.cursor == last.cursor


def test_a_camera_is_scored_again_while_the_store_takes_no_snapshot_of_its_hand_over(
    bus: Bus, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that hangs, or died just then, costs a camera no scores."""
    monkeypatch.setattr("lookout.service.inference.ownership.HAND_OVER_LIMIT_S", 0.0)
    store.add_camera(camera())
    add_frames(bus, *frames(count=10))
    link = StoreLink(store)  # its thread does not run: the test takes its steps
    leases = open_leases(settings, STAGE)
    worker = InferenceWorker(
        settings, bus, Ownership(Assignment(STAGE, bus, leases), link), link, "cpu", "fp32"
    )
    link.poll()
    worker.follow()  # takes the camera
    link.poll()
    wait_until(lambda: not worker.turn(threading.Event()) and bus.cursor("a") == (5, 9), "scores")
    line = worker.lines.running["a"]
    worker.give_up("a")
    assert worker.lines.running == {}
    add_frames(bus, *frames(count=20)[10:])
    worker.follow()  # the store has not answered
    assert worker.lines.running == {"a": line}
    wait_until(lambda: not worker.turn(threading.Event()) and bus.cursor("a") == (5, 19), "goes on")
    link.poll()
    worker.apply_store_answers()  # of the hand-over, too late: the camera is kept
    assert worker.lines.running == {"a": line}
    assert line.snapshots.snapshot_id is not None
    assert leases.token("a") is not None


def replace_seq(bus: Bus, frame_id: FrameId) -> ScoredFrame:
    """Return the newest score and heatmap under another id."""
    score, heat = bus.newest_scores("a", 1)[0], bus.heat("a")
    assert heat is not None
    return ScoredFrame(replace(score, seq=frame_id.seq), replace(heat, seq=frame_id.seq))


def test_a_snapshot_of_an_earlier_frame_is_refused(store: Store) -> None:
    epoch, nothing = store.begin_ownership("a")
    assert nothing is None
    assert store.save_snapshot("a", epoch, Snapshot(FrameId(5, 9), {"x": 1}))
    assert not store.save_snapshot("a", epoch, Snapshot(FrameId(5, 8), {"x": 2}))
    assert not store.save_snapshot("a", epoch, Snapshot(FrameId(4, 99), {"x": 2}))
    assert store.save_snapshot("a", epoch, Snapshot(FrameId(6, 0), {"x": 3}))
    later, known = store.begin_ownership("a")
    assert (later, known) == (epoch + 1, Snapshot(FrameId(6, 0), {"x": 3}))
    assert not store.save_snapshot("a", epoch, Snapshot(FrameId(7, 0), {"x": 4}))


def test_a_removed_camera_takes_its_snapshot_along_and_its_owner_cannot_bring_it_back(
    store: Store,
) -> None:
    store.add_camera(camera())
    epoch, _ = store.begin_ownership("a")
    store.save_snapshot("a", epoch, Snapshot(FrameId(5, 9), {"x": 1}))
    store.remove_camera("a")
    assert store.snapshot("a") is None
    assert not store.save_snapshot("a", epoch, Snapshot(FrameId(5, 10), {"x": 1}))


SPOILT: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
    lambda state: {**state, "items": "!"},
    lambda state: {**state, "items": state["items"][:40]},
    lambda state: {**state, "learner": {"bounds": {"psnr_low_db": 1}, "seen": []}},
    lambda state: {"of": state["of"]},
]


@pytest.mark.parametrize("spoil", with_wide_forms(SPOILT, SPOILT[:1]))
def test_a_snapshot_that_cannot_be_used_costs_what_was_learned_and_nothing_else(
    bus: Bus,
    store: Store,
    settings: Settings,
    spoil: Callable[[dict[str, object]], dict[str, object]],
) -> None:
    store.add_camera(camera())
    add_frames(bus, *frames(count=10))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 9), "it scores")
    snapshot = store.snapshot("a")
    assert snapshot is not None
    epoch, _ = store.begin_ownership("a")
    store.save_snapshot("a", epoch, Snapshot(snapshot.cursor, spoil(snapshot.state)))
    add_frames(bus, *frames(count=20)[10:])
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 19), "it goes on")
    assert [score.seq for score in bus.newest_scores("a", 100)] == list(range(4, 20))


def test_of_a_live_camera_only_what_is_fresh_is_scored_after_a_break(
    bus: Bus, store: Store, settings: Settings
) -> None:
    """The rest is told as `takeover`, frame by frame; the first fresh one has its window."""
    store.add_camera(camera(pace="realtime"))
    fresh = time.time() + 10.0  # however slowly the stage starts
    add_frames(bus, *(replace(frame, captured_at=fresh) for frame in frames(count=8)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 7), "it scores")
    now = time.time() - 10.0
    late = [replace(frame, captured_at=now + frame.seq / 10) for frame in frames(count=120)[8:]]
    add_frames(bus, *late)
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 119), "it goes on")
    told = [(gap.first_seq, gap.frames, gap.reason) for gap in bus.gaps("a")]
    assert told[0] == (0, 4, "window")
    assert {reason for _, _, reason in told[1:]} == {"takeover"}
    scored = [score.seq for score in bus.newest_scores("a", 100)]
    skipped = [seq for first, count, _ in told[1:] for seq in range(first, first + count)]
    assert sorted(scored + skipped) == list(range(4, 120))
    ages = [score.scored_at - score.captured_at for score in bus.newest_scores("a", 100)]
    assert max(ages) < settings.live_age_s


@pytest.mark.long
def test_three_workers_share_the_cameras_and_a_fourth_gets_its_part(
    bus: Bus, store: Store, settings: Settings
) -> None:
    names = [f"cam{i}" for i in range(8)]
    for name in names:
        store.add_camera(camera(name))

    def owners() -> list[int]:
        reports = [bus.inference_report(name) for name in names]
        workers = [report.worker for report in reports if report is not None]
        return sorted(workers.count(worker) for worker in set(workers)) if len(workers) == 8 else []

    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(working(settings))
        wait_until(lambda: owners() == [2, 3, 3], "all are shared", 30)
        stack.enter_context(working(settings))
        wait_until(lambda: owners() == [2, 2, 2, 2], "the fourth has its part", 30)
    assert not bus.has_workers(STAGE)


def begin_and_lose_the_bus(bus: Bus, urls: Urls, count: int) -> None:
    """Score `count` frames; then the bus forgets everything but what its owner tells it again."""
    add_frames(bus, *frames()[:count])
    wait_until(lambda: bus.cursor("a") == (5, count - 1), "the first part is scored")
    with connect(urls.bus) as client:
        client.flushall()
    wait_until(
        lambda: bus.cursor("a") == (5, count - 1), "the new bus is told what the old one knew"
    )


def test_after_a_restart_of_the_bus_the_owner_goes_on_from_its_own_memory(
    bus: Bus, store: Store, settings: Settings, undisturbed: Numbers, urls: Urls
) -> None:
    store.add_camera(camera())
    with working(settings):
        begin_and_lose_the_bus(bus, urls, 30)
        add_frames(bus, *frames()[26:])
        wait_until(lambda: bus.cursor("a") == (5, FRAMES - 1), "all is scored")
        counters = bus.counters("a")
    found = series(bus)  # with those of the last seconds before
    assert len(found) > FRAMES - 30
    assert found == undisturbed[-len(found) :]
    assert {gap.reason for gap in bus.gaps("a")} <= {"window"}
    assert (counters["scores"], counters.get("window", 0)) == (FRAMES - 30, 0)


def test_what_a_bus_held_unread_when_it_died_is_on_the_next_bus(
    bus: Bus, store: Store, settings: Settings, urls: Urls
) -> None:
    """Its contents are dropped again and again, at any moment, while frames come and are scored."""
    store.add_camera(camera())
    known: dict[FrameId, float | None] = {}
    with working(settings), connect(urls.bus) as client:
        for first in range(0, FRAMES, 5):
            newest = FrameId(5, min(first + 5, FRAMES) - 1)
            add_frames(bus, *frames()[first : first + 5])
            wait_until(partial(is_past, bus, newest), "they are scored")
            client.flushall()  # nobody has read the scores yet
            wait_until(partial(is_past, bus, newest), "the new bus knows it")
            for score in bus.newest_scores("a", 1000):
                assert known.setdefault(score.id, score.value) == score.value
        gaps = bus.gaps("a")
    assert sorted(known) == [FrameId(5, seq) for seq in range(4, FRAMES)]
    assert {gap.reason for gap in gaps} <= {"window"}


def test_a_new_bus_is_not_sent_again_what_a_former_owner_had_told_the_last_one(
    bus: Bus, store: Store, settings: Settings, undisturbed: Numbers, urls: Urls
) -> None:
    """It replays for the memory's sake; its predecessor's scores were there a lease ago."""
    store.add_camera(camera())
    victim = Mortal(settings.model_copy(update={"snapshot_every_s": 600.0}))
    victim.start()
    add_frames(bus, *frames()[:30])
    wait_until(lambda: bus.cursor("a") == (5, 29), "the first part is scored")
    victim.die()
    with working(settings), connect(urls.bus) as client:
        add_frames(bus, *frames()[30:40])
        wait_until(lambda: bus.cursor("a") == (5, 39), "the new owner has replayed")
        assert series(bus) == undisturbed[: 40 - 4]
        client.flushall()
        wait_until(lambda: bus.cursor("a") == (5, 39), "the new bus knows it")
        assert series(bus) == undisturbed[30 - 4 : 40 - 4]
        add_frames(bus, *frames()[36:])
        wait_until(lambda: bus.cursor("a") == (5, FRAMES - 1), "all is scored")
    assert series(bus) == undisturbed[30 - 4 :]
    assert bus.gaps("a") == []


def is_past(bus: Bus, frame_id: FrameId) -> bool:
    return (bus.cursor("a") or FrameId(0, 0)) >= frame_id


def test_frames_that_were_lost_with_the_bus_are_told_as_such(
    bus: Bus, store: Store, settings: Settings, urls: Urls
) -> None:
    store.add_camera(camera())
    with working(settings):
        begin_and_lose_the_bus(bus, urls, 10)
        add_frames(bus, *frames()[20:30])
        wait_until(lambda: bus.cursor("a") == (5, 29), "all is scored")
    told = [(gap.first_seq + i, gap.reason) for gap in bus.gaps("a") for i in range(gap.frames)]
    window = [(seq, "window") for seq in range(4)]
    lost = [(seq, "bus_restart") for seq in range(10, 24)]
    assert told in (lost, window + lost)  # in one gap or, seen as they came, in several
    scored = [score.seq for score in bus.newest_scores("a", 100)]
    assert scored[-6:] == list(range(24, 30))
    assert scored[:-6] == list(range(10 - len(scored[:-6]), 10))
