"""Deliveries of alert events. A new kind of delivery is one file here and one entry below.

`Sink` is the protocol. `deliveries.Delivery` drives each sink from the alert log, with a cursor of
its own in the store: a sink holds up neither alerting nor another sink.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from lookout.service.alerting.sinks.apprise import AppriseSink
from lookout.service.alerting.sinks.log import LogSink
from lookout.service.alerting.sinks.mqtt import MqttSink
from lookout.service.alerting.sinks.web_push import WebPushSink
from lookout.service.alerting.sinks.webhook import WebhookSink
from lookout.service.core.addresses import networks_of
from lookout.service.core.messages import AlertEvent
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import SinkRecord, Told
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store


class Sink(Protocol):
    """Takes the events of all alerts, those of one camera in order, each at least once."""

    name: str
    """The sink's cursor in the store has this name: another name starts at the end of the log."""

    def deliver(self, event: AlertEvent) -> None:
        """Deliver one event within some seconds; raise any exception to have it tried again."""


@runtime_checkable
class ConnectedSink(Sink, Protocol):
    """A sink that stays connected to its receiver while a worker owns it."""

    @property
    def is_connected(self) -> bool:
        """Whether the receiver can be sent to."""

    def tend(self, told: Mapping[tuple[str, str], Told]) -> None:
        """Keep the connection, about twice a second; raise any exception where there is none.

        told: the last alert that was sent, by camera and `Alert.series`.
        """

    def leave(self) -> None:
        """End the connection: the sink has no owner, or another one."""


def open_sinks(settings: Settings) -> list[Sink]:
    """Return every sink that the settings ask for."""
    del settings  # the log needs none
    return [LogSink()]


def open_sink(record: SinkRecord, settings: Settings, bus: Bus, store: Store) -> Sink:
    """Return a sink that a client set up."""
    networks = networks_of(settings.webhook_networks)
    if record.kind == "mqtt":
        return MqttSink(record, networks, settings.data_dir, bus, store)
    if record.kind == "apprise":
        return AppriseSink(record, networks, settings.data_dir)
    if record.kind == "webpush":
        return WebPushSink(record, networks, store, settings.push_contact)
    return WebhookSink(record, networks)
