"""The daily self-test of a camera: would it notice an anomaly that is made into its own frames?"""

from __future__ import annotations

from dataclasses import dataclass

RETRY_S = 3600.0
"""A test that could not be made is tried again after so long."""

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The result of one test. Nobody is told of what it makes: it works on a copy."""

    at: float  # s, UTC
    revision: int  # of the camera
    made: int = 0  # anomalies; 0: the test could not be made
    noticed: int = 0  # of them, those that opened an alert
    peak: float = 0.0  # highest value in frames with an anomaly
    threshold: float = 0.0  # of the camera's alerts
    reason: str = ""  # why it could not be made

    @property
    def is_blind(self) -> bool:
        """Whether the camera would notice nothing of what was made."""
        return self.made > 0 and self.noticed == 0

    @property
    def sentence(self) -> str:
        """A line for a person about a camera that is blind."""
        return (
            f"it would not notice an anomaly: {self.made} were made into a copy of its frames, the "
            f"highest value was {self.peak:.2f}, and its alerts open at {self.threshold:.2f}"
        )

    def is_due_again(self, now: float, every_s: float, revision: int) -> bool:
        """Tell whether a camera is to be tested again; every_s: time between two tests."""
        wait_s = every_s if self.made else min(RETRY_S, every_s)
        if self.revision != revision:
            wait_s = min(RETRY_S, every_s)
        return not 0 <= now - self.at < wait_s
