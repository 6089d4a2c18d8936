"""Replays of recordings: what is asked for, the copy of the camera, and what was found.

Seconds of a recording count from its first frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lookout.models.vision.zones import MAX_ZONES
from lookout.service.core.camera import STRICT, Camera, CameraId, Level, ZoneSettings
from lookout.service.core.errors import RequestError, Value
from lookout.service.core.schedule import LATEST
from lookout.service.core.settings import Settings

FROM_SETTINGS = (
    "alert_threshold",
    "alert_hysteresis",
    "alert_min_duration_s",
    "alert_clear_after_s",
    "alert_cooldown_s",
    "alert_quiet_after_s",
    "learn_frames",
    "timezone",
)
"""Settings that decide scores and alerts."""

MASKED_URL = "/recording"
"""Stands in a copy for the camera's address, which may hold a password."""


Instant = Annotated[float, Field(ge=0, le=LATEST)]  # s, UTC


class ReplayOptions(BaseModel):
    """Changes of the camera for a replay; each unset field leaves it as it is."""

    model_config = STRICT

    threshold: Level | None = Field(
        default=None,
        description="of an alert, of the whole picture and of watched zones",
        examples=[0.7],
    )
    zones: list[ZoneSettings] | None = Field(
        default=None,
        max_length=MAX_ZONES,
        description="in place of the camera's",
        examples=[None],
    )
    began_at: Instant | None = Field(
        default=None,
        description="when the recording began (s, UTC), for the schedule; unset: alerts open at "
        "any time, but for a period of the camera, which begins at its `from`",
        examples=[1785000000.0],
    )

    def apply(self, camera: Camera) -> Camera:
        """Return the camera as the replay takes it. Raises PydanticCustomError for wrong zones."""
        changes: dict[str, Any] = {"url": MASKED_URL, "pace": "fast"}  # a file that waits
        zones = camera.zones if self.zones is None else Camera.check_zones(self.zones)
        if self.threshold is not None:
            own = {"threshold": self.threshold, "alarm_budget": None}
            changes["alert"] = camera.alert.model_copy(update=own)
            zones = [
                zone
                if zone.alert is None
                else zone.model_copy(update={"alert": zone.alert.model_copy(update=own)})
                for zone in zones
            ]
        if self.began_at is None:
            changes |= {"schedule": None, "override": None}
        return camera.model_copy(update=changes | {"zones": zones})


class ReplayRequest(ReplayOptions):
    """The body of a request for a job that replays a recording."""

    kind: Literal["replay"] = Field(examples=["replay"])
    camera: CameraId = Field(description="whose present state scores", examples=["gate"])
    video: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description="name of a file below the media folder; unset: the footage that is kept of the "
        "camera, in a period",
        examples=["gate/monday.mp4"],
    )
    since: Instant | None = Field(
        default=None,
        alias="from",
        description="begin of a period of the camera (s, UTC), in place of `video`",
        examples=[None],
    )
    until: Instant | None = Field(
        default=None, alias="to", description="its end (s, UTC), now or before", examples=[None]
    )

    @property
    def options(self) -> ReplayOptions:
        """Its changes of the camera."""
        began_at = self.began_at if self.since is None else self.since
        return ReplayOptions(threshold=self.threshold, zones=self.zones, began_at=began_at)

    def check_source(self, now: float) -> None:
        """Raise RequestError unless it names a recording or a period before `now` (s, UTC)."""
        if self.video is not None:
            if self.since is not None or self.until is not None:
                raise RequestError(
                    "name either a recording, or a period by `from` and `to`", code="replay_source"
                )
            return
        if self.since is None or self.until is None:
            raise RequestError(
                "name a recording, or a period of the camera by `from` and `to`",
                code="replay_source",
            )
        if self.began_at is not None:
            raise RequestError(
                "`began_at` is of a recording: a period begins at `from`", code="period_began"
            )
        if self.since >= self.until:
            raise RequestError("`from` must come before `to`", code="period_order")
        if self.until > now:
            raise RequestError("`to` is in the future", code="period_future")


ReplayState = Literal["queued", "running", "done", "failed", "cancelled"]
ACTIVE_REPLAYS: frozenset[ReplayState] = frozenset({"queued", "running"})
"""A camera has at most one replay in these states. In the others it is over."""


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """One recording to be scored. Times are UTC seconds since the epoch."""

    camera: str
    state: ReplayState
    created_at: float
    changed_at: float  # of its state
    video: str  # file below the media folder; empty: a period, from `began_at` of its options
    options: str = "{}"  # `ReplayOptions` as JSON
    number: int = 0  # counts the replays of a camera from 1; 0: not in the store yet
    progress: float = 0.0  # 0 to 1
    paused: bool = False  # it stands still: live scores come first
    reason: str = ""  # one line: why it waits or failed
    until: float | None = None  # end of the period, s, UTC
    reason_code: str = ""  # see `Reason`
    reason_values: dict[str, Value] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The camera's id, a colon, `replay-` and the number."""
        return f"{self.camera}:{REPLAY}{self.number}"

    @property
    def is_active(self) -> bool:
        """Whether it is not over."""
        return self.state in ACTIVE_REPLAYS


REPLAY = "replay-"


class CameraCopy(BaseModel):
    """All that decides what a camera makes of its next frames. It holds no password."""

    model_config = ConfigDict(extra="ignore")

    camera: dict[str, JsonValue] = Field(description="its record; `url` stands for another")
    identity: str = Field(description="to which its snapshot belongs")
    view: str = Field(description="to which its memory of places belongs")
    checkpoint: str = Field(description="first 16 hex digits of the checkpoint's SHA-256")
    cursor: str | None = Field(description="frame after which the snapshot was made; null: none")
    state: dict[str, JsonValue] = Field(description="the snapshot; empty without one")
    alerting: dict[str, JsonValue] = Field(description="state of its policies and budgets")
    fps: float | None = Field(description="frames a second that it is scored at; null: unknown")
    settings: dict[str, int | float | str] = Field(description="of the service, by name")

    def record(self) -> Camera:
        """Return the camera's record. Raises pydantic.ValidationError."""
        return Camera.model_validate(self.camera)

    def apply_settings(self, settings: Settings) -> Settings:
        """Return settings with those of the service that decide scores and alerts."""
        known = {name: self.settings[name] for name in FROM_SETTINGS if name in self.settings}
        return settings.model_copy(update=known)


class ReplayAlert(BaseModel):
    """An alert that the camera would have given."""

    zone: str | None = Field(description="the watched zone; null: the whole picture")
    opened_s: float
    peak_s: float
    closed_s: float
    peak_value: float
    threshold: float
    picture: str = Field(description="name of its file; empty where there are too many")


class StrangeMinute(BaseModel):
    """A minute of the recording, by its highest value."""

    begins_s: float
    peak_s: float
    peak_value: float
    picture: str = Field(description="name of its file")


class OtherThreshold(BaseModel):
    """Alerts of the whole picture that another threshold would have given."""

    threshold: float
    alerts: int
    open_s: float = Field(description="seconds in which an alert was open")


class KeptPart(BaseModel):
    """Share of a period of a camera that was kept."""

    asked_s: float
    kept_s: float
    segments: int = Field(description="that were scored")
    vanished: int = Field(description="that were removed while the replay ran")


class ReplayReport(BaseModel):
    """The result of a replay."""

    camera: str
    recording: str = Field(description="name of the file; empty for a period of the camera")
    began_at: float | None = Field(
        default=None,
        description="s, UTC, from which all seconds count; null: of a recording, nobody knows",
    )
    kept: KeptPart | None = Field(
        default=None, description="of a period of the camera; null: a recording"
    )
    model: str
    frames: int = Field(description="that were kept of it, at the camera's `fps`")
    scored: int
    left_out: dict[str, int] = Field(description="frames without a score, by reason")
    duration_s: float
    threshold: float = Field(description="of the whole picture, at the end")
    notes: list[str] = Field(description="what is to be known of the result, for a person")
    alerts: list[ReplayAlert] = Field(description="the first 200, by their opening")
    alerts_opened: int = Field(description="all of them")
    minutes: list[StrangeMinute] = Field(description="the 20 strangest, the worst first")
    thresholds: list[OtherThreshold]
