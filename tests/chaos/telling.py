"""Read the acknowledged alerts from the alert log in the store, by a client of its own."""

from __future__ import annotations

import json
from typing import Any, cast

from lookout.service.core.messages import FrameId
from lookout.service.storage.redis import keys
from tests.chaos.looking import COUNT, Looking, Row

LOOK_EVERY_S = 0.1


class AlertWatch(Looking):
    """Reads only what the store has written to disk: nobody hears of anything else."""

    def __init__(self, socket_path: str) -> None:
        super().__init__(socket_path, LOOK_EVERY_S)
        self.told: dict[str, dict[str, Any]] = {}  # id → anomaly, as last told
        self.read: dict[str, FrameId] = {}  # camera → up to which score alerting says it has read
        self._places: dict[str, str] = {}

    def follow(self, camera: str) -> None:
        with self.mutex:
            self._places[camera] = "-"

    def _look(self) -> None:
        with self.mutex:
            cameras = list(self._places)
        for camera in cameras:
            self._look_at(camera)

    def _look_at(self, camera: str) -> None:
        rows = cast(
            list[Row],
            self._redis.xrange(keys.alert_log(camera), min=self._places[camera], count=COUNT),
        )
        state = cast(bytes | None, self._redis.get(keys.alerting(camera)))
        cursor = json.loads(state)["cursor"] if state else None
        with self.mutex:
            if cursor:
                self.read[camera] = FrameId.parse(cursor)
            for entry, row in rows:
                alert = json.loads(row[b"alert"])
                # The other kinds do not follow from the scores; this one is not written.
                if alert.get("kind", "anomaly") == "anomaly":
                    self.told[alert["id"]] = alert
                self._places[camera] = f"({entry.decode()}"
