"""Jobs as the API shows them: of learning, and replays."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lookout.service.api.views import MessageView
from lookout.service.core.errors import Value
from lookout.service.core.jobs import JobState, Promotion
from lookout.service.core.replay import ReplayOptions, ReplayReport, ReplayState

JOB_EXAMPLE: dict[str, JsonValue] = {
    "kind": "learning",
    "id": "gate:1",
    "camera": "gate",
    "state": "training",
    "created_at": 1785000000.0,
    "changed_at": 1785000420.0,
    "footage_s": 300.0,
    "limit_s": 600.0,
    "promote": "rule",
    "recording": "",
    "shadow_s": 300.0,
    "recorded_s": 301.2,
    "progress": 0.4,
    "left_s": 344.0,
    "paused": False,
    "reason": "",
    "reason_code": "",
    "reason_values": {},
    "replaces": "square",
    "started_from": "square",
    "checkpoint": "",
    "left_out": 12,
    "before": {"psnr_db": 31.2, "auc_percent": 88.4},
    "after": {"psnr_db": 33.9, "auc_percent": 92.1},
    "shadow": None,
}


class HeldOutView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    psnr_db: float = Field(description="mean over held-out normal footage")
    auc_percent: float | None = Field(
        description="of made anomalies in it; null where its segments are too short"
    )


class ShadowView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    frames: int = Field(description="of live footage, scored by both")
    agreement_percent: float = Field(
        description="frames that both or neither put at the camera's threshold or above"
    )
    rank_correlation: float | None = Field(
        description="Spearman's, of the values; null where one is constant"
    )
    old_above_percent: float = Field(description="frames that the old one puts there")
    new_above_percent: float = Field(description="frames that the new one puts there")
    made: int = Field(description="anomalies made into the footage")
    old_recall_percent: float = Field(description="of them, noticed by the old one")
    new_recall_percent: float = Field(description="of them, noticed by the new one")


class JobView(MessageView):
    model_config = ConfigDict(json_schema_extra={"examples": [JOB_EXAMPLE]})

    kind: Literal["learning"] = "learning"
    id: str
    camera: str
    state: JobState
    created_at: float
    changed_at: float = Field(description="when its state began")
    footage_s: float = Field(description="seconds of footage that training waits for")
    limit_s: float = Field(description="of training, in seconds of one CPU thread")
    promote: Promotion
    recording: str = Field(
        description="file below the media folder that it learns from; empty: recorded footage"
    )
    shadow_s: float = Field(description="of live footage that old and new are compared on")
    recorded_s: float = Field(description="of footage that can be trained on")
    progress: float = Field(description="of its state, 0 to 1")
    left_s: float | None = Field(description="of its state, estimated; null while unknown")
    paused: bool = Field(description="training stands still: live scores come first")
    reason: str = Field(description="why it waits, failed or is not promoted, in one line")
    reason_code: str = Field(description="name of the reason, which stays; empty for none")
    reason_values: dict[str, Value] = Field(description="what stands in its sentence")
    replaces: str = Field(description="name of the camera's model when training began")
    started_from: str = Field(description="name of the checkpoint that training began with")
    checkpoint: str = Field(description="name of the checkpoint that it wrote")
    left_out: int = Field(
        description="segments that training leaves out: the strangest share of the footage"
    )
    before: HeldOutView | None = Field(description="figures of the checkpoint it started from")
    after: HeldOutView | None = Field(description="figures of the best one so far")
    shadow: ShadowView | None = Field(
        description="the one it started from and the new one, side by side on live footage"
    )


REPLAY_EXAMPLE: dict[str, JsonValue] = {
    "kind": "replay",
    "id": "gate:replay-1",
    "camera": "gate",
    "state": "running",
    "created_at": 1785000000.0,
    "changed_at": 1785000002.0,
    "video": "gate/monday.mp4",
    "until": None,
    "options": {"threshold": 0.7, "zones": None, "began_at": None},
    "progress": 0.4,
    "paused": False,
    "reason": "",
    "reason_code": "",
    "reason_values": {},
    "files": [],
    "report": None,
}


class ReplayView(MessageView):
    model_config = ConfigDict(json_schema_extra={"examples": [REPLAY_EXAMPLE]})

    kind: Literal["replay"] = "replay"
    id: str
    camera: str
    state: ReplayState
    created_at: float
    changed_at: float = Field(description="when its state began")
    video: str = Field(description="file below the media folder; empty for a period of the camera")
    until: float | None = Field(
        description="end of the period (s, UTC), which begins at `options.began_at`; null: a file"
    )
    options: ReplayOptions
    progress: float = Field(description="0 to 1")
    paused: bool = Field(description="it stands still: live scores come first")
    reason: str = Field(description="why it waits or failed, in one line")
    reason_code: str = Field(description="name of the reason, which stays; empty for none")
    reason_values: dict[str, Value] = Field(description="what stands in its sentence")
    files: list[str] = Field(description="names of the result's files, once it is done")
    report: ReplayReport | None = Field(description="what was found, once it is done")


class JobList(BaseModel):
    items: list[JobView | ReplayView]
