"""A camera's window: only consecutive frames of one session and size are ever scored together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.evaluation.clip_scores import ClipScorer, score_clips
from lookout.models.memory_update import UpdateRule
from lookout.models.motion import PlacesConfig
from lookout.models.scorer import Scorer
from lookout.models.scoring.camera_state import CameraState
from lookout.models.scoring.normalizer import Normalizer
from lookout.models.scoring.place_state import PlaceState
from lookout.service.core.camera import AlertSettings, Camera, ZoneSettings
from lookout.service.core.clock import Moment
from lookout.service.core.messages import Frame, FrameId, Gap
from lookout.service.core.settings import load_settings
from lookout.service.inference import snapshots
from lookout.service.inference.batch import score_batch
from lookout.service.inference.camera_line import CameraLine
from lookout.service.inference.camera_lines import CameraLines
from lookout.service.inference.line_start import zone_mask
from lookout.service.storage.bus.outcomes import ScoredFrame
from lookout.service.storage.store.snapshots import Snapshot, camera_identity, view_identity
from tests.conftest import examples, with_wide_forms
from tests.tiny import EASY_BOUNDS, TINY_OF, infrared, street, tiny_checkpoint, untrained


def camera(name: str = "a") -> Camera:
    return Camera(
        id=name,
        url="rtsp://x",
        model="tiny",
        fps=None,
        pace="realtime",
        calibration="model",
        enabled=True,
        created_at=0.0,
        revision=1,
    )


def fresh_state(scorer: Scorer) -> CameraState:
    return CameraState(
        scorer.fresh_items(),
        Normalizer(EASY_BOUNDS, 20, "paper", scorer.checkpoint.config.fusion_weight),
        gamma=scorer.gamma,
        rule=UpdateRule.paper(scorer.gamma),
    )


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(tiny_checkpoint())


@pytest.fixture(scope="module")
def memae() -> Scorer:
    """A scorer whose scores belong to frame 8 of 16, counted from 0."""
    return Scorer(untrained(TINY_OF["memae"]))


@pytest.fixture
def line(scorer: Scorer) -> CameraLine:
    return CameraLine(camera(), scorer, fresh_state(scorer), None)


def frame(seq: int, session: int = 1, size: int = 32) -> Frame:
    return Frame("a", session, seq, seq / 10, np.full((size, size, 3), seq % 256, np.uint8))


def scored(line: CameraLine, frames: list[Frame]) -> list[tuple[int, int]]:
    """Return (session, seq) of every frame that these complete a window for.

    Each clip holds the frames around it.
    """
    line.frames.offer(frames)
    spec, found = line.scorer.input_spec, []
    while (frame := line.next_frame()) is not None:
        numbers, first = line.frames.clip()[:, 0, 0, 0].tolist(), frame.seq - spec.scored
        assert numbers == [number % 256 for number in range(first, first + spec.frames)]
        found.append((frame.session, frame.seq))
    return found


def gaps(line: CameraLine) -> list[tuple[int, int, int, str]]:
    """Return (session, first seq, frames, reason) of everything that is not scored."""
    return [
        (one.session, one.first_seq, one.frames, one.reason)
        for one in line.outbox.unsent
        if isinstance(one, Gap)
    ]


def test_frame_4_is_the_first_scored_and_every_later_one_follows(line: CameraLine) -> None:
    assert scored(line, [frame(seq) for seq in range(7)]) == [(1, 4), (1, 5), (1, 6)]
    assert line.frames.accounted_id == line.frames.cursor == (1, 6)
    assert gaps(line) == [(1, 0, 4, "window")]


def test_frames_may_come_one_at_a_time(line: CameraLine) -> None:
    assert [len(scored(line, [frame(seq)])) for seq in range(7)] == [0, 0, 0, 0, 1, 1, 1]


def test_a_gap_empties_the_window_and_is_told(line: CameraLine) -> None:
    assert scored(line, [frame(seq) for seq in (0, 1, 2, 3, 6, 7, 8, 9, 10)]) == [(1, 10)]
    assert gaps(line) == [(1, 0, 4, "window"), (1, 4, 6, "lag")]


def test_what_ingest_left_out_is_told_apart_from_what_was_lost(line: CameraLine) -> None:
    seen = [
        *(frame(seq) for seq in range(5)),
        replace(frame(9), skipped=3, skipped_for="bus_restart"),
    ]
    assert scored(line, seen) == [(1, 4)]
    assert gaps(line) == [(1, 0, 4, "window"), (1, 5, 1, "lag"), (1, 6, 4, "bus_restart")]


def test_a_new_session_empties_the_window(line: CameraLine) -> None:
    seen = [*(frame(seq) for seq in range(4)), *(frame(seq, session=2) for seq in range(5))]
    assert scored(line, seen) == [(2, 4)]
    assert gaps(line) == [(1, 0, 4, "window"), (2, 0, 4, "reconnect")]


def test_a_session_whose_first_frames_are_gone_is_told_from_its_number_0_on(
    line: CameraLine,
) -> None:
    assert scored(line, [frame(seq, session=3) for seq in range(2, 8)]) == [(3, 6), (3, 7)]
    assert gaps(line) == [(3, 0, 6, "lag")]


def test_a_frame_of_another_size_or_revision_or_without_pixels_is_never_scored(
    line: CameraLine,
) -> None:
    broken = replace(frame(10), pixels=np.empty((0, 0, 3), np.uint8))
    former = replace(frame(11), revision=7)
    frames = [
        *(frame(seq) for seq in range(4)),
        frame(4, size=16),
        *(frame(seq) for seq in range(5, 10)),
    ]
    assert scored(line, [*frames, broken, former]) == [(1, 9)]
    assert gaps(line) == [
        (1, 0, 4, "window"),
        (1, 4, 5, "size"),
        (1, 10, 1, "broken"),
        (1, 11, 1, "changed"),
    ]


def test_a_new_owner_fills_its_window_with_frames_that_are_dealt_with(scorer: Scorer) -> None:
    line = CameraLine(camera(), scorer, fresh_state(scorer), FrameId(1, 9))
    assert line.frames.cursor == (1, 5)
    assert scored(line, [frame(seq) for seq in range(6, 12)]) == [(1, 10), (1, 11)]
    assert gaps(line) == []


def test_a_new_owner_near_the_start_of_a_session_reads_it_from_its_first_frame(
    scorer: Scorer,
) -> None:
    line = CameraLine(camera(), scorer, fresh_state(scorer), FrameId(7, 2))
    assert line.frames.cursor is not None
    assert FrameId(6, 10**9) < line.frames.cursor < FrameId(7, 0)


def test_frames_that_are_skipped_are_told_and_the_next_one_has_its_window(line: CameraLine) -> None:
    scored(line, [frame(seq) for seq in range(6)])
    line.skip(FrameId(1, seq) for seq in range(6, 20))
    assert line.frames.cursor == (1, 15)
    assert scored(line, [frame(seq) for seq in range(16, 22)]) == [(1, 20), (1, 21)]
    assert gaps(line) == [(1, 0, 4, "window"), (1, 6, 14, "lag")]


def test_only_a_live_camera_has_stale_frames(scorer: Scorer) -> None:
    for made, is_stale in (
        (camera(), True),
        (camera().model_copy(update={"url": "/x", "pace": "fast"}), False),
    ):
        line = CameraLine(made, scorer, fresh_state(scorer), FrameId(1, 9))
        line.frames.offer([frame(9), frame(10)])
        assert line.frames.is_stale(Moment(1.0 + 2.1), 2.0) is is_stale
        assert not line.frames.is_stale(Moment(1.0 + 1.9), 2.0)


def night(seq: int) -> Frame:
    """The same camera, turned to another place in the dark."""
    pixels = np.random.default_rng(7).integers(0, 60, (32, 32, 3), dtype=np.uint8)
    return Frame("a", 1, seq, seq / 10, pixels)


def day(seq: int) -> Frame:
    return Frame("a", 1, seq, seq / 10, street(seq))


def scored_only(line: CameraLine, frames: list[Frame]) -> list[int]:
    line.frames.offer(frames)
    return [frame.seq for frame in iter(line.next_frame, None)]


def test_frames_of_a_scene_change_are_not_scored_and_a_camera_that_learns_learns_anew(
    scorer: Scorer,
) -> None:
    learning = camera().model_copy(update={"calibration": "learn"})
    line = CameraLine(learning, scorer, fresh_state(scorer), None)
    assert scored_only(line, [day(seq) for seq in range(30)]) == list(range(4, 30))
    later = scored_only(line, [night(seq) for seq in range(30, 60)])
    assert later == list(range(later[0], 60))
    assert gaps(line)[1:] == [(1, 30, later[0] - 30, "scene_change")]
    assert later[0] >= 30 + 4 + 1
    assert [event.kind for event in line.take_events()] == ["scene_change"]
    assert line.state.normalizer.bounds is None


def test_a_camera_with_the_models_bounds_keeps_them_over_a_scene_change(scorer: Scorer) -> None:
    line = CameraLine(camera(), scorer, fresh_state(scorer), None)
    scored_only(line, [*(day(seq) for seq in range(30)), *(night(seq) for seq in range(30, 60))])
    assert line.take_events()
    assert line.state.normalizer.bounds == EASY_BOUNDS


@pytest.mark.parametrize("cut", range(28, 46))
def test_a_new_owner_decides_as_the_old_one_would_have_wherever_it_takes_over(
    scorer: Scorer, cut: int
) -> None:
    """Also around a scene change: the window never reaches back over it."""
    check_take_over(scorer, cut)


@pytest.mark.parametrize("cut", range(1, 60, 3))
def test_so_does_one_whose_scores_wait_for_later_frames(memae: Scorer, cut: int) -> None:
    check_take_over(memae, cut)


def check_take_over(scorer: Scorer, cut: int) -> None:
    frames = [*(day(seq) for seq in range(30)), *(night(seq) for seq in range(30, 60))]

    def fresh(saved: Snapshot | None = None) -> CameraLine:
        state = fresh_state(scorer)
        if saved is None:
            return CameraLine(camera(), scorer, state, None)
        watch = snapshots.restore(state, json.loads(json.dumps(saved.state)))
        return CameraLine(camera(), scorer, state, saved.cursor, watch=watch)

    whole = fresh()
    undisturbed = scored_only(whole, frames)
    first = fresh()
    early = scored_only(first, frames[:cut])
    first.outbox.acknowledge()
    snapshot = first.snapshot()
    assert snapshot is not None
    heir = fresh(snapshot)
    late = scored_only(
        heir,
        [frame for frame in frames if heir.frames.cursor is None or frame.id > heir.frames.cursor],
    )
    assert early + late == undisturbed
    assert first.take_events() + heir.take_events() == whole.take_events()


@examples(200)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 20)), max_size=60)
)  # by 21 grays: a scene change
def test_every_number_is_scored_or_told_once_whatever_comes(
    scorer: Scorer, names: list[tuple[int, int]]
) -> None:
    """Count slowly: in each session, each number up to the last that was seen."""
    check_account(scorer, names)


def check_account(scorer: Scorer, names: list[tuple[int, int]]) -> None:
    line = CameraLine(camera(), scorer, fresh_state(scorer), None)
    seen = sorted(set(names))
    done = scored(line, [frame(seq, session) for session, seq in seen])
    told = [
        (session, seq)
        for session, first, count, _ in gaps(line)
        for seq in range(first, first + count)
    ]
    last = {session: max(seq for other, seq in seen if other == session) for session, _ in seen}
    spec = scorer.input_spec
    around = range(-spec.scored, spec.frames - spec.scored)
    windows = {
        (session, seq) for session, seq in seen if all((session, seq + by) in seen for by in around)
    }
    assert set(done) == windows
    numbers = [(session, seq) for session in sorted(last) for seq in range(last[session] + 1)]
    waiting = len(numbers) - len(done) - len(told)
    assert sorted(done + told) == numbers[: len(numbers) - waiting]
    assert waiting < spec.frames - spec.scored


@examples(100)
@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 40)), max_size=80))
def test_nor_is_any_lost_where_scores_wait_for_later_frames(
    memae: Scorer, names: list[tuple[int, int]]
) -> None:
    check_account(memae, names)


@pytest.mark.parametrize("cut", [1, 3, 6, 9])
def test_a_new_owner_goes_on_with_the_turns_of_the_old_one(cut: int) -> None:
    """The part of a score follows from the frame's number; the other parts are in the snapshot."""
    scorer = Scorer(untrained(TINY_OF["riad"]))

    def scores(line: CameraLine, seqs: range) -> list[tuple[int, float | None, float | None]]:
        line.frames.offer(Frame("a", 1, seq, 100 + seq / 10, street(seq)) for seq in seqs)
        while (frame := line.next_frame()) is not None:
            score_batch([(line, frame)])
        done = [one.score for one in line.outbox.unsent if isinstance(one, ScoredFrame)]
        line.outbox.acknowledge()
        return [(score.seq, score.psnr_db, score.distance) for score in done]

    undisturbed = scores(line_of(scorer), range(12))
    first = line_of(scorer)
    early = scores(first, range(cut))
    snapshot = first.snapshot()
    assert snapshot is not None
    state = fresh_state(scorer)
    watch = snapshots.restore(state, json.loads(json.dumps(snapshot.state)))
    heir = CameraLine(camera(), scorer, state, snapshot.cursor, watch=watch)
    assert early + scores(heir, range(cut, 12)) == undisturbed


@pytest.mark.parametrize("name", sorted(TINY_OF))
def test_a_live_series_is_that_of_an_evaluation_under_its_frames_ids(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(untrained(TINY_OF[name]))
    monkeypatch.setattr(
        "lookout.models.data.clips.read_clip",
        lambda *_: np.stack([street(seq) for seq in range(24)]),
    )
    monkeypatch.setattr("lookout.models.data.clips.frames_expected", lambda *_: 24)
    (expected,) = score_clips(scorer, [Path("street.mp4")], carry_memory=True)
    line = line_of(scorer)
    line.frames.offer(Frame("a", 1, seq, 100 + seq / 10, street(seq)) for seq in range(24))
    while (frame := line.next_frame()) is not None:
        score_batch([(line, frame)])
    scores = [one.score for one in line.outbox.unsent if isinstance(one, ScoredFrame)]
    assert [score.seq for score in scores] == list(
        range(expected.first, expected.first + len(expected.psnr_db))
    )
    assert all(score.captured_at == 100 + score.seq / 10 for score in scores)
    assert [score.psnr_db for score in scores] == expected.psnr_db.tolist()
    spec = scorer.input_spec
    assert [score.distance or 0.0 for score in scores] == expected.distance.tolist()
    assert all((score.distance is not None) == spec.distance for score in scores)
    assert all((score.gate_error is not None) == (spec.memory == "adapts") for score in scores)
    assert all((score.memory_updated is not None) == (spec.memory == "adapts") for score in scores)
    assert all(score.value is not None for score in scores)


@pytest.mark.parametrize("name", ["mnad-pred", "memae"])
def test_a_live_memory_of_places_is_that_of_an_evaluation(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(untrained(TINY_OF[name]))
    monkeypatch.setattr(
        "lookout.models.data.clips.read_clip",
        lambda *_: np.stack([street(seq) for seq in range(40)]),
    )
    monkeypatch.setattr("lookout.models.data.clips.frames_expected", lambda *_: 40)
    (expected,) = score_clips(
        scorer,
        [Path("street.mp4")],
        carry_memory=True,
        normalizer=Normalizer(None, 6, "fused"),
        places=PlaceState(5),
    )
    state = CameraState(
        scorer.fresh_items(),
        Normalizer(None, 6, "fused"),
        gamma=scorer.gamma,
        rule=UpdateRule.paper(scorer.gamma),
        places=PlaceState(5),
    )
    line = CameraLine(camera(), scorer, state, None)
    line.frames.offer(Frame("a", 1, seq, 100 + seq / 10, street(seq)) for seq in range(40))
    while (frame := line.next_frame()) is not None:
        score_batch([(line, frame)])
    scores = [one.score for one in line.outbox.unsent if isinstance(one, ScoredFrame)]
    place_db = [np.nan if score.place_db is None else score.place_db for score in scores]
    values = [np.nan if score.value is None else score.value for score in scores]
    np.testing.assert_array_equal(place_db, expected.place_db)
    np.testing.assert_array_equal(values, expected.value)
    assert np.isnan(expected.place_db).tolist() == [True] * 5 + [False] * (len(scores) - 5)
    assert np.isnan(expected.value).tolist() == [True] * 11 + [False] * (len(scores) - 11)


def fused_state(scorer: Scorer) -> CameraState:
    return CameraState(
        scorer.fresh_items(),
        Normalizer(None, 6, "fused"),
        gamma=scorer.gamma,
        rule=None,
        places=PlaceState(5, PlacesConfig(side_px=128)),
    )


LEARNING = camera().model_copy(update={"calibration": "learn", "score": "fused"})


def day_and_night() -> list[Frame]:
    """A street by colour, by infrared light, and by colour again, in one session."""
    pictures = [
        *map(street, range(30)),
        *map(infrared, range(30, 70)),
        *map(street, range(70, 100)),
    ]
    return [Frame("a", 1, seq, 100 + seq / 10, picture) for seq, picture in enumerate(pictures)]


def values_of(line: CameraLine, frames: list[Frame]) -> list[tuple[int, float | None]]:
    """Return number and value of every frame that the line scores of these."""
    line.offer(frames)
    while (frame := line.next_frame()) is not None:
        assert score_batch([(line, frame)]) == []
    done = [one.score for one in line.outbox.unsent if isinstance(one, ScoredFrame)]
    line.outbox.acknowledge()
    return [(score.seq, score.value) for score in done]


@pytest.fixture(scope="module")
def places_scorer() -> Scorer:
    """A scorer without a network: all that is learned is the view's."""
    return Scorer(untrained(TINY_OF["places"]))


def test_dusk_does_not_start_learning_again_and_the_series_is_that_of_an_evaluation(
    places_scorer: Scorer,
) -> None:
    """The evaluation sees the evening and the morning alone."""
    line = CameraLine(LEARNING, places_scorer, fused_state(places_scorer), None)
    live = values_of(line, day_and_night())
    dusk, dawn = line.take_events()
    assert dusk.detail.endswith("infrared light is switched on; view infrared 2, which it learns")
    assert dawn.detail.endswith("infrared light is switched off; view colour 1, which it knows")
    night = [value for seq, value in live if dusk.seq < seq < dawn.seq]
    assert [value is None for value in night] == [True] * 11 + [False] * (len(night) - 11)
    clips = ClipScorer(
        places_scorer,
        normalizer=Normalizer(None, 6, "fused"),
        places=PlaceState(5, PlacesConfig(side_px=128)),
    )
    evening = clips.score("evening", np.stack([street(seq) for seq in range(30)]))
    morning = clips.score("morning", np.stack([street(seq) for seq in range(dawn.seq + 1, 100)]))
    found = [np.nan if value is None else value for _, value in live]
    np.testing.assert_array_equal(found[:29], evening.value)
    np.testing.assert_array_equal(found[-len(morning.value) :], morning.value)
    assert len(morning.value) > 15
    assert np.isfinite(morning.value).all()


@pytest.mark.parametrize("cut", with_wide_forms([32, 45, 72, 85], [45, 85]))
def test_another_worker_takes_the_views_over(places_scorer: Scorer, cut: int) -> None:
    frames = day_and_night()
    whole = CameraLine(LEARNING, places_scorer, fused_state(places_scorer), None)
    expected = values_of(whole, frames)
    first = CameraLine(LEARNING, places_scorer, fused_state(places_scorer), None)
    early = values_of(first, frames[:cut])
    snapshot = first.snapshot()
    assert snapshot is not None
    state = fused_state(places_scorer)
    watch = snapshots.restore(state, json.loads(json.dumps(snapshot.state)))
    heir = CameraLine(LEARNING, places_scorer, state, snapshot.cursor, watch=watch)
    cursor = heir.frames.cursor
    assert cursor is not None
    late = values_of(heir, [frame for frame in frames if frame.id > cursor])
    assert early + late == expected
    assert first.take_events() + heir.take_events() == whole.take_events()
    assert heir.state.views.name == whole.state.views.name


def line_of(scorer: Scorer, done: FrameId | None = None) -> CameraLine:
    return CameraLine(camera(), scorer, fresh_state(scorer), done)


def test_a_score_of_an_earlier_frame_comes_with_the_last_of_its_clip(memae: Scorer) -> None:
    line = line_of(memae)
    assert scored(line, [frame(seq) for seq in range(15)]) == []
    assert gaps(line) == [(1, 0, 8, "window")]
    assert line.frames.accounted_id == (1, 7)
    assert scored(line, [frame(seq) for seq in range(15, 17)]) == [(1, 8), (1, 9)]
    assert (line.frames.accounted_id, line.frames.cursor) == ((1, 9), (1, 16))


def test_frames_whose_clip_will_not_be_whole_bear_the_reason_of_the_break(memae: Scorer) -> None:
    line = line_of(memae)
    scored(line, [frame(seq) for seq in range(16)])
    scored(line, [frame(seq) for seq in range(20, 36)])
    assert gaps(line) == [(1, 0, 8, "window"), (1, 9, 19, "lag")]
    assert scored(line, [frame(0, session=2)]) == []
    assert gaps(line)[2] == (1, 29, 7, "window")


def test_what_waits_for_later_frames_is_read_again_after_a_skip(memae: Scorer) -> None:
    line = line_of(memae)
    scored(line, [frame(seq) for seq in range(20)])
    assert line.frames.accounted_id == (1, 12)
    line.skip(FrameId(1, seq) for seq in range(13, 18))
    assert line.frames.cursor == (1, 9)
    assert scored(line, [frame(seq) for seq in range(10, 26)]) == [(1, 18)]
    assert gaps(line) == [(1, 0, 8, "window"), (1, 13, 5, "lag")]


class OneCheckpoint:
    """Stands for the checkpoints of a folder."""

    def signature(self, _model: str) -> str:
        return "same"


def test_a_change_of_the_alert_settings_alone_restarts_no_line() -> None:
    record = camera()
    lines = CameraLines(load_settings(), None, OneCheckpoint())  # type: ignore[arg-type]
    lines.running[record.id] = SimpleNamespace(camera=record, signature="same")  # type: ignore[assignment]
    own = record.model_copy(update={"alert": AlertSettings(threshold=0.9)})
    assert not lines.is_outdated(own)
    assert lines.is_outdated(own.model_copy(update={"revision": own.revision + 1}))


TREE = ZoneSettings(name="tree", kind="ignore", points=[[0.1, 0.1], [0.7, 0.2], [0.4, 0.8]])


@pytest.mark.parametrize("name", ["mnad-pred", "std"])
def test_a_live_camera_with_a_zone_scores_as_an_evaluation_with_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(untrained(TINY_OF[name]))
    clip = np.stack([street(seq) for seq in range(24)])
    monkeypatch.setattr("lookout.models.data.clips.read_clip", lambda *_: clip)
    monkeypatch.setattr("lookout.models.data.clips.frames_expected", lambda *_: 24)
    size = scorer.checkpoint.preprocess
    mask = zone_mask(camera().model_copy(update={"zones": [TREE]}), size)
    assert mask is not None
    (expected,) = score_clips(scorer, [Path("street.mp4")], carry_memory=True, zones=mask)
    line = CameraLine(camera(), scorer, fresh_state(scorer), None, zones=mask)
    line.offer(Frame("a", 1, seq, 100 + seq / 10, street(seq)) for seq in range(24))
    while (frame := line.next_frame()) is not None:
        assert score_batch([(line, frame)]) == []
    outcomes = [one for one in line.outbox.unsent if isinstance(one, ScoredFrame)]
    assert [one.score.psnr_db for one in outcomes] == expected.psnr_db.tolist()
    assert [one.score.distance for one in outcomes] == expected.distance.tolist()
    assert [one.score.local_db for one in outcomes] == expected.local_db.tolist()
    assert not any(one.heat.cells[~mask.cells].any() for one in outcomes)
    (plain,) = score_clips(scorer, [Path("street.mp4")], carry_memory=True)
    assert (plain.psnr_db != expected.psnr_db).all()


def test_a_snapshot_is_of_the_ignored_zones_and_a_memory_of_places_is_not(scorer: Scorer) -> None:
    plain = camera()
    zoned = plain.model_copy(update={"zones": [TREE]})
    assert camera_identity(plain, "x") != camera_identity(zoned, "x")
    size = scorer.checkpoint.preprocess
    assert view_identity(plain, size) == view_identity(zoned, size)


def test_the_scene_watch_does_not_see_an_ignored_zone(scorer: Scorer) -> None:
    """Most of the picture changes, all of it in the zone: no scene change."""
    wide = ZoneSettings(name="all", kind="ignore", points=[[0, 0], [1, 0], [1, 0.9], [0, 0.9]])
    mask = zone_mask(camera().model_copy(update={"zones": [wide]}), scorer.checkpoint.preprocess)
    events = []
    for zones in (mask, None):
        line = CameraLine(camera(), scorer, fresh_state(scorer), None, zones=zones)
        for seq in range(120):
            picture = street(3)
            picture[:28] = 255 - picture[:28] if seq >= 60 else picture[:28]
            line.offer([Frame("a", 1, seq, 100 + seq / 10, picture)])
            line.next_frame()
        events.append([event.kind for event in line.take_events()])
    assert events[0] == []
    assert "scene_change" in events[1]
