"""The inference worker against real Redis.

It follows cameras, scores, learns, and survives faults.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import redis

from lookout.models.checkpoint.file import save_checkpoint
from lookout.models.errors import CheckpointError
from lookout.models.scorer import Scored, Scorer
from lookout.service.core.camera import Camera, CameraChange, ScoreScheme
from lookout.service.core.messages import Frame, FrameId, IngestReport
from lookout.service.core.settings import Settings
from lookout.service.inference.camera_lines import CameraLines
from lookout.service.inference.scorers import Scorers
from lookout.service.inference.worker import run
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.counters import STORE_FAILURES
from lookout.service.storage.bus.outcomes import Outcome
from lookout.service.storage.camera_changes import replace_camera
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import Urls, with_long_forms, with_wide_forms
from tests.owning import add_frames
from tests.tiny import EASY_BOUNDS, TINY_OF, street, tiny_checkpoint, untrained, write_tiny
from tests.waiting import wait_until


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    write_tiny(tmp_path)
    return Settings(
        bus_url=urls.bus,
        store_url=urls.store,
        models_dir=tmp_path,
        device="cpu",
        precision="fp32",
        learn_frames=20,
    )


working = partial(stage.working, run)


def camera(name: str, **changes: object) -> Camera:
    made = Camera(
        id=name,
        url="/x.mp4",
        model="tiny",
        fps=None,
        pace="fast",
        calibration="model",
        enabled=True,
        created_at=0.0,
        revision=1,
    )
    return made.model_copy(update=changes)


def frames(name: str, numbers: range, session: int = 5, side_px: int = 32) -> list[Frame]:
    return [Frame(name, session, seq, seq / 10, street(seq, side_px)) for seq in numbers]


def feed(bus: Bus, *batch: Frame) -> None:
    add_frames(bus, *batch)


def scored(bus: Bus, name: str) -> list[FrameId]:
    return [score.id for score in bus.newest_scores(name, 1000)]


def test_every_frame_from_the_fifth_on_has_a_score_and_a_heatmap(
    bus: Bus, store: Store, settings: Settings
) -> None:
    store.add_camera(camera("a"))
    feed(bus, *frames("a", range(12)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 11), "all frames are dealt with")
        feed(bus, *frames("a", range(12, 15)))
        wait_until(lambda: bus.cursor("a") == (5, 14), "the later ones too")
    assert scored(bus, "a") == [FrameId(5, seq) for seq in range(4, 15)]
    assert bus.heat("a", FrameId(5, 4)) is not None
    counters = bus.counters("a")
    assert counters["scores"] == 11
    assert counters.get("memory_updated", 0) + counters.get("memory_kept", 0) == 11


def test_the_cursor_moves_on_through_frames_that_have_no_score(
    bus: Bus, store: Store, settings: Settings
) -> None:
    store.add_camera(camera("a"))
    feed(bus, *frames("a", range(3)))
    with working(settings):
        wait_until(
            lambda: bus.cursor("a") == (5, 2), "a clip shorter than the window is dealt with"
        )
    assert scored(bus, "a") == []


def test_a_restarted_worker_goes_on_without_gap_or_double(
    bus: Bus, store: Store, settings: Settings
) -> None:
    store.add_camera(camera("a"))
    feed(bus, *frames("a", range(8)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 7), "the first part is scored")
    feed(bus, *frames("a", range(8, 14)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 13), "the rest is scored")
    assert scored(bus, "a") == [FrameId(5, seq) for seq in range(4, 14)]
    assert bus.counters("a")["scores"] == 10


@pytest.mark.parametrize("model", with_long_forms(sorted(TINY_OF), {"mnad-pred", "places"}))
def test_every_model_scores_live_under_the_ids_of_its_frames(
    model: str, bus: Bus, store: Store, settings: Settings
) -> None:
    """Cover a restart in the middle, and a camera whose memory is guarded, if the model has one."""
    spec = TINY_OF[model].input_spec
    save_checkpoint(
        settings.model_folders[0] / "tiny.safetensors",
        untrained(TINY_OF[model], calibration=EASY_BOUNDS),
    )
    store.add_camera(camera("a", memory="guarded"))
    later = spec.frames - 1 - spec.scored
    feed(bus, *frames("a", range(20)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 19 - later), "the first part is scored")
    feed(bus, *frames("a", range(20, 26)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 25 - later), "the rest is scored")
        wait_until(lambda: bus.inference_report("a") is not None, "the camera is reported")
        report = bus.inference_report("a")
    assert scored(bus, "a") == [FrameId(5, seq) for seq in range(spec.scored, 26 - later)]
    for score in bus.newest_scores("a", 100):
        assert score.captured_at == score.seq / 10
        assert (score.memory_updated is None) == (spec.memory != "adapts")
        assert (score.distance is None) == (not spec.distance)
    assert bus.counters("a")["scores"] == 26 - spec.frames + 1
    assert report is not None
    assert (report.drift is None) == (spec.memory != "adapts")


def test_the_last_frames_of_a_file_are_told_when_it_has_ended(
    bus: Bus, store: Store, settings: Settings
) -> None:
    """MemAE scores the ninth of sixteen frames: the last seven of a file never get a score."""
    save_checkpoint(
        settings.model_folders[0] / "tiny.safetensors",
        untrained(TINY_OF["memae"], calibration=EASY_BOUNDS),
    )
    store.add_camera(camera("a"))
    feed(bus, *frames("a", range(20)))
    ended = IngestReport(
        "ended", at=0.0, revision=1, session=5, last_seq=18
    )  # of a frame too early: not yet
    bus.report_ingest("a", ended)
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 12), "what can be scored is scored")
        bus.report_ingest("a", replace(ended, last_seq=19))
        wait_until(lambda: bus.cursor("a") == (5, 19), "the rest is told")
    assert bus.counters("a")["scores"] == 5
    assert bus.counters("a")["window"] == 8 + 7


def test_a_camera_learns_its_bounds_then_has_values_and_keeps_them_over_a_restart(
    bus: Bus, store: Store, settings: Settings
) -> None:
    store.add_camera(camera("a", calibration="learn"))
    feed(bus, *frames("a", range(14)))
    with working(settings):
        wait_until(
            lambda: (r := bus.inference_report("a")) and r.learned == 10,
            "ten of twenty are learned",
        )
        report = bus.inference_report("a")
        assert report is not None
        assert (report.state, report.to_learn) == ("learning", 20)
        feed(bus, *frames("a", range(14, 30)))
        wait_until(lambda: bounds_of(store), "the bounds are in the store")
        wait_until(lambda: bus.cursor("a") == (5, 29), "all frames are dealt with")
    values = [score.value for score in bus.newest_scores("a", 1000)]
    assert values[:20] == [None] * 20
    assert all(value is not None for value in values[20:])
    with working(settings):
        feed(bus, *frames("a", range(30, 33)))
        wait_until(lambda: bus.cursor("a") == (5, 32), "scored after the restart")
    assert bus.newest_scores("a", 1)[0].value is not None


def test_local_scores_and_values_are_the_same_over_a_restart(
    bus: Bus, store: Store, settings: Settings
) -> None:
    for name in ("a", "b"):
        store.add_camera(camera(name, calibration="learn", score="local"))
    feed(bus, *frames("a", range(22)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 21), "the first camera's first part is scored")
    feed(bus, *frames("a", range(22, 40)), *frames("b", range(40)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == bus.cursor("b") == (5, 39), "the rest is scored")
    interrupted, at_once = (
        [(s.local_db, s.value) for s in bus.newest_scores(name, 1000)] for name in ("a", "b")
    )
    assert interrupted == at_once
    assert [value is None for _, value in at_once] == [True] * 20 + [False] * 16
    assert len({local_db for local_db, _ in at_once}) > 10


@pytest.mark.parametrize("score", with_long_forms(["places", "fused"], {"fused"}))
def test_the_memory_of_places_is_the_same_over_a_restart(
    bus: Bus, store: Store, settings: Settings, score: ScoreScheme
) -> None:
    """Half of `learn_frames` fills it, the other half sets the bounds; then it goes on learning."""
    for name in ("a", "b"):
        store.add_camera(camera(name, calibration="learn", score=score))
    feed(bus, *frames("a", range(16)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 15), "the memory is warm, the bounds are not set")
    feed(bus, *frames("a", range(16, 30)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 29), "the bounds are set")
    feed(bus, *frames("a", range(30, 40)), *frames("b", range(40)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == bus.cursor("b") == (5, 39), "the rest is scored")
    interrupted, at_once = (
        [(s.place_db, s.value) for s in bus.newest_scores(name, 1000)] for name in ("a", "b")
    )
    assert interrupted == at_once
    assert [value is None for _, value in at_once] == [True] * 20 + [False] * 16
    assert [place_db is None for place_db, _ in at_once] == [True] * 10 + [False] * 26
    assert len({place_db for place_db, _ in at_once}) > 10
    shown = bus.heat("a")
    assert shown is not None
    assert shown.cells.any()


@pytest.mark.parametrize(
    "handed_over", with_wide_forms([True, False], {True}), ids=["restart", "running"]
)
def test_another_network_takes_the_memory_of_places_over(
    bus: Bus, store: Store, settings: Settings, handed_over: bool
) -> None:
    """A promotion changes network and score: the bounds are learned anew, the memory is not."""
    settings = settings.model_copy(update={"snapshot_every_s": 0.2})
    another = tiny_checkpoint(seed=1, calibration=EASY_BOUNDS)
    save_checkpoint(settings.model_folders[0] / "another.safetensors", another)
    before = camera("a", calibration="learn", score="places")
    store.add_camera(before)
    feed(bus, *frames("a", range(30)))
    with contextlib.ExitStack() as stack:
        stack.enter_context(working(settings))
        wait_until(lambda: bus.cursor("a") == (5, 29), "the memory is warm")
        wait_until(lambda: (s := store.snapshot("a")) and s.cursor == (5, 29), "it is saved")
        if handed_over:
            stack.pop_all().close()
            stack.enter_context(working(settings))
        change = CameraChange(model="another", score="fused")
        replace_camera(bus, store, before, before.changed(change))
        wait_until(lambda: (r := bus.inference_report("a")) and r.revision == 2, "it is followed")
        feed(bus, *frames("a", range(30, 50)))
        wait_until(lambda: bus.cursor("a") == (5, 49), "the rest is scored")
    scores = [score for score in bus.newest_scores("a", 1000) if score.model == "another"]
    assert all(score.place_db is not None for score in scores)
    assert [score.value is None for score in scores] == [True] * 10 + [False] * 10


def test_a_calibration_without_the_local_score_fails_a_camera_that_wants_it(
    bus: Bus, store: Store, settings: Settings
) -> None:
    store.add_camera(camera("a", score="local"))
    with working(settings):
        wait_until(
            lambda: (r := bus.inference_report("a")) and r.state == "failed", "the camera is failed"
        )
    report = bus.inference_report("a")
    assert report is not None
    assert "no bounds of the local score: run `lookout calibrate`" in (report.last_error or "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "nobody"}, "no model 'nobody'"),
        ({"model": "broken"}, "broken.safetensors"),
        ({"model": "raw"}, "calibrat"),
    ],
)
def test_a_model_that_cannot_be_used_fails_its_camera_alone(
    bus: Bus, store: Store, settings: Settings, change: dict[str, str], reason: str
) -> None:
    (settings.model_folders[0] / "broken.safetensors").write_bytes(
        b"\x10\x00\x00\x00\x00\x00\x00\x00{no json here!}!"
    )
    write_tiny(settings.model_folders[0], "raw", calibrated=False)
    store.add_camera(camera("bad", **change))
    store.add_camera(camera("good"))
    feed(bus, *frames("good", range(8)), *frames("bad", range(8)))
    with working(settings):
        wait_until(
            lambda: (r := bus.inference_report("bad")) and r.state == "failed",
            "the bad one is failed",
        )
        wait_until(lambda: bus.cursor("good") == (5, 7), "the good one is scored")
        report = bus.inference_report("bad")
        assert report is not None
        assert reason in (report.last_error or "")
        write_tiny(
            settings.model_folders[0], change["model"]
        )  # mended: no restart, no change of the camera needed
        wait_until(lambda: bus.cursor("bad") == (5, 7), "the mended one is scored")


def test_frames_of_a_wrong_size_and_broken_messages_are_counted_and_passed_over(
    bus: Bus, store: Store, settings: Settings, urls: Urls
) -> None:
    store.add_camera(camera("a"))
    feed(bus, *frames("a", range(3), side_px=16))
    bus._redis.xadd("frames:{a}", {"what": "ever"}, id="5-3")
    feed(bus, *frames("a", range(4, 10)))
    with working(settings):
        wait_until(lambda: bus.cursor("a") == (5, 9), "the good frames are dealt with")
        wait_until(lambda: bus.counters("a").get("dropped_size") == 3, "the wrong ones are counted")
    assert [(gap.first_seq, gap.frames, gap.reason) for gap in bus.gaps("a")] == [
        (0, 3, "size"),
        (3, 5, "broken"),
    ]
    counters = bus.counters("a")
    assert (counters["dropped_broken"], counters["broken"]) == (5, 1)
    assert scored(bus, "a") == [FrameId(5, 8), FrameId(5, 9)]


def test_a_removed_or_disabled_camera_is_let_go(bus: Bus, store: Store, settings: Settings) -> None:
    store.add_camera(camera("a"))
    store.add_camera(camera("b"))
    with working(settings):
        wait_until(
            lambda: bus.inference_report("a") and bus.inference_report("b"), "both are followed"
        )
        store.remove_camera("a")
        store.replace_camera(camera("b", enabled=False, revision=2), camera("b"))
        store.add_camera(camera("c"))
        first = wait_until(
            lambda: bus.inference_report("c"), "the third is followed, so the change is known"
        )
        bus.forget_reports("a")
        bus.forget_reports("b")
        wait_until(lambda: bus.inference_report("c") != first, "there are new reports")
        assert bus.inference_report("a") is None
        assert bus.inference_report("b") is None


def bounds_of(store: Store) -> object:
    snapshot = store.snapshot("a")
    return snapshot and snapshot.state["learner"]["bounds"]


def reports(bus: Bus, name: str, state: str) -> bool:
    report = bus.inference_report(name)
    return report is not None and report.state == state


def test_a_camera_that_was_removed_and_added_again_is_another(
    bus: Bus, store: Store, settings: Settings
) -> None:
    write_tiny(settings.model_folders[0], "other")
    store.add_camera(camera("a"))
    with working(settings):
        wait_until(lambda: reports(bus, "a", "online"), "it is followed")
        store.remove_camera("a")
        store.add_camera(camera("a", model="other", calibration="learn"))
        wait_until(lambda: reports(bus, "a", "learning"), "the new one is followed")
        feed(bus, *frames("a", range(6)))
        wait_until(lambda: bus.cursor("a") == (5, 5), "it is scored")
    assert {score.model for score in bus.newest_scores("a", 10)} == {"other"}


def test_a_removed_camera_leaves_nothing_on_the_bus(
    bus: Bus, store: Store, settings: Settings
) -> None:
    store.add_camera(camera("a"))
    with working(settings):
        feed(bus, *frames("a", range(8)))
        wait_until(lambda: bus.cursor("a") == (5, 7), "it is scored")
        store.remove_camera("a")
        wait_until(
            lambda: bus.cursor("a") is None and not bus.newest_scores("a", 1), "its traces are gone"
        )


def test_a_checkpoint_replaced_under_its_name_is_loaded_and_its_bounds_are_learned_anew(
    bus: Bus, store: Store, settings: Settings
) -> None:
    store.add_camera(camera("a", calibration="learn"))
    feed(bus, *frames("a", range(26)))
    with working(settings):
        before = wait_until(lambda: bounds_of(store), "the bounds are learned")
        save_checkpoint(
            settings.model_folders[0] / "tiny.safetensors", tiny_checkpoint(seed=9, side_px=64)
        )
        wait_until(lambda: reports(bus, "a", "learning"), "it learns anew")
        feed(bus, *frames("a", range(60, 90), side_px=64))
        wait_until(lambda: (now := bounds_of(store)) and now != before, "the new bounds are kept")
    assert bus.counters("a").get("dropped_size", 0) == 0


class NoRoom(Scorer):
    """A model that the device has no room for."""

    def step_normalised(self, *_: object, **__: object) -> Scored:
        raise RuntimeError("out of memory\nwith a long explanation")


def test_a_camera_that_the_model_cannot_score_is_failed_and_stays_so(
    bus: Bus, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookout.service.inference.scorers.Scorer", NoRoom)
    store.add_camera(camera("a"))
    feed(bus, *frames("a", range(8)))
    with working(settings):
        wait_until(lambda: reports(bus, "a", "failed"), "it is failed")
        first = bus.inference_report("a")
        wait_until(lambda: bus.inference_report("a") != first, "it is reported again")
        assert reports(bus, "a", "failed")
    assert first is not None
    assert first.last_error == "the model cannot score it: out of memory"


def test_no_frame_is_lost_while_the_bus_fails_to_take_what_became_of_it(
    bus: Bus, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus refuses twice, and twice it takes everything and its answer is lost."""
    failures = iter([(False, True), (True, True)] * 2)
    real = Bus.add_outcomes

    def flaky(self: Bus, outcomes: Sequence[tuple[str, Outcome]]) -> list[int]:
        written, failed = next(failures, (True, False))
        answers = real(self, outcomes) if written else []
        if failed:
            raise redis.ConnectionError
        return answers

    monkeypatch.setattr(Bus, "add_outcomes", flaky)
    store.add_camera(camera("a"))
    store.add_camera(camera("b"))
    feed(bus, *frames("a", range(9)), *frames("b", range(3)))
    with working(settings):
        wait_until(
            lambda: bus.cursor("a") == (5, 8) and bus.cursor("b") == (5, 2),
            "all frames are dealt with",
        )
    assert scored(bus, "a") == [FrameId(5, seq) for seq in range(4, 9)]


def test_a_bus_that_fails_while_a_camera_is_begun_costs_no_camera_more_than_another_try(
    bus: Bus, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures, real = iter([redis.ConnectionError] * 2), CameraLines.start

    def flaky(self: CameraLines, camera: Camera, epoch: int, snapshot: Snapshot | None) -> None:
        if failure := next(failures, None):
            raise failure
        real(self, camera, epoch, snapshot)

    monkeypatch.setattr(CameraLines, "start", flaky)
    for name in ("a", "b", "c"):
        store.add_camera(camera(name))
        feed(bus, *frames(name, range(8)))
    with working(settings):
        wait_until(
            lambda: {bus.cursor(name) for name in ("a", "b", "c")} == {FrameId(5, 7)},
            "all are scored",
        )


def test_a_store_that_hangs_holds_up_no_score(bus: Bus, settings: Settings, tmp_path: Path) -> None:
    with RedisServer("store", tmp_path / "own") as server:
        own = Store(connect(server.url))
        own.add_camera(camera("a"))
        with working(settings.model_copy(update={"store_url": server.url})):
            wait_until(lambda: reports(bus, "a", "online"), "it is followed")
            assert server.process is not None
            server.process.send_signal(signal.SIGSTOP)
            try:
                feed(bus, *frames("a", range(8)))
                wait_until(
                    lambda: bus.cursor("a") == (5, 7), "scored while the store hangs", limit_s=5
                )
            finally:
                server.process.send_signal(signal.SIGCONT)


def test_what_fails_at_the_store_is_counted(
    bus: Bus, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([RuntimeError("unexpected")] * 2)
    real = Store.begin_ownership

    def flaky(self: Store, camera: str) -> tuple[int, Snapshot | None]:
        if failure := next(failures, None):
            raise failure
        return real(self, camera)

    monkeypatch.setattr(Store, "begin_ownership", flaky)
    store.add_camera(camera("a"))
    with working(settings):
        wait_until(lambda: reports(bus, "a", "online"), "it is taken over")
        wait_until(
            lambda: bus.stage_counters("inference").get(STORE_FAILURES) == 2, "both are counted"
        )


def test_a_users_checkpoint_stands_beside_those_of_the_package(tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    users = tmp_path / "users"
    shipped.mkdir()
    write_tiny(shipped, "tiny")
    scorers = Scorers((users, shipped), "cpu", "fp32")
    _, of_package = scorers.get("tiny")
    users.mkdir()
    save_checkpoint(users / "tiny.safetensors", tiny_checkpoint(seed=9))
    _, of_user = scorers.get("tiny")
    assert of_user != of_package
    with pytest.raises(CheckpointError, match=r"no model 'other' in .*users or .*shipped"):
        scorers.get("other")
