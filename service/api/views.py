"""The JSON of cameras, scores and alerts, with every password masked."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from lookout.models.input_spec import Memory
from lookout.models.scoring.alarm_budget import AlarmBudget
from lookout.models.scoring.budget_report import BudgetReport
from lookout.service.core.camera import Camera, CameraSpec, camera_example
from lookout.service.core.drift import ValueDrift
from lookout.service.core.errors import BrokenMessageError, Value, reason_fields
from lookout.service.core.jobs import LearningJob
from lookout.service.core.messages import (
    Alert,
    AlertKind,
    AlertState,
    CameraEvent,
    CameraStatus,
    Score,
)
from lookout.service.core.metrics import REASONS
from lookout.service.core.schedule import ArmOverride, zone_of
from lookout.service.core.self_test import SelfTest
from lookout.service.core.stages import INFERENCE, INGEST
from lookout.service.core.urls import mask
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.reports import Overview
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store
from lookout.service.watch.camera_status import Beats, status
from lookout.service.watch.watch_summary import Standing, SummaryLevel

CAMERA_EXAMPLE: dict[str, JsonValue] = {
    **camera_example(),
    "url": "rtsp://***@10.0.0.7/stream1",
    "created_at": 1767225600.0,
    "state": "learning",
    "last_error": None,
    "last_error_code": "",
    "last_error_values": {},
    "session": 1767225601000,
    "progress": {"learned": 120, "needed": 300},
    "frames": 131,
    "scores": 127,
    "dropped": {"lag": 12},
    "measured_fps": 10.0,
    "frame_age_s": 0.08,
    "score_age_s": 0.05,
    "warnings": [],
    "corrupt": 0,
    "reconnects": 0,
    "reconnects_last_hour": 0,
    "stalls_last_hour": 0,
    "bus_restart": 0,
    "waiting": False,
    "retry_at": None,
    "tampered": False,
    "drift": 0.0004,
    "rollbacks": 0,
    "view": "infrared 2",
    "views": 2,
    "budget": {
        "per_day": 1.0,
        "threshold": 0.71,
        "footage_minutes": 17280.0,
        "expected": 12.0,
        "seen": 14,
        "seen_per_day_low": 0.64,
        "seen_per_day_high": 1.96,
        "sentence": "12 days seen: 14 alarms where 12 were expected; 0.64 to 2 a day beside a "
        "budget of 1",
        "hour_thresholds": None,
    },
    "value_drift": None,
    "armed": True,
    "override": None,
    "workers": {"ingest": "edge-7-41-a1b2", "inference": "edge-7-44-c3d4"},
}
SCORE_EXAMPLE: dict[str, JsonValue] = {
    "id": "1767225601000-42",
    "camera": "gate",
    "session": 1767225601000,
    "seq": 42,
    "captured_at": 1767225605.2,
    "scored_at": 1767225605.26,
    "model": "square",
    "psnr_db": 34.1,
    "distance": 0.0031,
    "gate_error": 0.0052,
    "memory_updated": True,
    "value": 0.31,
    "local_db": -24.3,
    "place_db": None,
    "zones": {},
    "reused": False,
}
ALERT_EXAMPLE: dict[str, JsonValue] = {
    "id": "gate:1767225601000-420",
    "camera": "gate",
    "state": "open",
    "opened_at": 1767225643.0,
    "closed_at": None,
    "threshold": 0.5,
    "peak_value": 0.93,
    "peak_at": 1767225644.1,
    "kind": "anomaly",
    "detail": "",
    "zone": None,
    "suppressed_by": None,
}

EVENT_EXAMPLE: dict[str, JsonValue] = {
    "kind": "scene_change",
    "camera": "gate",
    "session": 1767225601000,
    "seq": 512,
    "at": 1767225652.2,
    "detail": "the picture became darker: mean gray 112, then 45 of 255",
}

SUMMARY_EXAMPLE: dict[str, JsonValue] = {
    "text": "1 of 3 watched · 1 blind · 1 lagging",
    "level": "warn",
    "enabled": 3,
    "alerts": 0,
    "cameras": {"watched": ["gate"], "blind": ["yard"], "lagging": ["roof"]},
}

HISTORY_EXAMPLE: dict[str, JsonValue] = {
    "since": 1767225600.0,
    "step_s": 60,
    "peaks": [0.2913, None, 0.8425],
}


def finite_or_none(number: float | None) -> float | None:
    """Return None for infinity, which JSON lacks: the PSNR of a perfect prediction."""
    if number is None or not math.isfinite(number):
        return None
    return number


Finite = Annotated[float | None, BeforeValidator(finite_or_none)]


class Progress(BaseModel):
    learned: int
    needed: int


class BudgetView(BaseModel):
    """An alarm budget beside what was seen since it was set."""

    per_day: float
    threshold: float = Field(description="now; it follows the camera's own scores")
    footage_minutes: float = Field(description="with scores, and without an open alert")
    expected: float = Field(description="alarms that the budget allows in this footage")
    seen: int = Field(description="alerts opened")
    seen_per_day_low: float = Field(description="95 % interval of the rate of alarms, if by chance")
    seen_per_day_high: float | None
    sentence: str = Field(description="the same for a person; says where it cannot be checked yet")
    hour_thresholds: list[float] | None = Field(
        default=None,
        description="of the 24 hours of a weekday, then of a day of the weekend, in "
        "`LOOKOUT_TIMEZONE`; null in lists, and where they cannot be read",
    )


class ValueDriftView(BaseModel):
    """The values of a camera's last day beside those of its first with the same configuration."""

    model_config = ConfigDict(from_attributes=True)

    rank: float = Field(
        description="chance that a value of the last day is above one of the first; 0.5: as it was"
    )
    above_percent: float = Field(description="of the last day's values, at 0.5 or above")
    learned_above_percent: float = Field(description="of the first day's")
    is_drifted: bool = Field(description="it should learn again")


class CameraView(CameraSpec):
    """A camera's fields, and what it is doing."""

    model_config = ConfigDict(json_schema_extra={"examples": [CAMERA_EXAMPLE]})

    id: str
    url: str = Field(description="user and password are masked")
    model: str
    created_at: float
    state: CameraStatus
    last_error: str | None
    last_error_code: str = Field(description="name of the error, which stays; empty for none")
    last_error_values: dict[str, Value] = Field(description="what stands in its sentence")
    session: int | None
    progress: Progress | None = Field(description="while learning")
    frames: int
    scores: int
    dropped: dict[str, int] = Field(
        description=f"frames that were never scored, by reason: {', '.join(REASONS)}"
    )
    measured_fps: float | None
    frame_age_s: float | None = Field(description="since the newest frame was filmed")
    score_age_s: float | None = Field(description="since its newest score")
    warnings: list[str] = Field(
        description="what makes its scores worth less, such as another frame rate than its model's"
    )
    corrupt: int = Field(description="damaged packets and pictures that were passed over")
    reconnects: int
    reconnects_last_hour: int
    stalls_last_hour: int = Field(description="how often it fell silent and was cut")
    bus_restart: int = Field(
        description="how often the bus came back empty while this camera was watched"
    )
    waiting: bool = Field(description="a file at full pace that waits for its scores")
    retry_at: float | None
    tampered: bool = Field(description="dark, empty or blurred ever since the scene changed")
    drift: float | None = Field(
        description="of the memory from the trained items: the largest 1 - cosine"
    )
    rollbacks: int = Field(description="how often a guarded memory went back to the trained one")
    view: str = Field(
        description="by colour or infrared light, that its picture shows; empty until the picture "
        "has changed once"
    )
    views: int = Field(description="that it knows, this one among them")
    budget: BudgetView | None = Field(
        description="of a camera with an alarm budget; null before its first score under it"
    )
    value_drift: ValueDriftView | None = Field(
        description="of a camera that is recorded to learn; null before two days of values"
    )
    armed: bool = Field(description="whether an alert opens now, by `schedule` and `override`")
    override: ArmOverride | None = Field(description="of the schedule, until a time")
    workers: dict[str, str] = Field(description="who has the camera, by stage")


SHOWN_FIELDS = tuple(name for name in CameraSpec.model_fields if name != "url")
"""Fields of a camera's record that are shown as they are."""


class CameraList(BaseModel):
    items: list[CameraView]
    next: str | None = Field(
        default=None, description="`cursor` of the next page; null on the last, and without `limit`"
    )
    unreadable: dict[str, str] = Field(
        default={}, description="cameras whose record in the store cannot be read, and why"
    )


class MessageView(BaseModel):
    """A view whose fields have the names of its message's fields."""

    @classmethod
    def of(cls, message: Score | Alert | CameraEvent | LearningJob) -> Self:
        return cls.model_validate(message, from_attributes=True)


class ScoreView(MessageView):
    model_config = ConfigDict(json_schema_extra={"examples": [SCORE_EXAMPLE]})

    id: Annotated[str, BeforeValidator(str)]
    camera: str
    session: int
    seq: int
    captured_at: float
    scored_at: float
    model: str
    psnr_db: Finite
    distance: Finite
    gate_error: Finite
    memory_updated: bool | None
    value: Finite = Field(description="0 to 1, higher is more abnormal; null while learning")
    local_db: Finite = Field(
        description="the local score: MSE of the worst window that lasts, peak 1, in dB"
    )
    place_db: Finite = Field(
        description="how unusual the motion is for its place, in dB; null unless the camera's "
        "`score` is `places` or `fused`"
    )
    zones: dict[str, float | None] = Field(description="the value of each watched zone, as `value`")
    reused: bool = Field(
        description="the picture is still that of an earlier frame, whose score this one repeats"
    )


class ScoreList(BaseModel):
    items: list[ScoreView]
    next: str | None = Field(
        description="`since` of the next page; null where there is nothing newer yet"
    )


class AlertView(MessageView):
    model_config = ConfigDict(json_schema_extra={"examples": [ALERT_EXAMPLE]})

    id: str
    camera: str
    state: AlertState
    opened_at: float
    closed_at: float | None
    threshold: float
    peak_value: float
    peak_at: float
    kind: AlertKind
    detail: str = Field(description="a sentence; of other kinds than `anomaly`")
    zone: str | None = Field(description="the watched zone that it is of; null: the whole picture")
    suppressed_by: str | None = Field(
        description="the suppression that it repeats: sinks are not told of it; null: none"
    )


class EventView(MessageView):
    model_config = ConfigDict(json_schema_extra={"examples": [EVENT_EXAMPLE]})

    kind: Literal["scene_change", "tampered", "restored", "test"]
    camera: str
    session: int
    seq: int = Field(description="of the frame at which it was noticed")
    at: float = Field(description="when that frame was captured")
    detail: str = Field(description="a sentence that describes it")


class EventList(BaseModel):
    items: list[EventView]
    next: str | None = None


class HistoryView(BaseModel):
    """The highest score of each minute."""

    model_config = ConfigDict(json_schema_extra={"examples": [HISTORY_EXAMPLE]})

    since: float = Field(description="when the first minute begins (s, UTC)")
    step_s: int = Field(description="length of a minute")
    peaks: list[float | None] = Field(
        description="0 to 1 in 254 steps, by when the frames were filmed; null: no score"
    )


class AlertRule(BaseModel):
    threshold: float
    hysteresis: float
    min_duration_s: float
    clear_after_s: float
    cooldown_s: float
    quiet_after_s: float


class ModelView(BaseModel):
    name: str
    model: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    calibrated: bool | None = None
    frames: int | None = Field(default=None, description="consecutive frames that a score takes")
    scored_frame: int | None = Field(
        default=None, description="which of these the score belongs to, 0-based"
    )
    fps: float | None = Field(
        default=None, description="frames a second of the footage that it was trained on"
    )
    memory: Memory | None = Field(
        default=None, description="whether it keeps what is normal, and follows its camera"
    )
    error: str | None = Field(default=None, description="why this checkpoint cannot be used")


class ModelList(BaseModel):
    items: list[ModelView]
    next: str | None = None


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    detail: str | None = Field(
        default=None, description="of /readyz: the line of the summary, without a camera's name"
    )


class SummaryView(BaseModel):
    """The state of the whole watch."""

    model_config = ConfigDict(json_schema_extra={"examples": [SUMMARY_EXAMPLE]})

    text: str = Field(description="one line for a person")
    level: SummaryLevel = Field(
        description="`good` only while every enabled camera is scored in time; `calm`: one learns, "
        "starts or has ended; `warn`: one is blind or lags; `bad`: an alert is open"
    )
    enabled: int = Field(description="cameras that are to be watched")
    alerts: int = Field(description="alerts that are open")
    cameras: dict[Standing, list[str]] = Field(description="cameras by standing")


@lru_cache(maxsize=4096)
def masked(text: str) -> str:
    """Return an address or error without passwords; the same ones are shown again and again."""
    return mask(text)


def masked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a reason without passwords."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        found[name] = value
        if isinstance(value, str):
            found[name] = masked(value)
        elif isinstance(value, dict):
            found[name] = masked_fields(value)
    return found


def camera_fields(
    camera: Camera,
    seen: Overview,
    budget: BudgetReport | None,
    drift: ValueDrift | None,
    test: SelfTest | None,
    beats: Beats,
    now: float,
) -> dict[str, Any]:
    """Return the fields of a `CameraView`.

    A long list is written from them: making models of valid fields takes most of its time.
    """
    at = status(camera, seen, beats, now)
    dropped = {
        name.removeprefix("dropped_"): n
        for name, n in seen.counters.items()
        if name.startswith("dropped_")
    }
    warnings = list(at.warnings)
    if drift is not None and drift.is_drifted:
        warnings.append(drift.sentence)
    if test is not None and test.is_blind:
        warnings.append(test.sentence)
    return {
        **{name: getattr(camera, name) for name in SHOWN_FIELDS},
        "url": masked(camera.url),
        "created_at": camera.created_at,
        "state": at.state,
        **masked_fields(reason_fields("last_error", at.last_error)),
        "session": at.session,
        "progress": dict(zip(("learned", "needed"), at.progress, strict=True))
        if at.progress
        else None,
        "frames": seen.counters.get("frames", 0),
        "scores": seen.counters.get("scores", 0),
        "dropped": dropped,
        "measured_fps": at.measured_fps,
        "frame_age_s": at.frame_age_s,
        "score_age_s": at.score_age_s,
        "warnings": warnings,
        "corrupt": seen.counters.get("corrupt", 0),
        "reconnects": seen.counters.get("reconnects", 0),
        "reconnects_last_hour": at.reconnects_last_hour,
        "stalls_last_hour": at.stalls_last_hour,
        "bus_restart": seen.counters.get("bus_restart", 0),
        "waiting": at.waiting,
        "retry_at": at.retry_at,
        "tampered": at.tampered,
        "drift": at.drift,
        "rollbacks": at.rollbacks,
        "view": at.view,
        "views": at.views,
        "budget": BudgetView.model_validate(budget, from_attributes=True) if budget else None,
        "value_drift": ValueDriftView.model_validate(drift) if drift else None,
        "armed": camera.armed_at(now),
        "override": camera.override,
        "workers": at.workers,
    }


def camera_fields_now(
    bus: Bus, store: Store, cameras: Iterable[Camera]
) -> dict[str, dict[str, Any]]:
    """Return `camera_fields` by id, as they are now; without budgets where the store is away.

    Raises one of UNAVAILABLE where the bus is away.
    """
    records = {camera.id: camera for camera in cameras}
    overviews = bus.overview(records)
    beats = Beats(ingest=bus.has_workers(INGEST.name), inference=bus.has_workers(INFERENCE.name))
    budgets = budget_reports(store, records)
    drifts = value_drifts(store, records)
    tests = self_tests(store, records)
    now = time.time()
    return {
        name: camera_fields(
            camera,
            overviews[name],
            budgets.get(name),
            drifts.get(name),
            tests.get(name),
            beats,
            now,
        )
        for name, camera in records.items()
    }


def camera_view(bus: Bus, store: Store, camera: Camera) -> CameraView:
    """Return the view of one camera as it is now. Raises one of UNAVAILABLE."""
    return CameraView.model_validate(camera_fields_now(bus, store, [camera])[camera.id])


def hour_thresholds(store: Store, camera: str, timezone: str) -> list[float] | None:
    """Return a budget's threshold of each hour; None where the store holds none that can be read.

    timezone: LOOKOUT_TIMEZONE.
    """
    try:
        state = (store.alerting_state(camera) or {})["budget"]["state"]
        return AlarmBudget.of_state(state, zone_of(timezone)).hour_thresholds()
    except (*UNAVAILABLE, BrokenMessageError, ValueError, KeyError, TypeError):
        return None


def self_tests(store: Store, cameras: Mapping[str, Camera]) -> dict[str, SelfTest]:
    """Return the last self-test of each camera as it is now; none where the store is away."""
    try:
        tests = store.self_tests(cameras)
    except UNAVAILABLE:
        return {}
    return {name: at for name, at in tests.items() if at.revision == cameras[name].revision}


def value_drifts(store: Store, cameras: Mapping[str, Camera]) -> dict[str, ValueDrift]:
    """Return the drift of each camera that learns and has one; none where the store is away."""
    learning = [name for name, camera in cameras.items() if camera.learning != "off"]
    if not learning:
        return {}
    try:
        drifts = store.drifts(learning)
    except UNAVAILABLE:
        return {}
    return {name: at for name, at in drifts.items() if at.revision == cameras[name].revision}


def budget_reports(store: Store, cameras: Mapping[str, Camera]) -> dict[str, BudgetReport]:
    """Return the report of each camera with an alarm budget that alerting has taken up."""
    asked = {
        name: camera.alert.alarm_budget.per_day
        for name, camera in cameras.items()
        if camera.alert.alarm_budget is not None
    }
    if not asked:
        return {}
    try:
        overviews = store.alerting_overview(asked)
    except UNAVAILABLE:
        return {}
    return {
        name: at.budget
        for name, at in overviews.items()
        if at.budget is not None and at.budget.per_day == asked[name]
    }
