"""The decoder's side of the line to its worker: it says where it stands, often enough and not too often."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TextIO

from lookout.service.core.urls import mask
from lookout.service.ingest.decoder.protocol import MAX_ERROR, Kind, Said

QUIET_S = 0.2  # at most five lines a second


@dataclass(slots=True)
class Talk:
    """Holds what is known of the decoder and writes it. Raises SystemExit where the worker is gone."""

    out: TextIO
    clock: Callable[[], float] = time.monotonic
    now: Said = field(default_factory=lambda: Said("ready"))
    _said_at: float = -QUIET_S

    def say(self, kind: Kind, error: str | None = None) -> None:
        """A line that must be heard."""
        text = mask(error)[:MAX_ERROR] if error else None
        self._write(replace(self.now, kind=kind, error=text))

    def alive(self, waiting: bool = False) -> None:
        """A sign of life; a line where the last is QUIET_S old or `waiting` changes."""
        changed = waiting != self.now.waiting
        self.now = replace(self.now, waiting=waiting)
        if changed or self.clock() - self._said_at >= QUIET_S:
            self._write(replace(self.now, kind="progress"))

    def session(self, session: int) -> None:
        self.now = replace(self.now, session=session, seq=None, damaged=0)
        self.say("session")

    def kept(self, seq: int, captured_at: float) -> None:
        self.now = replace(self.now, seq=seq, captured_at=captured_at, frames=self.now.frames + 1)

    def damaged(self) -> None:
        self.now = replace(self.now, damaged=self.now.damaged + 1)

    def _write(self, said: Said) -> None:
        self._said_at = self.clock()
        try:
            self.out.write(said.dump())
            self.out.flush()
        except OSError:
            raise SystemExit(0) from None
