"""One camera's life, told to a state machine with a fake decoder and a clock of our own."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from lookout.service.core.camera import Camera
from lookout.service.core.errors import Reason
from lookout.service.core.messages import IngestReport
from lookout.service.core.settings import load_settings
from lookout.service.ingest.camera_runner import SLACK_S, START_LIMIT_S, CameraRunner
from lookout.service.ingest.decoder.protocol import EXIT_CODES, DecoderMessage, MessageKind
from lookout.service.ingest.probe import Answer
from lookout.service.ingest.retry import Backoff, HourlyCounter
from lookout.service.ingest.worker import IngestWorker
from tests.ingest_line import camera

SETTINGS = load_settings(connect_timeout_s=10, stall_timeout_s=15, retry_first_s=1, retry_most_s=60)


@dataclass
class FakeChild:
    said: list[DecoderMessage] = field(default_factory=list)
    code: int | None = None
    killed: bool = False
    closed: bool = False

    def say(self, *kinds: MessageKind, **where: object) -> None:
        self.said += [DecoderMessage(kind, **where) for kind in kinds]  # type: ignore[arg-type]

    def read_messages(self) -> list[DecoderMessage]:
        said, self.said = self.said, []
        return said

    def exit_code(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.code = -15

    def kill(self) -> None:
        self.killed, self.code = True, -9

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeAttempts:
    """Addresses that answer at once, and decoders that may start, unless a test says otherwise."""

    error: str = ""
    mute: bool = False
    full: bool = False
    stalled: bool = False
    shows: bool | None = None  # what a trial finds
    asked: list[bool] = field(default_factory=list)  # with `failing`
    tried: list[bool] = field(default_factory=list)  # with `tried`
    wanted: list[tuple[int, bool]] = field(default_factory=list)  # with `failures` and `worked`
    recoveries: int = 0
    cancelled: int = 0

    def ask(self, record: Camera, limit_s: float, *, failing: bool, tried: bool) -> FakeAttempts:
        assert (record.id, limit_s) == ("a", 10)
        self.asked.append(failing)
        self.tried.append(tried)
        return self

    def answer(self) -> Answer | None:
        if self.mute:
            return None
        error = Reason.read(self.error, "", {})
        return Answer(error, self.stalled, self.shows if self.tried[-1] else None)

    def cancel(self) -> None:
        self.cancelled += 1

    def may_start(self, camera: str, failures: int, now: float, *, worked: bool) -> bool:
        del camera, now
        self.wanted.append((failures, worked))
        return not self.full

    def recovered(self) -> None:
        self.recoveries += 1

    def started(self, camera: str) -> None:
        del camera


@dataclass
class Life:
    """A runner, the decoders it started, and the time."""

    now: float = 100.0
    children: list[FakeChild] = field(default_factory=list)
    attempts: FakeAttempts = field(default_factory=FakeAttempts)
    start: Callable[[Camera], FakeChild] | None = None
    before: IngestReport | None = None

    def __post_init__(self) -> None:
        backoff = Backoff(1, 60, 60, random.Random(0))
        self.runner = CameraRunner(
            camera("a", "rtsp://h/1", revision=3),
            SETTINGS,
            self._start,
            self.attempts,
            backoff,
            self.before,
        )

    def _start(self, record: Camera) -> FakeChild:
        self.children.append(self.start(record) if self.start else FakeChild())
        return self.children[-1]

    def after(self, seconds: float) -> IngestReport:
        self.now += seconds
        self.runner.tick(self.now)
        return self.runner.report(self.now, wall_s=1_000_000 + self.now)

    def online(self) -> FakeChild:
        self.after(0)
        child = self.children[-1]
        child.say("ready", "opened")
        child.say("session", session=17)
        child.say("progress", session=17, seq=0, captured_at=5.0, frames=1)
        assert self.after(0.1).state == "online"
        return child


def test_a_camera_starts_and_comes_online() -> None:
    life = Life()
    assert life.after(0).state == "starting"
    life.online()
    report = life.after(0.1)
    assert (report.session, report.last_seq, report.last_captured_at) == (17, 0, 5.0)
    assert (report.revision, report.last_error, report.retry_at) == (3, None, None)


def test_the_budget_learns_which_decoders_show_no_picture() -> None:
    life = Life()
    for _ in range(2):
        life.after(70)
        life.children[-1].code = EXIT_CODES["lost"]
        life.after(0.1)
    life.after(70)
    assert (life.attempts.wanted, life.attempts.recoveries) == (
        [(0, False), (1, False), (2, False)],
        0,
    )
    life.children[-1].say("session", session=17)
    life.after(0.1)
    assert life.attempts.recoveries == 1
    life.children[-1].code = EXIT_CODES["lost"]
    life.after(0.1)
    life.after(70)
    assert life.attempts.wanted[-1] == (0, True)
    assert life.attempts.recoveries == 1


def test_a_camera_that_worked_for_the_worker_before_is_known() -> None:
    life = Life(before=IngestReport("online", 999_999.0, 3, None, session=17))
    life.after(0)
    assert life.attempts.wanted == [(0, True)]


def test_frames_a_second_are_measured_over_the_last_seconds() -> None:
    life = Life()
    child = life.online()
    for index in range(1, 31):
        child.say("progress", session=17, seq=index, captured_at=5.0 + index / 10, frames=1 + index)
        report = life.after(0.1)
    assert report.fps == pytest.approx(10, rel=0.1)


def test_the_end_of_a_file_is_the_end() -> None:
    life = Life()
    child = life.online()
    child.say("ended", session=17, seq=179, captured_at=22.9, frames=180)
    child.code = 0
    report = life.after(0.1)
    assert (report.state, report.last_seq, report.retry_at) == ("ended", 179, None)
    assert life.after(10_000).state == "ended"
    assert len(life.children) == 1
    assert child.closed


def test_what_is_refused_is_not_tried_again() -> None:
    life = Life()
    life.after(0)
    life.children[0].say("ready")
    life.children[0].say("refused", error="there is no model 'x'")
    life.children[0].code = 3
    report = life.after(0.1)
    assert (report.state, report.last_error) == ("failed", "there is no model 'x'")
    assert life.after(10_000).state == "failed"
    assert len(life.children) == 1


def test_a_stream_without_video_is_tried_again_in_an_hour() -> None:
    life = Life()
    life.after(0)
    life.children[0].say("unusable", error="there is no video in it")
    life.children[0].code = 6
    report = life.after(0.1)
    assert (report.state, report.last_error) == ("failed", "there is no video in it")
    assert report.retry_at is not None
    assert life.after(3500).state == "failed"
    assert len(life.children) == 1
    life.after(101)
    assert len(life.children) == 2
    life.children[1].say("session", session=1)
    assert life.after(0.1).state == "online"
    again = Life(before=report)  # by another worker
    again.after(0)
    assert len(again.children) == 1


def test_a_lost_camera_is_tried_again_and_says_when() -> None:
    life = Life()
    child = life.online()
    child.say("lost", error="connection refused")
    child.code = 4
    report = life.after(0.1)
    assert (report.state, report.last_error) == ("reconnecting", "connection refused")
    assert report.retry_at is not None
    assert 1 <= report.retry_at - report.at <= 2
    assert life.after(0.5).state == "reconnecting"
    assert len(life.children) == 1
    trying = life.after(2)
    assert (trying.state, trying.retry_at, len(life.children)) == ("reconnecting", None, 2)
    assert life.runner.reconnects == 1
    life.online()
    assert life.after(0.1).last_error is None


def test_waits_grow_while_it_fails_and_start_anew_after_a_good_minute() -> None:
    life = Life()
    waits = []
    for _ in range(8):
        report = life.after(60)
        life.children[-1].code = 4
        report = life.after(0.1)
        assert report.retry_at is not None
        waits.append(report.retry_at - report.at)
    assert waits[0] <= 2 < waits[2] < waits[4] <= 60
    assert waits[-1] >= 30
    life.now += 60
    child = life.online()
    for _ in range(61):
        child.say("progress", session=17, seq=0, captured_at=5.0, frames=1)
        life.after(1)
    child.code = 4
    report = life.after(0.1)
    assert report.retry_at is not None
    assert report.retry_at - report.at <= 2


def test_a_silent_decoder_is_killed_and_the_camera_is_stalled() -> None:
    life = Life()
    child = life.online()
    assert life.after(15).state == "online"
    report = life.after(SLACK_S + 0.1)
    assert child.killed
    assert (report.state, report.last_error) == ("stalled", "silent for 16 s")
    report = life.after(0.1)
    assert report.retry_at == report.at, "the silence has been waiting enough"
    assert life.after(0.1).state == "stalled"
    assert len(life.children) == 2


def test_one_that_is_cut_again_and_again_waits_longer_too() -> None:
    life, starts = Life(), list[float]()
    while len(life.children) < 9:
        if len(life.children) > len(starts):
            starts.append(life.now)
            life.children[-1].say("ready", "opened")
        life.after(0.5)
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert waits[0] <= SETTINGS.stall_timeout_s + 3
    assert 30 < waits[-1] < 60 + 3


def test_a_decoder_that_does_not_get_through_is_killed() -> None:
    life = Life()
    life.after(0)
    life.children[0].say("ready")
    assert life.after(1).state == "starting"
    report = life.after(10 + SLACK_S + 0.1)
    assert life.children[0].killed
    assert (report.state, report.last_error) == ("reconnecting", "no answer within 11 s")


def test_a_decoder_that_does_not_even_start_is_killed() -> None:
    life = Life()
    life.after(0)
    assert life.after(START_LIMIT_S).state == "starting"
    life.after(0.1)
    assert life.children[0].killed


def test_a_decoder_that_waits_is_not_stalled() -> None:
    life = Life()
    child = life.online()
    for _ in range(100):
        child.say("progress", session=17, seq=0, captured_at=5.0, frames=1, waiting=True)
        report = life.after(1)
    assert (report.state, report.waiting) == ("online", True)


def test_silence_while_redis_is_away_is_excused() -> None:
    life = Life()
    child = life.online()
    for _ in range(10):
        life.now += 10
        life.runner.extend_deadline(life.now)
        life.after(0)
    assert not child.killed


def test_a_decoder_that_was_killed_by_others_is_started_again() -> None:
    life = Life()
    life.online().code = -9
    report = life.after(0.1)
    assert (report.state, report.last_error) == (
        "reconnecting",
        "the decoder ended unexpectedly (SIGKILL)",
    )
    life.after(3)
    assert len(life.children) == 2


def test_a_machine_that_can_start_no_process_is_tried_again() -> None:
    def none_left(_: Camera) -> FakeChild:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    report = Life(start=none_left).after(0)
    assert report.state == "reconnecting"
    assert report.last_error == "no decoder can be started: Resource temporarily unavailable"
    assert report.retry_at is not None


def test_a_new_frame_size_is_told_and_the_camera_stays_online() -> None:
    life = Life()
    child = life.online()
    child.say("session", session=18)
    child.say("notice", session=18, error="frame size changed from 160x120 to 320x240")
    report = life.after(0.1)
    assert (report.state, report.session) == ("online", 18)
    assert report.last_error == "frame size changed from 160x120 to 320x240"


def test_reconnects_and_stalls_are_counted_for_an_hour() -> None:
    life = Life()
    life.online().code = 5  # it says itself that the source is silent
    life.after(0.1)
    report = life.after(2)
    assert (report.reconnects_last_hour, report.stalls_last_hour) == (1, 1)
    life.online().code = 4
    life.after(0.1)
    report = life.after(4)
    assert (report.reconnects_last_hour, report.stalls_last_hour) == (2, 1)
    child = life.online()
    life.after(SETTINGS.stall_timeout_s + SLACK_S + 0.1)
    assert child.killed
    life.after(0.1)
    report = life.after(0.1)
    assert (report.reconnects_last_hour, report.stalls_last_hour) == (3, 2)
    child = life.online()
    for _ in range(361):
        child.say("progress", session=17)
        report = life.after(10)
    assert (report.reconnects_last_hour, report.stalls_last_hour) == (0, 0)


def test_the_counts_of_an_hour_take_no_more_room_the_more_there_is() -> None:
    hour = HourlyCounter()
    for second in range(10_000):
        hour.add(float(second))
    assert 3540 <= hour.count(10_000.0) <= 3600
    assert hour.count(10_000.0 + 3600) == 0
    assert len(hour._minutes) <= 61


def test_damage_is_told_while_it_is_news_of_this_session() -> None:
    life = Life()
    child = life.online()
    for damaged, words in (
        (1, "1 damaged picture passed over"),
        (7, "7 damaged pictures passed over"),
    ):
        child.say("progress", session=17, seq=1, captured_at=5.1, frames=2, damaged=damaged)
        report = life.after(0.1)
        assert (report.state, report.last_error, life.runner.last_error) == ("online", words, None)
    child.say("session", session=18)
    assert life.after(0.1).last_error is None
    child.say("progress", session=18, seq=0, captured_at=5.2, frames=3, damaged=2)
    child.say(
        "lost", session=18, seq=0, captured_at=5.2, frames=3, damaged=2, error="the stream ended"
    )
    child.code = 4
    assert life.after(0.1).last_error == "the stream ended"


@pytest.mark.parametrize("state", ["ended", "failed"])
def test_a_restarted_worker_leaves_what_had_ended_alone(state: str) -> None:
    before = IngestReport(state, at=1.0, revision=3, last_error="why", session=17, last_seq=9)  # type: ignore[arg-type]
    life = Life(before=before)
    report = life.after(0)
    assert (report.state, report.last_error, report.session, report.last_seq) == (
        state,
        "why",
        17,
        9,
    )
    assert life.children == []


@pytest.mark.parametrize(("state", "revision"), [("ended", 2), ("online", 3), ("reconnecting", 3)])
def test_a_restarted_worker_starts_everything_else(state: str, revision: int) -> None:
    life = Life(before=IngestReport(state, at=1.0, revision=revision))  # type: ignore[arg-type]
    assert life.after(0).state == "starting"
    assert len(life.children) == 1


def test_a_runner_that_is_given_up_rests() -> None:
    life = Life()
    child = life.online()
    life.runner.fail(Reason("ingest failed: KeyError"))
    assert child.killed
    report = life.after(0.1)
    assert (report.state, report.last_error) == ("failed", "ingest failed: KeyError")
    assert life.after(100).state == "failed"
    assert len(life.children) == 1


def test_an_address_that_does_not_answer_starts_no_decoder() -> None:
    life = Life(attempts=FakeAttempts(error="connection refused"))
    report = life.after(0)
    assert (report.state, report.last_error) == ("reconnecting", "connection refused")
    assert report.retry_at is not None
    for _ in range(10):
        life.after(60)
    assert life.children == []
    assert life.runner.reconnects == 10
    assert life.attempts.asked == [False, *[True] * 10]
    life.attempts.error = ""
    life.after(60)
    assert life.online()
    assert life.after(0.1).last_error is None


def test_a_probe_that_runs_is_waited_for_and_given_up_with_the_camera() -> None:
    life = Life(attempts=FakeAttempts(mute=True))
    assert life.after(0).state == "starting"
    assert life.after(9).state == "starting"
    life.runner.end_attempt()
    assert life.attempts.cancelled == 1
    assert life.children == []


def test_a_decoder_waits_for_its_turn() -> None:
    life = Life(attempts=FakeAttempts(full=True))
    assert life.after(0).state == "starting"
    assert life.after(100).state == "starting"
    assert life.children == []
    life.attempts.full = False
    life.after(0.1)
    assert len(life.children) == 1
    assert life.attempts.asked == [False]


def failed_once() -> Life:
    """A camera that answers, and whose first decoder got nothing."""
    life = Life()
    life.after(0)
    life.children[0].code = 4
    life.after(0.1)
    return life


def test_a_camera_whose_decoder_failed_is_tried_without_one() -> None:
    life = failed_once()
    life.attempts.error = "404 not found"
    for _ in range(10):
        report = life.after(60)
        assert (report.state, report.last_error) == ("reconnecting", "404 not found")
    life.attempts.stalled = True
    assert life.after(60).state == "stalled"
    assert life.after(0).stalls_last_hour == 1
    assert life.attempts.tried == [False, *[True] * 11]
    assert len(life.children) == 1
    life.attempts.error = ""
    life.attempts.shows = True
    life.after(60)
    assert len(life.children) == 2
    assert life.attempts.wanted[-1] == (0, False)  # like one that never failed
    life.online()
    life.children[-1].code = 4
    life.after(0.1)
    life.after(60)
    assert not life.attempts.tried[-1]  # a camera that works gets a decoder


@pytest.mark.parametrize("shows", [True, False])
def test_a_trial_that_was_wrong_or_cannot_tell_is_not_repeated(shows: bool) -> None:
    life = failed_once()
    life.attempts.shows = shows
    life.after(60)
    life.children[-1].code = 4
    life.after(0.1)
    life.after(60)
    assert life.attempts.tried == [False, True, False]
    assert life.attempts.wanted[-1] == (2, False)
    life.online()
    life.children[-1].code = 1
    life.after(0.1)
    life.after(60)
    life.children[-1].code = 4
    life.after(0.1)
    life.after(60)
    assert life.attempts.tried[-1]  # since it worked, trials tell again


def test_a_trial_that_was_not_made_leaves_the_camera_to_the_slow_rate() -> None:
    life = failed_once()
    life.after(60)
    assert life.attempts.wanted[-1] == (1, False)
    life.children[-1].code = 4
    life.after(0.1)
    life.after(60)
    assert life.attempts.tried == [False, True, True]


def test_a_camera_that_was_online_is_asked_again_as_one_that_works() -> None:
    life = Life()
    life.online().code = 4
    life.after(0.1)
    life.after(2)
    assert life.attempts.asked == [False, False]
    life.children[-1].code = 4
    life.after(0.1)
    life.after(4)
    assert life.attempts.asked == [False, False, True]


def test_an_address_that_is_not_taken_is_refused_without_being_asked() -> None:
    life = Life()
    life.runner.camera = camera("a", "ftp://h/1", revision=3)
    report = life.after(0)
    assert report.state == "failed"
    assert "rtsp://" in (report.last_error or "")
    assert life.attempts.asked == []
    assert life.children == []


def test_a_camera_without_its_password_is_left_to_its_decoder() -> None:
    life = Life(attempts=FakeAttempts(error="connection refused"))
    life.runner.camera = camera("a", "rtsp://***@h/1", revision=3, unreadable="another key")
    life.after(0)
    assert life.attempts.asked == []
    assert len(life.children) == 1


@dataclass
class FakeBus:
    """What a worker writes: the cameras of each round trip."""

    told: list[dict[str, IngestReport]] = field(default_factory=list)

    def report_ingests(self, reports: dict[str, IngestReport]) -> None:
        self.told.append(reports)

    def count(self, *_: object) -> None:
        pass


def test_attempts_of_cameras_that_stay_away_are_told_together() -> None:
    """A hundred of them try at as many moments: a round trip for each would be most of the CPU."""
    bus, lives = FakeBus(), [Life(attempts=FakeAttempts("connection refused")) for _ in range(3)]
    taken = SimpleNamespace(name="w", leases=None)
    worker = IngestWorker(SETTINGS, bus, None, taken, None, None)  # type: ignore[arg-type]
    worker.runners = {str(number): life.runner for number, life in enumerate(lives)}
    for life in lives:
        life.after(0)
    worker.report(100.0)  # a change of state is told at once
    assert [set(told) for told in bus.told] == [{"0", "1", "2"}]
    before = [life.runner.retry_at for life in lives]
    for number, life in enumerate(lives):
        life.after(2.1 + 0.1 * number)
        worker.report(life.now)
    assert [life.runner.retry_at for life in lives] != before
    assert len(bus.told) == 1
    worker.report(103.0)
    assert [set(told) for told in bus.told[1:]] == [{"0", "1", "2"}]
