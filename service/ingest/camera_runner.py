"""State machine of one camera: probe its address, start a decoder, follow it, retry later.

    starting ──▶ online ──▶ ended | failed                   (final, until the camera is changed;
        │          │                       a stream without video is tried again in an hour)
        └──────────┴──────▶ reconnecting | stalled ──back-off──▶ online

It is driven by a clock, never waits, and knows neither Redis nor processes.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from lookout.service.core import urls
from lookout.service.core.camera import Camera
from lookout.service.core.errors import Reason, SourceRefusedError, reason_fields
from lookout.service.core.messages import IngestReport
from lookout.service.core.settings import Settings
from lookout.service.ingest.attempts import AttemptBudget
from lookout.service.ingest.decoder.process import DecoderHandle
from lookout.service.ingest.decoder.protocol import EXIT_CODES, DecoderMessage
from lookout.service.ingest.probe import Probe, no_answer
from lookout.service.ingest.retry import Backoff, HourlyCounter

Condition = tuple[str, Reason | None, int | None]
"""State, error and session of a camera: reported and logged at once when one of them changes."""

State = Literal["starting", "online", "reconnecting", "stalled", "ended", "failed"]
FINAL_STATES = ("ended", "failed")
START_LIMIT_S = 60.0  # for a process to load its libraries, on a machine that starts many
SLACK_S = 1.0  # the decoder's own time-outs come first: they say more
FPS_OVER_S = 5.0
UNUSABLE_RETRY_S = 3600.0  # for a stream without video: somebody has to change the camera
MOST_FPS_OVER_S = 60.0

STATE_OF_EXIT_CODE: dict[int, State] = {
    EXIT_CODES["ended"]: "ended",
    EXIT_CODES["refused"]: "failed",
    EXIT_CODES["unusable"]: "failed",
    EXIT_CODES["lost"]: "reconnecting",
    EXIT_CODES["stalled"]: "stalled",
}


@dataclass(slots=True)
class FrameRate:
    """Frames kept per second over the last `over_s`, from a running total."""

    over_s: float = FPS_OVER_S
    _totals: deque[tuple[float, int]] = field(default_factory=deque)  # (monotonic s, frames)

    def add(self, now: float, frames: int) -> None:
        """Note that the decoder had kept `frames` in all at `now`."""
        self._totals.append((now, frames))

    def clear(self) -> None:
        """Forget every total: another decoder counts from 0."""
        self._totals.clear()

    def fps(self, now: float) -> float | None:
        """Return frames per second; None before one second has been measured."""
        while len(self._totals) > 1 and self._totals[1][0] <= now - self.over_s:
            self._totals.popleft()
        if not self._totals or now - self._totals[0][0] < 1.0:
            return None
        return (self._totals[-1][1] - self._totals[0][1]) / (now - self._totals[0][0])


class CameraRunner:
    """Keep the decoder of one camera running, and report its state.

    Every `now` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        camera: Camera,
        settings: Settings,
        spawn: Callable[[Camera], DecoderHandle],
        attempts: AttemptBudget,
        backoff: Backoff,
        before: IngestReport | None = None,
    ) -> None:
        """Take over from `before`, the last report of this camera.

        A camera of the same revision that ended or failed stays so.
        """
        self.camera = camera
        self.decoder: DecoderHandle | None = None
        self.state: State = "starting"
        self.last_error: Reason | None = None
        self.reconnects = 0  # not yet counted on the bus
        self._hourly_reconnects = HourlyCounter()
        self._hourly_stalls = HourlyCounter()
        self._settings = settings
        self._spawn = spawn
        self._attempts = attempts
        self._backoff = backoff
        self._attempting = False  # a probe runs, or a decoder waits for its turn
        self._probe: Probe | None = None
        self._was_away = False  # the last attempt brought no picture, by this worker or another
        self._failed_decoders = 0  # in a row, of an address that answers
        self._tried = False  # a trial got packets of it in this attempt
        self._trials_tell = True  # whether a decoder shows pictures, as far as is known
        self._has_worked = False  # a decoder of this runner, or of the worker before, had pictures
        self._last = DecoderMessage("ready")  # the newest message that named a session
        self._retry_at: float | None = None
        self._deadline = 0.0
        self._limit_s = START_LIMIT_S
        self._killed_as: State | None = None
        self._opened = False
        self._online_since: float | None = None
        # A camera that may be silent for long sends few frames: they are counted for longer.
        own_silence_s = min(camera.stall_timeout_s or 0.0, MOST_FPS_OVER_S)
        self._rate = FrameRate(max(FPS_OVER_S, own_silence_s))
        if before is None or before.revision != camera.revision:
            return
        self._was_away = before.state == "reconnecting"
        self._has_worked = before.session is not None
        if before.state in FINAL_STATES and before.retry_at is None:
            self.state = before.state
            self.last_error = before.reason
            self._last = DecoderMessage(
                "ended", before.session, before.last_seq, before.last_captured_at
            )

    @property
    def condition(self) -> Condition:
        """The state, with what explains it."""
        return (self.state, self.last_error, self.session)

    @property
    def retry_at(self) -> float | None:
        """The time of the next attempt; None while one is under way, or none will be."""
        return self._retry_at

    @property
    def session(self) -> int | None:
        """The newest session that a decoder has begun."""
        return self._last.session

    def tick(self, now: float) -> None:
        """Do what is due at `now`: go on with an attempt, or read the decoder and its end."""
        if self.decoder is None:
            is_due = self._attempting or self.state not in FINAL_STATES
            if self._retry_at is not None:
                is_due = now >= self._retry_at
            if is_due:
                self._attempt(now)
            return
        code = self.decoder.exit_code()  # before reading: its last messages are in the pipe by now
        for message in self.decoder.read_messages():
            self.handle(message, now)
        if code is not None:
            self._finish(self.decoder, code, now)
        elif now > self._deadline and self._killed_as is None:
            self._kill_silent(self.decoder)

    def handle(self, message: DecoderMessage, now: float) -> None:
        """Take in one message: it moves the deadline, and its session brings the camera online."""
        self._attempts.started(self.camera.id)  # its libraries are loaded
        if message.error:
            self.last_error = message.reason
        if message.session is not None:
            self._last = message
            self._rate.add(now, message.frames)
        self._opened |= message.kind == "opened"
        limit_s = self.camera.first_picture_limit_s(self._settings.connect_timeout_s)
        if self._opened:
            limit_s = self.camera.stall_limit_s(self._settings.stall_timeout_s)
        self._set_deadline(limit_s + SLACK_S, now)
        if message.kind == "session":
            self.state = "online"
            self.last_error = None
            self._was_away = False
            if self._failed_decoders:
                self._attempts.recovered()
            self._failed_decoders = 0
            self._trials_tell = True
            self._has_worked = True
            if self._online_since is None:
                self._online_since = now

    def extend_deadline(self, now: float) -> None:
        """Restart the decoder's time limit: Redis was away, and a silent decoder waited for it."""
        self._deadline = now + self._limit_s

    def fail(self, error: Reason) -> None:
        """Kill the decoder, if any, and stay `failed` until the camera is changed."""
        self.end_attempt()
        if self.decoder is not None:
            self.decoder.kill()
        self.state = "failed"
        self.last_error = error
        self._killed_as = "failed"
        self._retry_at = None

    def report(self, now: float, wall_s: float) -> IngestReport:
        """Return the report at `now`; `wall_s`: the same moment in UTC seconds."""
        report = IngestReport(
            state=self.state,
            at=wall_s,
            revision=self.camera.revision,
            **reason_fields("last_error", self.last_error),
            session=self.session,
            last_seq=self._last.seq,
            last_captured_at=self._last.captured_at,
            reconnects_last_hour=self._hourly_reconnects.count(now),
            stalls_last_hour=self._hourly_stalls.count(now),
        )
        if self._retry_at is not None:
            report = replace(report, retry_at=wall_s + self._retry_at - now)
        if self._last.uptime_s is not None:
            report = replace(report, frame_age_s=now - self._last.uptime_s)
        if self.state != "online":
            return report
        # Damage is no change of its own to log: on a bad line it grows all the time.
        return replace(
            report,
            **reason_fields("last_error", describe_damage(self._last.damaged) or self.last_error),
            fps=self._rate.fps(now),
            waiting=self._last.waiting,
        )

    def end_attempt(self) -> None:
        """Give up the attempt under way, if any: other cameras have their turn."""
        if self._probe is not None:
            self._probe.cancel()
        self._probe = None
        self._attempting = False
        self._attempts.started(self.camera.id)

    def _attempt(self, now: float) -> None:
        """Probe the address; where a camera answers, start a decoder as soon as it has its turn."""
        if not self._attempting:
            self._begin_attempt(now)
        if self._probe is not None:
            answer = self._probe.answer()
            if answer is None:
                return
            self._probe = None
            if answer.error is not None:
                self.last_error = answer.error
                if answer.stalled:
                    self._hourly_stalls.add(now)
                self._retry_later("stalled" if answer.stalled else "reconnecting", now)
                return
            self._tried = answer.shows is True
            self._trials_tell &= answer.shows is not False
        failures = 0 if self._tried else self._failed_decoders
        if self._attempting and self._attempts.may_start(
            self.camera.id, failures, now, worked=self._has_worked
        ):
            self._start_decoder(now)

    def _begin_attempt(self, now: float) -> None:
        if self.state != "starting":
            self.reconnects += 1
            self._hourly_reconnects.add(now)
        self._retry_at = None
        self._online_since = None
        self._tried = False
        # A camera without its password is the decoder's to refuse, whether it answers or not.
        if not urls.is_file(self.camera.url) and self.camera.unreadable is None:
            try:
                urls.check(self.camera.url, self._settings.media_dir)
            except SourceRefusedError as error:
                self.fail(error.reason)
                return
            self._probe = self._attempts.ask(
                self.camera,
                self._settings.connect_timeout_s,
                failing=self._was_away,
                tried=self._failed_decoders > 0 and self._trials_tell,
            )
        self._attempting = True

    def _start_decoder(self, now: float) -> None:
        self._attempting = False
        self._online_since = None
        self._killed_as = None
        self._opened = False
        self._rate.clear()
        self._set_deadline(START_LIMIT_S, now)
        try:
            self.decoder = self._spawn(self.camera)
        except ValueError as error:
            self.fail(Reason(error, code="source_long_record"))
        except OSError as error:
            why = error.strerror or type(error).__name__
            said = f"no decoder can be started: {why}"
            self.last_error = Reason(said, code="source_no_decoder", why=why)
            self._retry_later("reconnecting", now)

    def _set_deadline(self, limit_s: float, now: float) -> None:
        self._limit_s = limit_s
        self._deadline = now + limit_s

    def _kill_silent(self, decoder: DecoderHandle) -> None:
        """Kill a decoder that hangs in libav, where libav's own time-outs do not reach."""
        decoder.kill()
        self.state = "reconnecting"
        self.last_error = no_answer(self._limit_s)
        if self._opened:
            self.state = "stalled"
            said = f"silent for {self._limit_s:g} s"
            self.last_error = Reason(said, code="source_silent", seconds=self._limit_s)
        self._killed_as = self.state

    def _finish(self, decoder: DecoderHandle, code: int, now: float) -> None:
        decoder.close()
        self.decoder = None
        self._attempts.started(self.camera.id)
        if self._online_since is None:
            self._failed_decoders += 1
            self._trials_tell &= not self._tried
        state = self._killed_as or STATE_OF_EXIT_CODE.get(code)
        if state is None:
            state = "reconnecting"
            how = describe_exit(code)
            said = f"the decoder ended unexpectedly ({how})"
            self.last_error = Reason(said, code="source_decoder_ended", how=how)
        if state == "stalled":
            self._hourly_stalls.add(now)
        if state in FINAL_STATES:
            self.state = state
            if code == EXIT_CODES["unusable"]:
                self._retry_at = now + UNUSABLE_RETRY_S
        elif self._killed_as:  # the silence before the kill counts as waiting
            self._retry_later(state, now, waited_s=self._limit_s)
        else:
            self._retry_later(state, now)

    def _retry_later(self, state: State, now: float, waited_s: float = 0.0) -> None:
        self.end_attempt()
        self._was_away = self._online_since is None
        self.state = state
        ran_s = 0.0 if self._online_since is None else now - self._online_since
        self._retry_at = now + max(0.0, self._backoff.delay_s(ran_s) - waited_s)


def describe_damage(packets: int) -> Reason | None:
    """Return a line on the pictures that this session could not decode; None for none."""
    if not packets:
        return None
    plural = "s" if packets > 1 else ""
    said = f"{packets} damaged picture{plural} passed over"
    return Reason(said, code="source_damage", count=packets)


def describe_exit(code: int) -> str:
    """Return the name of the signal that ended a process, or its exit code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
