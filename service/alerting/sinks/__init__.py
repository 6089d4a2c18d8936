"""Deliveries of alert events. A new kind of delivery is one file here and one entry below.

`Sink` is the protocol. `deliveries.Delivery` drives each sink from the alert log, with a cursor of
its own in the store: a sink holds up neither alerting nor another sink.
"""

from __future__ import annotations

from typing import Protocol

from lookout.service.alerting.sinks.log import LogSink
from lookout.service.core.messages import AlertEvent
from lookout.service.core.settings import Settings


class Sink(Protocol):
    """Takes the events of all alerts, those of one camera in order, each at least once."""

    name: str
    """The sink's cursor in the store has this name: another name starts at the end of the log."""

    def deliver(self, event: AlertEvent) -> None:
        """Deliver one event within some seconds; raise any exception to have it tried again."""


def open_sinks(settings: Settings) -> list[Sink]:
    """Return every sink that the settings ask for."""
    del settings  # the log needs none
    return [LogSink()]
