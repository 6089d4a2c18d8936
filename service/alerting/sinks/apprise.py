"""Alerts as messages to people, by one service of Apprise: mail, Telegram, ntfy and others."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lookout.service.alerting.sinks.payloads import message
from lookout.service.core.addresses import IpNetwork
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.core.notifications import notify
from lookout.service.core.sinks import SinkRecord
from lookout.service.storage.pictures import Which, picture_path

MOST_BYTES = 2_000_000
"""A larger picture is not sent."""


class AppriseSink:
    """Sends each event as a message. Raises RefusedDeliveryError where no attempt will help."""

    def __init__(self, record: SinkRecord, allowed: Sequence[IpNetwork], data_dir: Path) -> None:
        """allowed: networks that may be sent to beside public addresses; data_dir: of pictures."""
        self.name = record.id
        self._record = record
        self._allowed = allowed
        self._data_dir = data_dir

    def deliver(self, event: AlertEvent) -> None:
        """Send one event; raise any exception to have it tried again."""
        if self._record.unreadable is not None:
            raise ConnectionError(f"its address cannot be read: {self._record.unreadable}")
        title, text = message(event)
        picture = best_picture(self._data_dir, event.alert)
        try:
            notify(self._record.url, self._allowed, title, text, picture)
        except ImportError:
            raise ConnectionError("`pip install 'lookout[apprise]'` is needed for it") from None


def best_picture(data_dir: Path, alert: Alert) -> Path | None:
    """Return the picture of an alert that shows most, of those that are there and can be sent.

    An alert that is over is shown at its peak.
    """
    order: tuple[Which, ...] = ("open", "heat")
    if alert.state == "closed":
        order = ("peak", "open", "heat")
    with contextlib.suppress(ValueError):  # an id that another program wrote
        for which in order:
            path = picture_path(data_dir, alert.id, which)
            with contextlib.suppress(OSError):
                if path.stat().st_size <= MOST_BYTES:
                    return path
    return None
