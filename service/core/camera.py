"""Cameras: the fields that a client sets (`CameraSpec`) and the store's record (`Camera`).

`CameraSpec` is the one definition of a camera's fields. POST takes them all, PATCH all but the id
(`CameraChange`), the store keeps them in `Camera` and the API shows them in `CameraView`. OpenAPI,
the table in docs/api.md and the page's form are made of their titles, descriptions, bounds and
examples. A new field is declared here and nowhere else.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import NoneType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    create_model,
    field_validator,
    model_validator,
)

from lookout.models.vision.zones import (
    MAX_POINTS,
    MAX_ZONES,
    Zone,
    ZoneError,
    ZoneKind,
    check_zones,
)
from lookout.service.core import urls
from lookout.service.core.errors import invalid
from lookout.service.core.schedule import ArmOverride, ScheduleSettings

Pace = Literal["realtime", "fast"]
Calibration = Literal["learn", "model"]
Transport = Literal["tcp", "udp"]
MemoryMode = Literal["paper", "guarded"]
ScoreScheme = Literal["paper", "local", "places", "fused"]
Learning = Literal["off", "record", "auto"]

CameraId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ModelName = Annotated[str, Field(max_length=255)]
MAX_CAMERA_FPS = 120
MAX_STILL_FRAMES = 10_000
Fps = Annotated[float, Field(gt=0, le=MAX_CAMERA_FPS)]
Level = Annotated[float, Field(gt=0, lt=1)]
Hysteresis = Annotated[float, Field(ge=0, lt=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Silence = Annotated[float, Field(ge=1, le=3600)]


def without_fraction(value: object) -> object:
    """Return a number such as 2.0 as 2: JSON has one kind of numbers, and its schema takes both."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


StillFrames = Annotated[int, Field(ge=1, le=MAX_STILL_FRAMES), BeforeValidator(without_fraction)]

STRICT = ConfigDict(
    extra="forbid",
    strict=True,
    frozen=True,
    allow_inf_nan=False,
    hide_input_in_errors=True,  # a url holds its camera's password
)


MAX_ALARMS_PER_DAY = 86_400


class BudgetSettings(BaseModel):
    """The false alarms that are tolerable, in place of a threshold."""

    model_config = STRICT

    per_day: float = Field(
        gt=0,
        le=MAX_ALARMS_PER_DAY,
        title="Alarms a day",
        description="of footage, above 0 and up to 86,400; 24 is one an hour",
        examples=[1.0],
    )


class AlertSettings(BaseModel):
    """A camera's own alert policy; None takes the default from the settings (`alert_*`)."""

    model_config = STRICT

    threshold: Level | None = Field(
        default=None, title="Threshold", description="an alert opens at this value", examples=[0.6]
    )
    hysteresis: Hysteresis | None = Field(
        default=None,
        title="Hysteresis",
        description="it may close below the threshold minus this",
        examples=[0.1],
    )
    min_duration_s: Seconds | None = Field(
        default=None,
        title="Minimum duration (s)",
        description="time at the threshold or above before it opens",
        examples=[0.5],
    )
    clear_after_s: Seconds | None = Field(
        default=None,
        title="Clear after (s)",
        description="time below before it closes; nearer rises are one alert",
        examples=[2.0],
    )
    cooldown_s: Seconds | None = Field(
        default=None,
        title="Cool-down (s)",
        description="time after one has closed in which none opens",
        examples=[60.0],
    )
    alarm_budget: BudgetSettings | None = Field(
        default=None,
        title="Alarm budget",
        description="false alarms that are tolerable, in place of the threshold, which then "
        "follows the camera's own scores",
        examples=[{"per_day": 1.0}],
    )

    @model_validator(mode="after")
    def check_budget(self) -> Self:
        """Raise ValueError where both a threshold and a budget are given."""
        if self.threshold is not None and self.alarm_budget is not None:
            raise invalid(
                "alarm_budget stands in place of threshold: give one, and null for the other",
                code="budget_or_threshold",
            )
        return self

    @model_validator(mode="after")
    def check_hysteresis(self) -> Self:
        """Raise ValueError where an alert could never close."""
        if self.threshold and self.hysteresis and self.hysteresis >= self.threshold:
            raise invalid("hysteresis must be smaller than threshold", code="hysteresis")
        return self


Share = Annotated[float, Field(ge=0, le=1)]


class ZoneSettings(BaseModel):
    """A polygon of the picture."""

    model_config = STRICT

    name: CameraId = Field(
        title="Name",
        description="letters, digits, `_` and `-`, up to 64",
        examples=["tree"],
    )
    kind: ZoneKind = Field(
        title="Kind",
        description="`ignore`: it is no part of the score; `watch`: it has a value and alerts of "
        "its own",
        examples=["ignore"],
    )
    points: list[Annotated[list[Share], Field(min_length=2, max_length=2)]] = Field(
        title="Points",
        min_length=3,
        max_length=MAX_POINTS,
        description="corners [x, y] in order, relative to the picture: [0, 0] is its upper left "
        "corner, [1, 1] its lower right one",
        examples=[[[0.0, 0.0], [0.3, 0.0], [0.0, 0.4]]],
    )
    alert: AlertSettings | None = Field(
        default=None,
        title="Alerts",
        description="of a watched zone: its own alert policy, as the camera's",
    )

    @model_validator(mode="after")
    def check_alert(self) -> Self:
        """Raise ValueError where a zone without alerts has a policy."""
        if self.kind == "ignore" and self.alert is not None:
            raise invalid(
                "alert is for a zone of kind watch: an ignored one opens none", code="zone_alert"
            )
        return self

    def as_zone(self) -> Zone:
        """Return the zone as the models take it."""
        return Zone(self.name, self.kind, tuple((x, y) for x, y in self.points))


class CameraSpec(BaseModel):
    """The fields that a client sets. Cross-field checks that need no setting are here too."""

    model_config = STRICT

    url: str = Field(
        title="Address",
        min_length=1,
        max_length=4096,
        repr=False,
        description="`rtsp://`, `rtsps://`, `file:///` or an absolute path below the media folder; "
        "percent-encode `# ? @ / : %` in user and password: `%23 %3F %40 %2F %3A %25`",
        examples=["rtsp://user:password@10.0.0.7/stream1"],
        json_schema_extra={"pattern": urls.FORM},  # urls.check says more than "does not match"
    )
    id: CameraId | None = Field(
        default=None,
        title="Name",
        description="letters, digits, `_` and `-`, up to 64; unset: generated",
        examples=["gate"],
    )
    model: ModelName | None = Field(
        default=None,
        title="Model",
        description="a checkpoint's name, from `/models`; unset: `places`, or `square` with "
        "`calibration` `model`, or the only one",
        examples=["square"],
        json_schema_extra={"x-choices": "/models"},  # the list that the page's form offers
    )
    fps: Fps | None = Field(
        default=None,
        title="Frames a second",
        description="frames a second to keep, up to 120; unset: those that the model was "
        "trained on, where it says so; null: all",
        examples=[10.0],
    )
    pace: Pace = Field(
        default="realtime",
        title="Pace of a file",
        description="`realtime`: as filmed; `fast`: as fast as frames are scored; a live camera "
        "is always `realtime`",
        examples=["realtime"],
    )
    transport: Transport = Field(
        default="tcp",
        title="Transport",
        description="of an `rtsp://` camera: `tcp` or `udp`; `rtsps://` is always `tcp`",
        examples=["tcp"],
    )
    stall_timeout_s: Silence | None = Field(
        default=None,
        title="Longest silence (s)",
        description="seconds without a picture after which the camera is connected anew, 1 to "
        "3,600; unset: `LOOKOUT_STALL_TIMEOUT_S`; three times the distance of two pictures suits "
        "a camera that sends few",
        examples=[30.0],
    )
    calibration: Calibration = Field(
        default="learn",
        title="Calibration",
        description="bounds of normal: `learn` them from this camera's first scores, or take the "
        "`model`'s own",
        examples=["learn"],
    )
    memory: MemoryMode = Field(
        default="paper",
        title="Memory",
        description="`paper`: updated by what the camera sees, as published; `guarded`: held near "
        "training, for cameras that run for months",
        examples=["paper"],
    )
    score: ScoreScheme | None = Field(
        default=None,
        title="Score",
        description="unset: `places` with a model of that kind, else `paper`. `paper`: PSNR and "
        "memory distance as published; `local`: the worst window that lasts; `places`: how unusual "
        "the motion is for its place, learned from this camera; `fused`: `local` and `places` "
        "together",
        examples=["paper"],
    )
    still_frames: StillFrames = Field(
        default=1,
        title="Still pictures",
        description="of a picture that does not change, the model scores one frame in so many and "
        "the others take its score, see [still pictures](#still-pictures); 1: it scores every one",
        examples=[1],
    )
    zones: list[ZoneSettings] = Field(
        default=[],
        title="Zones",
        max_length=MAX_ZONES,
        description="polygons of the picture, see [zones](#zones)",
        examples=[[{"name": "tree", "kind": "ignore", "points": [[0, 0], [0.3, 0], [0, 0.4]]}]],
    )
    learning: Learning | None = Field(
        default=None,
        title="Learning",
        description="`off`; `record`: keep normal footage to train on; `auto`: and train on it "
        "once there is enough, see [learning.md](learning.md); unset: `auto` for a stream of "
        "which neither `model` nor `score` is set, else `off`",
        examples=["off"],
    )
    relearn_every_h: Annotated[float, Field(ge=0.1, le=8760)] | None = Field(
        default=None,
        title="Learn again",
        description="hours from the end of a job to the next, with `learning` at `auto`; unset: "
        "it learns once",
        examples=[168.0],
    )
    relearn_on_drift: bool = Field(
        default=False,
        title="Learn again on drift",
        description="with `learning` at `auto`: learn again once its values of a day are no longer "
        "those of the first day, at most once a day, see "
        "[learning.md](learning.md#learning-again)",
        examples=[False],
    )
    enabled: bool = Field(
        default=True, title="Enabled", description="`false` pauses the camera", examples=[True]
    )
    alert: AlertSettings = Field(
        default=AlertSettings(),
        title="Alerts",
        description="this camera's own alert policy: `threshold` or "
        "[`alarm_budget`](#alarm-budget), `hysteresis`, `min_duration_s`, `clear_after_s`, "
        "`cooldown_s`; each unset one is the setting `LOOKOUT_ALERT_*`",
        examples=[{"threshold": 0.6, "min_duration_s": 1.0}],
    )

    schedule: ScheduleSettings | None = Field(
        default=None,
        title="Schedule",
        description="the times of the week at which alerts open, see [schedules](#schedules); "
        "unset: always",
        examples=[
            {"timezone": "Europe/Zurich", "armed": [{"begin": "22:00", "end": "06:00"}]},
        ],
    )

    @field_validator("url")
    @classmethod
    def lower_scheme(cls, url: str) -> str:
        """Return the url with its scheme in small letters."""
        return urls.normalized(url)

    @field_validator("zones")
    @classmethod
    def check_zones(cls, zones: list[ZoneSettings]) -> list[ZoneSettings]:
        """Raise ValueError where a polygon cannot be used."""
        try:
            check_zones([zone.as_zone() for zone in zones])
        except ZoneError as error:
            raise invalid(str(error), code=error.code, **error.values) from error
        return zones

    @model_validator(mode="after")
    def check_transport(self) -> Self:
        """Raise ValueError where the url cannot be read over the transport."""
        if self.transport == "udp" and not self.url.startswith("rtsp://"):
            raise invalid(
                "transport udp is for rtsp:// alone: rtsps:// is always tcp, and a file has none",
                code="udp_rtsp",
            )
        return self


UNSCORED = {"alert", "schedule", "learning", "relearn_every_h", "relearn_on_drift"}
"""Fields that neither ingest nor inference reads."""

UNREVISED = {"alert", "schedule", "override"}
"""Fields that alerting reads, which change without a revision."""


class Camera(CameraSpec):
    """A camera as the store keeps it. Its url holds the password: log and answer with urls.mask."""

    id: str
    url: str = Field(repr=False)  # of any length, unlike one that is asked for
    model: str
    score: ScoreScheme = "paper"
    learning: Learning = "off"
    created_at: float
    # +1 with each change but those of UNSCORED: ingest and inference restart the camera.
    revision: int
    override: ArmOverride | None = None  # of the schedule
    unreadable: str | None = None  # why its url lacks its password; never stored
    mark: str | None = None  # what of it in the store could not be used; never stored

    @property
    def live(self) -> bool:
        """Whether frames come at their own pace: those not scored in time drop.

        A file at full pace waits instead.
        """
        return self.pace == "realtime" or not urls.is_file(self.url)

    def armed_at(self, at: float) -> bool:
        """Tell whether an alert opens at a time (s, UTC)."""
        if self.override is not None and self.override.holds(at):
            return self.override.armed
        return self.schedule is None or self.schedule.includes(at)

    def stall_limit_s(self, usual_s: float) -> float:
        """Return the longest silence: the camera's own, or `usual_s` from the settings."""
        if self.stall_timeout_s is None:
            return usual_s
        return self.stall_timeout_s

    def first_picture_limit_s(self, connect_s: float) -> float:
        """Return the time to the first picture: `connect_s`, or a longer own silence."""
        return max(connect_s, self.stall_timeout_s or 0.0)

    def changed(self, change: BaseModel) -> Camera:
        """Return this camera with the fields that `change` sets, and its next revision.

        Nested settings are merged. A change of UNSCORED fields alone keeps the revision: their
        stages follow them without a restart of the camera.
        Raises pydantic.ValidationError where the result breaks a cross-field check.
        """
        given = change.model_dump(exclude_unset=True)
        fields = self.model_dump()
        for name, value in given.items():
            before = fields[name]
            is_part = isinstance(value, dict) and isinstance(before, dict)
            fields[name] = before | value if is_part else value
        if "url" in given:
            fields["unreadable"] = None
        fields["mark"] = None
        if given.keys() - UNSCORED:
            fields["revision"] += 1
        return Camera.model_validate(fields)


def change_model() -> type[BaseModel]:
    """Return the model of a PATCH: every field of the spec optional, without the id.

    A field that the record cannot do without may be left out, and may not be null.
    """
    fields: dict[str, Any] = {}
    for name, spec in CameraSpec.model_fields.items():
        if name != "id":
            annotation = spec.rebuild_annotation()
            if NoneType not in get_args(Camera.model_fields[name].annotation):
                annotation = without_none(annotation)
            # A factory, unlike a default, does not show in the schema.
            info = Field(
                default_factory=lambda: None,
                title=spec.title,
                description=spec.description,
                examples=spec.examples,
                json_schema_extra=spec.json_schema_extra,
            )
            fields[name] = (annotation, info)
    return create_model("CameraChange", __config__=STRICT, **fields)


def without_none(annotation: Any) -> Any:
    """Return the type `X` of `X | None`; any other type as it is."""
    parts = get_args(annotation)
    if NoneType not in parts:
        return annotation
    return reduce(or_, (part for part in parts if part is not NoneType))


CameraChange = change_model()


def camera_example() -> dict[str, JsonValue]:
    """Return a value for each field of the spec."""
    fields = CameraSpec.model_fields.items()
    return {name: field.examples[0] for name, field in fields if field.examples}
