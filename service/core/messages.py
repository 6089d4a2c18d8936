"""Every message between stages. Dataclasses only; `codec.py` writes and reads them in Redis
and checks there every type that is declared here.

Times are UTC seconds since the epoch. Higher `value` = more abnormal, everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from lookout.models.arrays import HeatMap, Pixels
from lookout.service.core.clock import Moment
from lookout.service.core.errors import Reason, Value

AlertState = Literal["open", "closed"]
AlertVerdict = Literal["true", "false_alarm", "usual_here"]
AlertKind = Literal["anomaly", "tampering", "unwatched", "test"]


FRAME_ID = r"^[0-9]{1,19}-[0-9]{1,19}$"
"""Form of a frame's name. Redis keeps each half in 64 bits without a sign: 19 digits always fit."""


NAME = "[A-Za-z0-9_-]{1,64}"
"""Form of the name of a camera, and of a zone."""


UNFRAMED = 10**15
"""Sequence number in the id of an alert that no frame has caused: no session is so long. The
session is the time of its opening, in ms.
"""


class FrameId(NamedTuple):
    """A frame's name; its score and heatmap carry the same. A later session or frame is greater."""

    # ms since the epoch at the session's start, or more: never reused, never smaller than before
    session: int
    seq: int  # 0-based, +1 a kept frame

    def __str__(self) -> str:
        return f"{self.session}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> FrameId:
        """Read `<session>-<seq>`. Raises ValueError on anything else."""
        if not re.fullmatch(FRAME_ID, text):
            raise ValueError(
                f"not a frame id: {text!r} (expected <session>-<seq>, up to 19 digits each)"
            )
        session, _, seq = text.partition("-")
        return cls(int(session), int(seq))


class AlertId(NamedTuple):
    """An alert's name: `<camera>:<opening frame id>`, and `@<zone>` where it is of one."""

    camera: str
    frame: FrameId
    zone: str | None = None

    def __str__(self) -> str:
        text = f"{self.camera}:{self.frame}"
        return text if self.zone is None else f"{text}@{self.zone}"

    @classmethod
    def parse(cls, text: str) -> AlertId:
        """Read an alert's id. Raises ValueError on anything else."""
        if not re.fullmatch(f"{NAME}:[0-9-]+(@{NAME})?", text):
            raise ValueError(f"not an alert id: {text!r}")
        camera, _, rest = text.partition(":")
        frame, _, zone = rest.partition("@")
        return cls(camera, FrameId.parse(frame), zone or None)


class CameraStatus(StrEnum):
    STARTING = "starting"
    LEARNING = "learning"
    ONLINE = "online"
    RECONNECTING = "reconnecting"
    STALLED = "stalled"
    ENDED = "ended"
    DISABLED = "disabled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Frame:
    camera: str
    session: int
    seq: int
    captured_at: float  # by the source's own clock, set to ours at the session's start
    pixels: Pixels  # (H, W, 3) RGB
    revision: int = 0  # the camera's when it was taken; 0: not said
    skipped: int = 0  # numbers right before this one that never came to the bus, and why
    skipped_for: str = ""
    uptime_s: float | None = None  # captured_at on the monotonic clock of `machine`
    machine: str = ""  # that took it
    late_s: float = 0.0  # so much later than captured it was due: the network held it back

    @property
    def id(self) -> FrameId:
        return FrameId(self.session, self.seq)

    @property
    def captured(self) -> Moment:
        """The moment of its capture."""
        return Moment(self.captured_at, self.uptime_s, self.machine)

    @property
    def due(self) -> Moment:
        """The moment from which its age counts against our promise."""
        return self.captured.shifted(self.late_s)


@dataclass(frozen=True, slots=True)
class Score:
    camera: str
    session: int
    seq: int
    captured_at: float
    scored_at: float
    model: str
    psnr_db: float | None = None  # what a model lacks is None
    distance: float | None = None
    gate_error: float | None = None
    memory_updated: bool | None = None
    value: float | None = None  # (0, 1); None while learning
    local_db: float | None = None  # the local score: the worst window that lasts
    place_db: float | None = None  # how unusual the motion is for its place
    # Value of each watched zone, as `value`; None while learning.
    zones: dict[str, float | None] = field(default_factory=dict)
    reused: bool = False  # the picture is still that of an earlier score, which this one repeats

    @property
    def id(self) -> FrameId:
        return FrameId(self.session, self.seq)


@dataclass(frozen=True, slots=True)
class Heat:
    """The heatmap of a frame: root mean squared error a cell, peak 1, times 65535."""

    camera: str
    session: int
    seq: int
    cells: HeatMap  # (64, 64)
    motions: str = ""  # JSON: what moves strangely, of a frame that is not normal


@dataclass(frozen=True, slots=True)
class Alert:
    id: str  # see `AlertId`
    camera: str
    state: AlertState
    opened_at: float  # captured_at of the frame at which the rule was met
    closed_at: float | None
    threshold: float
    peak_value: float
    peak_at: float
    kind: AlertKind = "anomaly"
    detail: str = ""  # for a person; of other kinds than `anomaly`
    zone: str | None = None  # the watched zone that it is of; None: the whole picture
    suppressed_by: str | None = None  # the suppression that it repeats: sinks are not told of it

    @property
    def series(self) -> str:
        """Kind and zone: alerts of one camera that follow each other."""
        return self.kind if self.zone is None else f"{self.kind} {self.zone}"


@dataclass(frozen=True, slots=True)
class AlertAnswer:
    """The answer of a person to an alert."""

    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    verdict: AlertVerdict | None = None
    note: str = ""
    keep: bool = False  # it is never removed for its age or number


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """Something happened to the camera itself, or a person asked for a test alert."""

    kind: Literal["scene_change", "tampered", "restored", "test"]
    camera: str
    session: int
    seq: int  # of the frame at which it was noticed
    at: float  # captured_at of that frame
    detail: str  # for a person: what was seen


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive frames that were never scored, and the reason.

    Every frame is either scored or in one of these.
    """

    camera: str
    session: int
    first_seq: int
    frames: int
    reason: str


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One line of an alert's story, in the order in which it was written."""

    event: Literal["new", "update", "end"]
    alert: Alert
    id: str = field(default="", compare=False)  # <camera>:<id in its log>, once it is there


@dataclass(frozen=True, slots=True)
class IngestReport:
    """A camera's state at the ingest worker, written about once a second."""

    state: Literal["starting", "online", "reconnecting", "stalled", "ended", "failed"]
    at: float
    revision: int = 0
    last_error: str | None = None
    session: int | None = None
    last_seq: int | None = None
    last_captured_at: float | None = None
    fps: float | None = None  # frames kept a second, over the last seconds
    waiting: bool = False  # a file at full pace that waits for inference
    retry_at: float | None = None
    reconnects_last_hour: int = 0
    stalls_last_hour: int = 0
    worker: str = ""  # whose camera it is
    frame_age_s: float | None = None  # of the newest frame, when this was written
    last_error_code: str = ""  # see `Reason`
    last_error_values: dict[str, Value] = field(default_factory=dict)

    @property
    def reason(self) -> Reason | None:
        """The last error; None where there is none."""
        return Reason.read(self.last_error, self.last_error_code, self.last_error_values)


@dataclass(frozen=True, slots=True)
class InferenceReport:
    """A camera's state at the inference worker, written about once a second."""

    state: Literal["learning", "online", "failed"]
    at: float
    revision: int = 0
    last_error: str | None = None
    learned: int = 0
    to_learn: int = 0
    drift: float | None = (
        None  # of the memory from the trained items: the largest 1 - cosine; 0: as trained
    )
    rollbacks: int = 0  # how often the guard went back to the trained memory
    tampered: bool = False  # dark or blurred since a scene change
    score: float | None = None  # the newest value; None while learning
    score_peak: float | None = None  # the highest of the last 15 s
    worker: str = ""  # whose camera it is
    session: int | None = None  # of the newest frame whose outcome is on the bus, and its number
    last_seq: int | None = None
    last_captured_at: float | None = None  # no later score bears an earlier time
    score_age_s: float | None = None  # since its newest score; without any, since it was begun
    drop_reason: str | None = None  # of frames that were left out since the newest score
    fps: float | None = None  # frames a second that it gets, as they were filmed
    model_fps: float | None = None  # frames a second that its model was trained on
    views_dropped: int = 0  # how often what was learned of a view gave way to another view's
    view: str = ""  # that its picture shows; empty until the picture has changed once
    views: int = 1  # that it knows, this one among them
    last_error_code: str = ""  # see `Reason`
    last_error_values: dict[str, Value] = field(default_factory=dict)

    @property
    def reason(self) -> Reason | None:
        """The last error; None where there is none."""
        return Reason.read(self.last_error, self.last_error_code, self.last_error_values)
