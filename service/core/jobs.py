"""Jobs of the stage `learning`: a camera's own network, from recording to promotion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from lookout.service.core.camera import STRICT, ScoreScheme
from lookout.service.core.errors import NO_REASON, Reason, Value

JobState = Literal[
    "queued", "recording", "training", "shadow", "trained", "promoted", "failed", "cancelled"
]
Promotion = Literal["rule", "hand"]
LeftOutAnswer = Literal["include", "drop"]

NO_WORKER = Reason("no learning worker is running (LOOKOUT_LEARNING_WORKERS)", code="job_no_worker")
ACTIVE: frozenset[JobState] = frozenset({"queued", "recording", "training", "shadow"})
"""A camera has at most one job in these states. In the others a job is over."""

AUC_TOLERANCE = 0.5
"""Percentage points by which the AUC of made anomalies may be lower: what a draw of them varies."""

RECALL_TOLERANCE = 10.0
"""Percentage points by which the recall of made anomalies may be lower: some three of thirty."""

ABOVE_TOLERANCE = 5.0
"""Percentage points of the live frames by which more may lie at the threshold or above."""


class LearnRequest(BaseModel):
    """The body of a request for a job; each unset field is the setting `LOOKOUT_LEARNING_*`."""

    model_config = STRICT

    footage_s: Annotated[float, Field(ge=1, le=86_400)] | None = Field(
        default=None, description="seconds of footage to wait for", examples=[300.0]
    )
    minutes: Annotated[float, Field(gt=0, le=10_080)] | None = Field(
        default=None, description="of training, in seconds of one CPU thread", examples=[10.0]
    )
    shadow_s: Annotated[float, Field(ge=0, le=86_400)] | None = Field(
        default=None,
        description="seconds of live footage to score old and new on side by side; 0: none",
        examples=[300.0],
    )
    recording: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description="name of a file below the media folder that shows normal footage of this "
        "camera: it is read at once, in place of the footage that Lookout records",
        examples=["gate/monday.mp4"],
    )
    promote: Promotion = Field(
        default="rule",
        description="`rule`: the camera takes the new checkpoint if it measures no worse than the "
        "present one; `hand`: it waits for `POST /jobs/{id}/promote`",
        examples=["rule"],
    )


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Figures of a checkpoint on the job's held-out footage."""

    psnr_db: float
    auc_percent: float | None  # of made anomalies; None where the clips are too short for any


@dataclass(frozen=True, slots=True)
class Shadow:
    """Figures of the checkpoint before training and the new one on the same live footage.

    Shares are in percent, at the camera's threshold.
    """

    frames: int  # scored by both
    agreement_percent: float  # frames that both or neither put at the threshold or above
    rank_correlation: float | None  # of the values; None where one is constant
    old_above_percent: float  # frames at the threshold or above
    new_above_percent: float
    made: int  # made anomalies
    old_recall_percent: float  # of them, with a frame at the threshold or above
    new_recall_percent: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A segment that a training left out: of the strangest share of the footage."""

    id: str  # of its first frame
    job: int  # number of the job that left it out
    begins_at: float  # captured, s, UTC epoch
    seconds: float
    psnr_db: float  # of its worst window, by the checkpoint that training began with
    answer: LeftOutAnswer | None = None  # of a person, for the next training


@dataclass(frozen=True, slots=True)
class LearningJob:
    """One attempt to learn a camera. Times are UTC seconds since the epoch."""

    camera: str
    state: JobState
    created_at: float
    changed_at: float  # of its state
    footage_s: float  # that training waits for
    limit_s: float  # of training
    promote: Promotion
    recording: str = ""  # file below the media folder to learn from; "": the recorded footage
    shadow_s: float = 0.0  # of live footage that old and new are compared on; 0: none
    number: int = 0  # counts the jobs of a camera from 1; 0: not in the store yet
    recorded_s: float = 0.0  # of footage that can be trained on
    progress: float = 0.0  # of its state, 0 to 1
    left_s: float | None = None  # of its state, estimated; None: unknown
    paused: bool = False  # training stands still: live scores come first
    reason: str = ""  # one line: why it waits, failed or is not promoted
    replaces: str = ""  # name of the camera's model when training began
    started_from: str = ""  # name of the checkpoint that training began with
    is_first_network: bool = False  # the camera's model had none when training began
    checkpoint: str = ""  # name of the one that it wrote
    left_out: int = 0  # segments that were too strange to train on
    before: HeldOut | None = None  # of the checkpoint that it started from
    after: HeldOut | None = None  # of the new one, the best so far while it trains
    shadow: Shadow | None = None  # old and new side by side; None before
    reason_code: str = ""  # see `Reason`
    reason_values: dict[str, Value] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The camera's id, a colon, and the job's number."""
        return f"{self.camera}:{self.number}"

    @property
    def is_active(self) -> bool:
        """Whether it is not over."""
        return self.state in ACTIVE

    def score_after(self, score: ScoreScheme | None) -> ScoreScheme | None:
        """Return a camera's score once it has the job's checkpoint.

        A camera without a network, scored by its memory of places alone, is then scored by both.
        """
        if score == "places" and self.is_first_network:
            return "fused"
        return score


def shortfall(before: HeldOut, after: HeldOut) -> Reason:
    """Return why a checkpoint is not promoted by rule, in one line; empty where it is.

    Its PSNR is better than the one before, or it would not be offered; it must find made anomalies
    no worse on the same held-out footage.
    """
    if before.auc_percent is None or after.auc_percent is None:
        return NO_REASON
    if after.auc_percent < before.auc_percent - AUC_TOLERANCE:
        return Reason(
            f"AUC of made anomalies {after.auc_percent:.1f} % is below the present "
            f"{before.auc_percent:.1f} %: the present checkpoint stays",
            code="job_auc",
            after=round(after.auc_percent, 1),
            before=round(before.auc_percent, 1),
        )
    return NO_REASON


def shadow_shortfall(shadow: Shadow) -> Reason:
    """Return why a checkpoint is not promoted by rule for its shadow; empty where it is."""
    if shadow.new_recall_percent < shadow.old_recall_percent - RECALL_TOLERANCE:
        return Reason(
            f"it notices {shadow.new_recall_percent:.0f} % of the anomalies made into live frames, "
            f"and the one before {shadow.old_recall_percent:.0f} %: the present checkpoint stays",
            code="job_recall",
            after=round(shadow.new_recall_percent),
            before=round(shadow.old_recall_percent),
        )
    if shadow.new_above_percent > shadow.old_above_percent + ABOVE_TOLERANCE:
        return Reason(
            f"it puts {shadow.new_above_percent:.0f} % of the live frames above the threshold, "
            f"and the one before {shadow.old_above_percent:.0f} %: the present checkpoint stays",
            code="job_above",
            after=round(shadow.new_above_percent),
            before=round(shadow.old_above_percent),
        )
    return NO_REASON


@dataclass(frozen=True, slots=True)
class FormerModel:
    """A camera's model before a promotion, to go back to."""

    model: str
    calibration: Literal["learn", "model"]
    score: ScoreScheme | None = None
