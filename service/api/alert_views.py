"""Alerts with what persons said of them, as the API shows and takes them."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lookout.models.scoring.alert_regions import Trait
from lookout.models.scoring.alert_tracks import MOST_POINTS, MOST_TRACKS
from lookout.service.api.views import ALERT_EXAMPLE, AlertView
from lookout.service.core.camera import STRICT, CameraId
from lookout.service.core.evidence import ClipRecord, ClipState
from lookout.service.core.messages import Alert, AlertAnswer, AlertVerdict
from lookout.service.storage.store.alert_evidence import RegionRecord

ANSWERED_EXAMPLE: dict[str, JsonValue] = {
    **ALERT_EXAMPLE,
    "acknowledged_at": 1767225700.0,
    "acknowledged_by": "token",
    "verdict": "false_alarm",
    "note": "a plastic bag",
    "keep": False,
    "suppresses_until": 1769817700.0,
    "clip": {
        "state": "ready",
        "begins_at": 1767225638.1,
        "seconds": 12.4,
        "bytes": 4180233,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "error": None,
    },
    "regions": {
        "open": [],
        "peak": [
            {
                "box": [0.4, 0.55, 0.1, 0.2],
                "peak": 0.31,
                "area": 0.012,
                "traits": ["faster than usual here"],
                "motion": {
                    "box": [0.4, 0.5, 0.12, 0.25],
                    "speed": 6.1,
                    "speed_low": 0.9,
                    "speed_high": 2.4,
                    "size": 0.5,
                    "size_low": 0.2,
                    "size_high": 0.7,
                    "direction_deg": 181.0,
                },
            }
        ],
        "tracks": [
            {
                "points": [
                    {"at": 1767225643.1, "box": [0.1, 0.52, 0.1, 0.2]},
                    {"at": 1767225643.6, "box": [0.25, 0.55, 0.1, 0.2]},
                ]
            }
        ],
        "tracks_dropped": 0,
    },
}


class ClipView(BaseModel):
    """An alert's clip."""

    state: ClipState = Field(
        description="`pending`: it is filmed or written; `failed`: see `error`; `none`: none was "
        "asked for"
    )
    begins_at: float | None = Field(description="its first picture (s, UTC)")
    seconds: float | None
    bytes: int | None
    sha256: str | None
    error: str | None

    @classmethod
    def of(cls, record: ClipRecord) -> ClipView:
        """Return the view of a record as it is now."""
        record = record.at(time.time())
        return cls(
            state=record.state,
            begins_at=record.begins_at,
            seconds=record.seconds,
            bytes=record.size_bytes,
            sha256=record.sha256 or None,
            error=record.error or None,
        )


class MotionView(BaseModel):
    """A strange motion beside what is usual at its place: 5 % to 95 %, null where nothing moved."""

    model_config = ConfigDict(from_attributes=True)

    box: tuple[float, float, float, float]
    speed: float = Field(description="of the model's pixels a frame")
    speed_low: float | None
    speed_high: float | None
    size: float = Field(description="share of the place that moves")
    size_low: float | None
    size_high: float | None
    direction_deg: float = Field(description="0: to the right, 90: down")


class RegionView(BaseModel):
    """A part of the picture that stands out."""

    model_config = ConfigDict(from_attributes=True)

    box: tuple[float, float, float, float] = Field(
        description="left, top, width, height, as shares of the picture's sides"
    )
    peak: float = Field(description="of the heatmap in it")
    area: float = Field(description="share of the picture")
    traits: list[Trait] = Field(description="what was measured to be unusual")
    motion: MotionView | None = Field(description="null: no motion was measured in it")


class TrackPointView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    at: float = Field(description="s, UTC")
    box: tuple[float, float, float, float]


class TrackView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    points: list[TrackPointView] = Field(description=f"oldest first, {MOST_POINTS} at most")


class RegionsView(BaseModel):
    """The regions of an anomaly, the highest first."""

    model_config = ConfigDict(from_attributes=True)

    open: list[RegionView]
    peak: list[RegionView]
    tracks: list[TrackView] = Field(
        description=f"where the regions were while it was open, {MOST_TRACKS} tracks at most; they "
        "come with the alert's next change"
    )
    tracks_dropped: int = Field(description="tracks for which there was no room")


class AnsweredAlert(AlertView):
    """An alert, what a person said of it, its clip, and what stands out."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWERED_EXAMPLE]})

    acknowledged_at: float | None = Field(description="null: nobody has")
    acknowledged_by: str = Field(
        description="the name of a user, `token NAME` for an API token, `token` or a login for "
        "LOOKOUT_TOKEN, `anybody` where nobody is asked"
    )
    verdict: AlertVerdict | None
    note: str
    keep: bool = Field(description="it is never removed for its age or number")
    suppresses_until: float | None = Field(
        description="look-alikes of it are suppressed until then; null: its verdict asks for none, "
        "they were revoked or are over, or its regions are not kept"
    )
    clip: ClipView
    regions: RegionsView

    @classmethod
    def answered(
        cls,
        alert: Alert,
        answer: AlertAnswer,
        clip: ClipRecord,
        regions: RegionRecord,
        suppresses_until: float | None,
    ) -> AnsweredAlert:
        """Return the view of an alert with its answer, its clip and its regions."""
        fields = AlertView.of(alert).model_dump()
        return cls(
            **fields,
            acknowledged_at=answer.acknowledged_at,
            acknowledged_by=answer.acknowledged_by,
            verdict=answer.verdict,
            note=answer.note,
            keep=answer.keep,
            suppresses_until=suppresses_until,
            clip=ClipView.of(clip),
            regions=RegionsView.model_validate(regions),
        )


class AlertChange(BaseModel):
    """An answer to an alert; what is not named stays."""

    model_config = STRICT

    acknowledged: bool = Field(default=False, description="`false` takes it back")
    verdict: AlertVerdict | None = Field(
        default=None,
        description="`true`: rightly told; `false_alarm`: nothing was there; `usual_here`: it is "
        "normal at this place; both suppress its look-alikes for LOOKOUT_SUPPRESS_DAYS",
    )
    note: Annotated[str, Field(max_length=2000)] = ""
    keep: bool = Field(default=False, description="never remove it for its age or number")


class AcknowledgeRequest(BaseModel):
    """The alerts to acknowledge: by their ids, or those that opened up to a time."""

    model_config = STRICT

    ids: Annotated[list[str], Field(max_length=1000)] | None = None
    camera: CameraId | None = Field(default=None, description="without `ids`; unset: every camera")
    until: float | None = Field(
        default=None, description="without `ids`: opened up to then (s, UTC); unset: now"
    )


class Acknowledged(BaseModel):
    count: int
    more: bool = Field(description="there are more: ask again")


class AlertList(BaseModel):
    items: list[AnsweredAlert]
    next: str | None = Field(description="`cursor` of the next page; null on the last")
