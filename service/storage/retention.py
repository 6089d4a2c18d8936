"""Retention of alerts and pictures: `alerts_kept_days`, of removed cameras too."""

from __future__ import annotations

import time
from pathlib import Path

from lookout.service.storage import pictures
from lookout.service.storage.store.store import Store

DAY_S = 86_400.0


def drop_expired(store: Store, data_dir: Path, kept_days: float, now_s: float | None = None) -> int:
    """Remove closed alerts opened more than `kept_days` ago, and pictures as old.

    A removed camera whose last alert goes is forgotten. Returns the number of alerts removed.
    Raises one of UNAVAILABLE. May run in several workers at once.
    """
    before_s = (time.time() if now_s is None else now_s) - kept_days * DAY_S
    count = 0
    for camera in store.alerted_cameras():
        for alert_id in store.drop_expired_alerts(camera, before_s):
            pictures.drop(pictures.picture_path(data_dir, alert_id))
            count += 1
        store.forget_alerts_of_removed(camera)
    pictures.drop_expired_pictures(data_dir, before_s)
    return count
