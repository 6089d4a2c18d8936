"""The picture of each alert: the frame at which it opened, with its heatmap drawn over it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from lookout.models.vision.overlay import jpeg, overlay
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import Alert, AlertId, Score
from lookout.service.storage import pictures
from lookout.service.storage.bus.bus import Bus

log = logging.getLogger(__name__)


class AlertPictures:
    """Keeps and removes pictures below the data folder. An alert opens with or without one."""

    def __init__(self, data_dir: Path, bus: Bus) -> None:
        self._data_dir = data_dir
        self._bus = bus

    def log_unwritable(self) -> None:
        """Log an error where no picture can be kept: at the start, before an alert needs one."""
        try:
            pictures.check_room(self._data_dir)
        except OSError as error:
            log.error(
                "alerts open without pictures: nothing can be written to %s: %s",
                self._data_dir,
                error.strerror,
            )

    def keep(self, alert: Alert, score: Score) -> None:
        """Write the picture of an alert that `score` opens; log why where there is none.

        Nothing is waited for: score and heatmap are written in one step, so that a heatmap that is
        not there has been trimmed.
        """
        try:
            frame = self._bus.frame(score.camera, score.id)
            if frame is None:
                reason = "its frame is no longer on the bus"
            else:
                heat = self._bus.heat(score.camera, score.id)
                pixels = frame.pixels
                if heat is not None:
                    pixels = overlay(pixels, heat.cells)
                path = pictures.picture_path(self._data_dir, alert.id)
                pictures.keep(path, jpeg(pixels))
                return
        except (OSError, ValueError, BrokenMessageError) as error:
            reason = str(error)
        log.warning("alert %s opens without a picture: %s", alert.id, reason, extra=about(alert))

    def drop(self, alert_ids: Iterable[str]) -> None:
        """Remove the pictures of alerts that are no longer kept."""
        for alert_id in alert_ids:
            pictures.drop_evidence(self._data_dir, alert_id)


def about(alert: Alert) -> dict[str, object]:
    """Return the fields of a log line: the camera, and the frame at which the alert opened."""
    fields: dict[str, object] = {"camera": alert.camera}
    with contextlib.suppress(ValueError):  # an id that another program wrote
        fields |= AlertId.parse(alert.id).frame._asdict()
    return fields
