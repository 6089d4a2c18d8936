"""/sinks: where alerts are sent."""

from __future__ import annotations

import contextlib
import importlib
import secrets
import time
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from fastapi.openapi.models import Example
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.api.problems import invalid_fields
from lookout.service.api.views import AlertView
from lookout.service.core.addresses import NoSuchHostError, networks_of, resolve_allowed
from lookout.service.core.errors import ConflictError, RequestError
from lookout.service.core.messages import Alert, AlertEvent, AlertKind
from lookout.service.core.notifications import check_service
from lookout.service.core.sink_addresses import SinkKind, server_of, shown_url
from lookout.service.core.sinks import (
    BUILT_IN,
    AlertEventName,
    Letter,
    QuietHours,
    SinkChange,
    SinkFormat,
    SinkRecord,
    SinkSpec,
    SinkState,
)
from lookout.service.core.web_push import EXAMPLE_KEY, public_key

router = APIRouter(tags=["sinks"], route_class=JsonRoute)

CONFLICT: dict[int | str, dict[str, Any]] = {409: {}}  # openapi.py describes it
SINK_EXAMPLE: dict[str, JsonValue] = {
    "id": "pager",
    "kind": "webhook",
    "url": "https://hooks.example/…",
    "has_secret": True,
    "format": "lookout",
    "username": None,
    "has_password": False,
    "ca": None,
    "topic": "lookout",
    "discovery": "homeassistant",
    "enabled": True,
    "events": ["new", "end"],
    "kinds": None,
    "cameras": ["gate"],
    "zones": None,
    "min_peak": 0.0,
    "cooldown_s": 0.0,
    "quiet_hours": None,
    "created_at": 1767225600.0,
    "failing_since": None,
    "last_error": "",
    "delivered_at": 1767225643.2,
    "letters": 0,
}
EXAMPLES: dict[str, Example] = {
    "a webhook": {"value": {"url": "https://hooks.example/lookout"}},
    "a broker": {"value": {"kind": "mqtt", "url": "mqtts://broker.example"}},
    "ntfy": {"value": {"kind": "apprise", "url": "ntfys://ntfy.example/lookout"}},
}


class SinkView(BaseModel):
    """A sink, and how deliveries to it go. Neither path nor secret nor password is shown."""

    model_config = ConfigDict(json_schema_extra={"examples": [SINK_EXAMPLE]})

    id: str
    kind: SinkKind
    url: str
    has_secret: bool
    format: SinkFormat
    username: str | None
    has_password: bool
    ca: str | None
    topic: str
    discovery: str | None
    enabled: bool
    events: list[AlertEventName]
    kinds: list[AlertKind] | None
    cameras: list[str] | None
    zones: list[str] | None
    min_peak: float
    cooldown_s: float
    quiet_hours: QuietHours | None
    created_at: float
    failing_since: float | None = Field(description="null where the last attempt worked")
    last_error: str
    delivered_at: float | None = Field(description="when an event was delivered last")
    letters: int = Field(description="events that could not be delivered")


class SinkList(BaseModel):
    items: list[SinkView]


class LetterView(BaseModel):
    """An event that could not be delivered."""

    id: str
    event: AlertEventName
    alert: AlertView
    reason: str
    failed_at: float
    again: bool = Field(description="it waits to be sent again")

    @classmethod
    def of_letter(cls, letter: Letter) -> LetterView:
        """Return the view of a letter."""
        return cls(
            id=letter.id,
            event=letter.event.event,
            alert=AlertView.of(letter.event.alert),
            reason=letter.reason,
            failed_at=letter.failed_at,
            again=letter.again,
        )


class LetterList(BaseModel):
    items: list[LetterView]


class PushKeyView(BaseModel):
    """The public key of this Lookout, made at its first start."""

    public_key: str = Field(
        description="`applicationServerKey` of `pushManager.subscribe`",
        examples=[EXAMPLE_KEY],
    )


class Queued(BaseModel):
    """Letters that will be sent again."""

    count: int


def views(services: Services, sinks: list[SinkRecord]) -> list[SinkView]:
    """Return sinks as they are now."""
    states = services.store.sink_states()
    letters = services.store.letter_counts([sink.id for sink in sinks])
    found = []
    for sink in sinks:
        state = states.get(sink.id, SinkState())
        shown = sink.model_dump(exclude={"url", "secret", "password", "push_keys", "unreadable"})
        error = state.last_error
        if sink.unreadable is not None:
            error = f"its address cannot be read: {sink.unreadable}"
        found.append(
            SinkView(
                **shown,
                url=shown_url(sink.kind, sink.url),
                has_secret=sink.secret is not None,
                has_password=sink.password is not None,
                failing_since=state.failing_since,
                last_error=error,
                delivered_at=state.delivered_at,
                letters=letters[sink.id],
            )
        )
    return found


def check_address(services: Services, spec: SinkSpec) -> None:
    """Raise RequestError where a sink cannot be sent to from here.

    A name without an address is taken, since it may have one later.
    """
    networks = networks_of(services.settings.webhook_networks)
    try:
        if spec.kind == "apprise":
            check_service(spec.url, networks)
            return
        if spec.kind == "mqtt":
            importlib.import_module("paho.mqtt.client")
        if spec.kind == "webpush":
            importlib.import_module("pywebpush")
    except ImportError:
        raise RequestError(
            f"`pip install 'lookout[{spec.kind}]'` is needed for it",
            code="sink_extra",
            extra=spec.kind,
        ) from None
    with contextlib.suppress(NoSuchHostError):
        resolve_allowed(*server_of(spec.url), networks)


@router.post("/sinks", status_code=201, operation_id="create_sink", responses=CONFLICT)
def add_sink(
    spec: Annotated[
        SinkSpec,
        Body(openapi_examples=EXAMPLES),
    ],
    response: Response,
    services: ServicesDep,
) -> SinkView:
    """Send alerts to a webhook, a broker, a service of Apprise or a browser, from now on."""
    name = spec.id or f"sink-{secrets.token_hex(3)}"
    if name in BUILT_IN:
        raise ConflictError(f"there is a sink {name!r} already", code="sink_exists", sink=name)
    check_address(services, spec)
    record = SinkRecord.model_validate({**dict(spec), "id": name, "created_at": time.time()})
    services.store.add_sink(record)
    services.store.begin_delivery(name)
    response.headers["Location"] = f"/api/v1/sinks/{name}"
    return views(services, [record])[0]


@router.get("/sinks")
def list_sinks(services: ServicesDep) -> SinkList:
    """Return sinks, by id."""
    return SinkList(items=views(services, list(services.store.sinks().values())))


@router.get("/sinks/{sink}")
def get_sink(sink: str, services: ServicesDep) -> SinkView:
    """Return one sink."""
    return views(services, [services.store.sink(sink)])[0]


@router.patch("/sinks/{sink}", operation_id="update_sink")
def change_sink(
    sink: str,
    change: Annotated[
        SinkChange,  # type: ignore[valid-type]
        Body(openapi_examples={"pause": {"value": {"enabled": False}}}),
    ],
    services: ServicesDep,
) -> SinkView:
    """Change a sink; what is not named stays, the secret too."""
    before = services.store.sink(sink)
    try:
        new = before.changed(change)
    except ValidationError as error:
        raise invalid_fields(error) from error
    if new.unreadable is not None:
        raise RequestError(
            f"its address cannot be read: {new.unreadable}; give url, secret and password",
            code="sink_unreadable",
        )
    if new.url != before.url:
        check_address(services, new)
    services.store.replace_sink(new)
    return views(services, [new])[0]


@router.delete("/sinks/{sink}", status_code=204, operation_id="delete_sink")
def remove_sink(sink: str, services: ServicesDep) -> None:
    """Remove a sink and its letters."""
    services.store.remove_sink(sink)


@router.post("/sinks/{sink}/test", status_code=202, operation_id="test_sink")
def try_sink(
    sink: str, services: ServicesDep, camera: Annotated[str, Query(max_length=64)] = "test"
) -> LetterView:
    """Send a made alert of a camera to a sink, whatever the sink chooses.

    It is a letter until it is delivered; `reason` says why it is not.
    """
    services.store.sink(sink)
    now = time.time()
    test_id = f"{camera}:test-{int(now * 1000)}"
    alert = Alert(
        test_id, camera, "closed", now, now, 0.5, 1.0, now, kind="test", detail="a test alert"
    )
    letter = Letter(test_id, AlertEvent("end", alert, test_id), "a test", now)
    services.store.add_letter(sink, letter)
    services.store.send_letters_again(sink, test_id)
    return LetterView.of_letter(letter)


@router.get("/push-key", operation_id="read_push_key")
def get_push_key(services: ServicesDep) -> PushKeyView:
    """Return the key that a browser subscribes to web push with."""
    return PushKeyView(public_key=public_key(services.store.push_key()))


@router.get("/sinks/{sink}/letters", operation_id="list_letters")
def list_letters(sink: str, services: ServicesDep) -> LetterList:
    """Return what could not be delivered, the newest first."""
    services.store.sink(sink)
    letters = services.store.letters(sink)
    return LetterList(items=[LetterView.of_letter(letter) for letter in letters])


@router.post("/sinks/{sink}/resend", status_code=202, operation_id="send_letters")
def send_letters(sink: str, services: ServicesDep) -> Queued:
    """Send all letters of a sink again."""
    services.store.sink(sink)
    return Queued(count=services.store.send_letters_again(sink))


@router.post("/sinks/{sink}/letters/{letter}/send", status_code=202, operation_id="send_letter")
def send_letter(sink: str, letter: str, services: ServicesDep) -> Queued:
    """Send one letter again."""
    services.store.sink(sink)
    return Queued(count=services.store.send_letters_again(sink, letter))


@router.delete("/sinks/{sink}/letters/{letter}", status_code=204, operation_id="delete_letter")
def drop_letter(sink: str, letter: str, services: ServicesDep) -> None:
    """Forget one letter."""
    services.store.sink(sink)
    services.store.drop_letters(sink, letter)
