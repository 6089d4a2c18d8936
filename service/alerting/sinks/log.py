"""Alerts as lines of the stage's log."""

from __future__ import annotations

import logging

from lookout.service.alerting.alert_pictures import about
from lookout.service.core.messages import AlertEvent

log = logging.getLogger(__name__)


class LogSink:
    """Logs when an alert opens and when it closes."""

    name = "log"

    def deliver(self, event: AlertEvent) -> None:
        """Log one line; a raised peak has none."""
        if event.event != "update":
            alert = event.alert
            log.info(
                "alert %s: %s, peak %.3f",
                alert.id,
                alert.state,
                alert.peak_value,
                extra=about(alert),
            )
