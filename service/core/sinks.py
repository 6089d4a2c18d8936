"""Sinks that a client sets up: where alerts are sent, which ones, and how each delivery went."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from lookout.service.core.camera import STRICT, CameraId
from lookout.service.core.messages import AlertEvent, AlertKind
from lookout.service.core.schedule import HOUR, check_hour, zone_of
from lookout.service.core.sink_addresses import SinkKind, check_sink_url
from lookout.service.core.web_push import PushKeys

SinkFormat = Literal["lookout", "alertmanager"]
AlertEventName = Literal["new", "update", "end"]

MAX_SINKS = 20
EVIDENCE = "evidence"
"""The name under which it is kept how copies of evidence go; it is no sink."""

BUILT_IN = frozenset({"log", EVIDENCE})
"""Names that no sink of a client may have: of sinks that are always there, and `EVIDENCE`."""


class QuietHours(BaseModel):
    """Hours of each day in which nothing is sent: alerts that open in them are left out."""

    model_config = STRICT

    begin: str = Field(
        description="such as `22:00`", examples=["22:00"], json_schema_extra={"pattern": HOUR}
    )
    end: str = Field(
        description="such as `06:00`; of the next day if it is earlier",
        examples=["06:00"],
        json_schema_extra={"pattern": HOUR},
    )
    timezone: str = Field(default="UTC", max_length=64, examples=["Europe/Zurich"])

    @field_validator("begin", "end")
    @classmethod
    def check_times(cls, text: str) -> str:
        """Raise ValueError where it is no time of day."""
        return check_hour(text)

    @field_validator("timezone")
    @classmethod
    def check_timezone(cls, name: str) -> str:
        """Raise ValueError where there is no such time zone here."""
        zone_of(name)
        return name

    def include(self, at: float) -> bool:
        """Tell whether a time (s, UTC) is in them."""
        clock = datetime.datetime.fromtimestamp(at, zone_of(self.timezone)).strftime("%H:%M")
        if self.begin <= self.end:
            return self.begin <= clock < self.end
        return clock >= self.begin or clock < self.end


Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=128)]

FIELDS_OF_KIND: dict[str, SinkKind] = {
    "secret": "webhook",
    "format": "webhook",
    "username": "mqtt",
    "password": "mqtt",
    "ca": "mqtt",
    "topic": "mqtt",
    "discovery": "mqtt",
    "push_keys": "webpush",
}
"""Fields that have a meaning for one kind alone."""


class SinkSpec(BaseModel):
    """A receiver of alerts, and the alerts that it takes. An unset list takes all."""

    model_config = STRICT

    id: CameraId | None = Field(default=None, description="unset: generated", examples=["pager"])
    kind: SinkKind = Field(
        default="webhook",
        description="`mqtt`: a broker, with Home Assistant's discovery; `apprise`: mail, Telegram, "
        "ntfy and the other services of Apprise; `webpush`: notifications of a browser",
    )
    url: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="of a webhook `https://` or `http://`, shown without its path, which may be a "
        "secret; of a broker `mqtts://` or `mqtt://`; with Apprise the address of its service, "
        "shown without all but its scheme; of a browser the `endpoint` of its subscription",
        examples=["https://hooks.example/lookout"],
        repr=False,
    )
    secret: Annotated[str, Field(min_length=16, max_length=256)] | None = Field(
        default=None,
        description="signs each request (HMAC-SHA-256); never shown",
        examples=["a-secret-of-both-sides"],
        repr=False,
    )
    format: SinkFormat = Field(
        default="lookout", description="the body: Lookout's own, or Alertmanager's version 4"
    )
    username: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="of the broker", examples=["lookout"]
    )
    password: Annotated[SecretStr, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="of the broker; never shown"
    )
    ca: Annotated[str, Field(max_length=16_384)] | None = Field(
        default=None,
        description="certificates (PEM) that a broker's is checked by; unset: those of the system",
    )
    topic: Topic = Field(
        default="lookout", description="the broker's topics begin so; one Lookout has it to itself"
    )
    discovery: Topic | None = Field(
        default="homeassistant",
        description="the topic below which Home Assistant looks for devices; null: none is told",
    )
    push_keys: PushKeys | None = Field(
        default=None, description="of a browser's subscription: its `keys`", repr=False
    )
    enabled: bool = Field(default=True, description="`false`: what happens meanwhile is never sent")
    events: list[AlertEventName] = Field(
        default=["new", "end"], min_length=1, max_length=3, description="`update`: the peak rose"
    )
    kinds: list[AlertKind] | None = Field(default=None, max_length=8)
    cameras: list[CameraId] | None = Field(default=None, max_length=1000)
    zones: list[CameraId] | None = Field(
        default=None,
        max_length=1000,
        description="alerts of watched zones with these names alone; those of the whole picture "
        "are left out",
    )
    min_peak: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="an alert is sent once its peak is this high"
    )
    cooldown_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=0.0,
        description="an alert that opens so soon after the last one that was sent of its camera "
        "is left out",
    )
    quiet_hours: QuietHours | None = None

    @field_validator("url")
    @classmethod
    def check_url(cls, url: str, info: ValidationInfo) -> str:
        """Raise ValueError where it is no address of a sink of its kind."""
        kind = info.data.get("kind")
        return url if kind is None else check_sink_url(kind, url)

    @field_validator("ca")
    @classmethod
    def check_certificates(cls, text: str | None) -> str | None:
        """Raise ValueError where there is no certificate in it."""
        if text is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
            except (ssl.SSLError, TypeError, ValueError):  # empty, or other letters than ASCII's
                raise ValueError("no certificate (PEM) can be read from it") from None
        return text

    @model_validator(mode="after")
    def check_fields_of_kind(self) -> Self:
        """Raise ValueError for a field that has no meaning for this kind."""
        for name, kind in FIELDS_OF_KIND.items():
            if kind != self.kind and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` is of a sink of kind {kind}, and this is {self.kind}")
        is_unreadable = getattr(self, "unreadable", None) is not None
        if self.kind == "webpush" and self.push_keys is None and not is_unreadable:
            raise ValueError("kind webpush needs `push_keys`")
        if self.password is not None and self.username is None:
            raise ValueError("`password` needs `username`")
        if self.ca is not None and not self.url.startswith("mqtts://"):
            raise ValueError("`ca` is for mqtts://")
        return self


class SinkRecord(SinkSpec):
    """A sink as the store keeps it; its address and secret are encrypted there."""

    id: str
    created_at: float
    unreadable: str | None = None  # why its address cannot be decrypted; never stored

    def changed(self, change: BaseModel) -> Self:
        """Return this sink with the fields that `change` sets. Raises pydantic.ValidationError."""
        given = change.model_dump(exclude_unset=True)
        fields = self.model_dump() | given
        if "url" in given:
            fields["unreadable"] = None
        return type(self).model_validate(fields)


def change_model() -> type[BaseModel]:
    """Return the model of a PATCH: every field optional, without id and kind."""
    fields: dict[str, Any] = {}
    for name, spec in SinkSpec.model_fields.items():
        if name not in ("id", "kind"):
            info = Field(default_factory=lambda: None, description=spec.description)
            fields[name] = (spec.rebuild_annotation(), info)
    return create_model("SinkChange", __config__=STRICT, **fields)


SinkChange = change_model()


@dataclass(frozen=True, slots=True)
class Letter:
    """An event that could not be delivered to a sink."""

    id: str  # of the event
    event: AlertEvent
    reason: str
    failed_at: float  # s, UTC
    again: bool = False  # it waits to be sent again


@dataclass(frozen=True, slots=True)
class SinkState:
    """The progress of deliveries to a sink."""

    failing_since: float | None = None  # s, UTC; None: the last attempt worked
    last_error: str = ""
    delivered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """The last alert of a camera that was sent to a sink."""

    opened_at: float
    id: str


def choose(sink: SinkSpec, event: AlertEvent, last: Told | None) -> AlertEventName | None:
    """Return as which event it is sent; None where it is left out.

    An alert is first sent as `new` or, where it is over by then, as `end`. Repeated for the same
    event and `last`, the answer is the same. last: of the event's camera and `Alert.series`.
    """
    alert = event.alert
    # A test alert goes to each sink as a letter of its own.
    if alert.kind == "test" or not sink.enabled or not takes(sink, event):
        return None
    if last is not None and last.id == alert.id:
        return event.event if event.event in sink.events else None
    if alert.peak_value < sink.min_peak:
        return None
    if last is not None and 0 <= alert.opened_at - last.opened_at < sink.cooldown_s:
        return None
    if sink.quiet_hours is not None and sink.quiet_hours.include(alert.opened_at):
        return None
    name: AlertEventName = "new"
    if event.event == "end":
        name = "end"
    return name if name in sink.events else None


def takes(sink: SinkSpec, event: AlertEvent) -> bool:
    """Tell whether a sink takes alerts of this camera, zone and kind."""
    alert = event.alert
    is_camera = sink.cameras is None or alert.camera in sink.cameras
    is_zone = sink.zones is None or alert.zone in sink.zones
    return is_camera and is_zone and (sink.kinds is None or alert.kind in sink.kinds)
