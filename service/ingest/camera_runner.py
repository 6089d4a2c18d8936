"""One camera's life: start a decoder, follow it, cut it when it is silent, try again later.

    starting ──▶ online ──▶ ended | failed                              (rest, until the camera is changed)
        └──────────┴──────▶ reconnecting | stalled ──back-off──▶ online

A state machine fed with a clock; it never waits, and knows neither Redis nor processes.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from typing import Literal

from lookout.service.core.camera import Camera
from lookout.service.core.messages import IngestReport
from lookout.service.core.settings import Settings
from lookout.service.ingest.backoff import Backoff
from lookout.service.ingest.decoder.process import Child
from lookout.service.ingest.decoder.protocol import EXIT_CODES, Said
from lookout.service.ingest.hourly import LastHour

State = Literal["starting", "online", "reconnecting", "stalled", "ended", "failed"]
RESTING = ("ended", "failed")
START_LIMIT_S = 60.0  # for a process to load its libraries, on a machine that starts many
SLACK_S = 1.0  # the decoder's own time-outs come first: they say more
FPS_OVER_S = 5.0

_BY_CODE: dict[int, State] = {
    EXIT_CODES["ended"]: "ended",
    EXIT_CODES["refused"]: "failed",
    EXIT_CODES["lost"]: "reconnecting",
    EXIT_CODES["stalled"]: "stalled",
}


class Runner:
    def __init__(
        self,
        camera: Camera,
        settings: Settings,
        start: Callable[[Camera], Child],
        backoff: Backoff,
        before: IngestReport | None = None,
    ) -> None:
        """`before`: what was last reported of this very camera; one that had ended or failed stays so."""
        resting = (
            before is not None and before.revision == camera.revision and before.state in RESTING
        )
        known = before if resting else None
        self.camera = camera
        self.child: Child | None = None
        self.state: State = known.state if known else "starting"
        self.last_error: str | None = known.last_error if known else None
        self.reconnects = 0  # not yet counted on the bus
        self._reconnects, self._stalls = LastHour(), LastHour()
        self._settings = settings
        self._start = start
        self._backoff = backoff
        self._last = _last_of(known)  # the decoder's last line that named a frame
        self._retry_at: float | None = None  # on the same clock as tick's `now`
        self._deadline = 0.0
        self._limit_s = START_LIMIT_S
        self._cut_as: State | None = None
        self._opened = False
        self._online_since: float | None = None
        self._pace: deque[tuple[float, int]] = deque()

    @property
    def session(self) -> int | None:
        return self._last.session

    def tick(self, now: float) -> None:
        """Do what is due at `now` (s, a clock that only goes forward)."""
        if self.child is not None:
            self._follow(self.child, now)
        elif self.state not in RESTING and (self._retry_at is None or now >= self._retry_at):
            self._begin(now)

    def excuse(self, now: float) -> None:
        """Redis was away: a silent decoder may have waited for it, so its time begins anew."""
        self._deadline = now + self._limit_s

    def give_up(self, error: str) -> None:
        """Rest as failed, whatever was going on."""
        if self.child is not None:
            self.child.kill()
        self.state, self.last_error, self._cut_as = "failed", error, "failed"

    def report(self, now: float, wall_s: float) -> IngestReport:
        """`wall_s`: the same moment as `now`, in UTC seconds."""
        online = self.state == "online"
        return IngestReport(
            state=self.state,
            at=wall_s,
            revision=self.camera.revision,
            last_error=self._damage() or self.last_error,
            session=self.session,
            last_seq=self._last.seq,
            last_captured_at=self._last.captured_at,
            fps=self._fps(now) if online else None,
            waiting=online and self._last.waiting,
            retry_at=None if self._retry_at is None else wall_s + self._retry_at - now,
            reconnects_last_hour=self._reconnects.count(now),
            stalls_last_hour=self._stalls.count(now),
        )

    def _damage(self) -> str | None:
        """Of this session, while it lasts. No news of its own: on a bad line it changes all the time."""
        damaged = self._last.damaged if self.state == "online" else 0
        return (
            f"{damaged} damaged picture{'s' if damaged > 1 else ''} passed over"
            if damaged
            else None
        )

    # Following a decoder

    def _begin(self, now: float) -> None:
        if self.state != "starting":
            self.reconnects += 1
            self._reconnects.add(now)
        self._retry_at = self._online_since = self._cut_as = None
        self._opened = False
        self._pace.clear()
        self._allow(START_LIMIT_S, now)
        try:
            self.child = self._start(self.camera)
        except ValueError as error:
            self.state, self.last_error = "failed", str(error)
        except OSError as error:
            self.last_error = f"no decoder can be started: {error.strerror}"
            self._try_later("reconnecting", now)

    def _follow(self, child: Child, now: float) -> None:
        code = child.exit_code()  # before hearing: what it said last is in the pipe by now
        for line in child.hear():
            self._heed(line, now)
        if code is not None:
            self._after(code, now)
        elif now > self._deadline and self._cut_as is None:
            self._cut(child)

    def _heed(self, said: Said, now: float) -> None:
        if said.error:
            self.last_error = said.error
        if said.session is not None:
            self._last = said
            self._pace.append((now, said.frames))
        self._opened |= said.kind == "opened"
        silence_s = (
            self._settings.stall_timeout_s if self._opened else self._settings.connect_timeout_s
        )
        self._allow(silence_s + SLACK_S, now)
        if said.kind == "session":
            self._come_online(now)

    def _come_online(self, now: float) -> None:
        self.state, self.last_error = "online", None
        if self._online_since is None:
            self._online_since = now

    def _allow(self, limit_s: float, now: float) -> None:
        self._limit_s, self._deadline = limit_s, now + limit_s

    def _cut(self, child: Child) -> None:
        """It was silent for too long: libav hangs where its own time-outs do not reach."""
        child.kill()
        self._cut_as = self.state = "stalled" if self._opened else "reconnecting"
        self.last_error = (
            f"{'silent for' if self._opened else 'no answer within'} {self._limit_s:g} s"
        )

    def _after(self, code: int, now: float) -> None:
        assert self.child is not None  # noqa: S101
        self.child.close()
        self.child = None
        state = self._cut_as or _BY_CODE.get(code)
        if state is None:
            state, self.last_error = (
                "reconnecting",
                f"the decoder ended unexpectedly ({_exit(code)})",
            )
        if state == "stalled":
            self._stalls.add(now)
        if state in RESTING:
            self.state = state
        else:
            # Of one that was cut, the silence has been waiting enough.
            self._try_later(state, now, waited_s=self._limit_s if self._cut_as else 0.0)

    def _try_later(self, state: State, now: float, waited_s: float = 0.0) -> None:
        self.state = state
        ran_s = 0.0 if self._online_since is None else now - self._online_since
        self._retry_at = now + max(0.0, self._backoff.delay_s(ran_s) - waited_s)

    def _fps(self, now: float) -> float | None:
        """Frames kept a second over the last FPS_OVER_S."""
        while len(self._pace) > 1 and self._pace[1][0] <= now - FPS_OVER_S:
            self._pace.popleft()
        if not self._pace or now - self._pace[0][0] < 1.0:
            return None
        return (self._pace[-1][1] - self._pace[0][1]) / (now - self._pace[0][0])


def _last_of(report: IngestReport | None) -> Said:
    if report is None:
        return Said("ready")
    return Said("ended", report.session, report.last_seq, report.last_captured_at)


def _exit(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
