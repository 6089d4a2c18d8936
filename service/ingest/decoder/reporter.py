"""The decoder's side of the protocol: messages to the worker, often enough and not too often."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TextIO

from lookout.service.core.clock import Moment
from lookout.service.core.errors import Reason
from lookout.service.ingest.decoder.protocol import DecoderMessage, MessageKind, error_fields

QUIET_S = 0.2  # at most five progress messages a second


@dataclass(slots=True)
class Reporter:
    """Keep the decoder's status and write it as messages.

    Every method that writes raises SystemExit where the worker is gone.
    """

    out: TextIO
    clock: Callable[[], float] = time.monotonic
    status: DecoderMessage = field(default_factory=lambda: DecoderMessage("ready"))
    _written_at: float = -QUIET_S

    def send(self, kind: MessageKind, error: Reason | None = None) -> None:
        """Write a message now; passwords in `error` are masked."""
        self.write(replace(self.status, kind=kind, **error_fields(error)))

    def heartbeat(self, waiting: bool = False) -> None:
        """Write a progress message if the last is QUIET_S old or `waiting` changes."""
        changed = waiting != self.status.waiting
        self.status = replace(self.status, waiting=waiting)
        if changed or self.clock() - self._written_at >= QUIET_S:
            self.write(replace(self.status, kind="progress"))

    def begin_session(self, session: int) -> None:
        """Write that a session has begun; its frames and damage are counted from 0."""
        self.status = replace(self.status, session=session, seq=None, damaged=0)
        self.send("session")

    def note_frame(self, seq: int, captured: Moment) -> None:
        """Count a frame that is done, for the next message."""
        self.status = replace(
            self.status,
            seq=seq,
            captured_at=captured.utc_s,
            uptime_s=captured.uptime_s,
            frames=self.status.frames + 1,
        )

    def note_damage(self) -> None:
        """Count a packet that could not be decoded, for the next message."""
        self.status = replace(self.status, damaged=self.status.damaged + 1)

    def write(self, message: DecoderMessage) -> None:
        """Write one message. Raises SystemExit where nobody reads it."""
        self._written_at = self.clock()
        try:
            self.out.write(message.dump())
            self.out.flush()
        except OSError:
            raise SystemExit(0) from None


def reserve_stdout() -> TextIO:
    """Return standard output for the messages; other prints go to standard error from now on."""
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return own
