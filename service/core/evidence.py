"""Evidence of an alert: the clip and the pictures that alerting asks for, and what became of them.

The clip and the pictures are made where the camera's packets are, at ingest. Times are UTC seconds
by the frames' `captured_at`, unless they are said to be of the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lookout.service.core.messages import Alert

ClipState = Literal["pending", "ready", "failed", "none"]

GRACE_S = 60.0
"""A clip is expected for so long after its end was filmed. Then it has failed."""


@dataclass(frozen=True, slots=True)
class EvidenceRequest:
    """The evidence that alerting asks for. It is asked for anew as the alert goes on."""

    alert: str
    asked_at: float  # by the clock, at first
    begins_at: float  # of the clip
    ends_at: float
    opened_at: float
    peak_at: float
    is_over: bool  # the alert is closed: the times are final

    @classmethod
    def of(
        cls, alert: Alert, before_s: float, after_s: float, most_s: float, now: float
    ) -> EvidenceRequest:
        """Return the request for an alert as it is now.

        before_s, after_s: of the clip, around the alert. most_s: the longest clip. now: UTC s.
        """
        begins_at = alert.opened_at - before_s
        ends_at = begins_at + most_s
        if alert.closed_at is not None:
            ends_at = min(ends_at, max(alert.closed_at, alert.opened_at) + after_s)
        is_over = alert.closed_at is not None
        return cls(alert.id, now, begins_at, ends_at, alert.opened_at, alert.peak_at, is_over)

    def is_due(self, now: float, most_s: float) -> bool:
        """Tell whether a file's evidence is to be made at `now` (UTC s).

        It is read once the alert is over; of a very long alert after as long as a clip may be.
        """
        return self.is_over or now > self.asked_at + most_s

    def is_late(self, now: float) -> bool:
        """Tell whether nobody waits for it any more, at `now` (UTC s)."""
        return self.is_over and now > self.asked_at + self.ends_at - self.begins_at + GRACE_S


@dataclass(frozen=True, slots=True)
class ClipRecord:
    """The outcome of an alert's clip."""

    state: ClipState
    due_at: float = 0.0  # by the clock: a clip that is pending after that has failed
    begins_at: float | None = None  # its first picture
    seconds: float | None = None
    size_bytes: int | None = None
    sha256: str = ""
    error: str = ""

    def at(self, now: float) -> ClipRecord:
        """Return the record as it is to be shown at `now` (UTC s)."""
        if self.state == "pending" and now > self.due_at:
            return replace(self, state="failed", error="ingest has not written it in time")
        return self


NO_CLIP = ClipRecord("none")


def oldest_beyond(requests: Sequence[EvidenceRequest], most: int) -> list[EvidenceRequest]:
    """Return the oldest requests beyond `most`."""
    surplus = max(0, len(requests) - most)
    return sorted(requests, key=lambda request: request.asked_at)[:surplus]
