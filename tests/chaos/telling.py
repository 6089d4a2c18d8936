"""Which alerts the service has acknowledged: read from the alert log in the store, by a client of its own."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import cast

import redis

from service import keys
from service.messages import FrameId
from tests.chaos.watching import Row, client

LOOK_EVERY_S = 0.1
COUNT = 500


@dataclass
class AlertWatch:
    """A thread, as a context. What it reads, the store has written to disk: nobody hears of anything else."""

    socket_path: str
    told: dict[str, dict[str, object]] = field(default_factory=dict)  # alert id → as last told
    read: dict[str, FrameId] = field(default_factory=dict)  # camera → up to which score alerting says it has read

    def __post_init__(self) -> None:
        self.mutex = threading.Lock()
        self._redis = client(self.socket_path)
        self._places: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alert watch", daemon=True)

    def __enter__(self) -> AlertWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._redis.close()

    def follow(self, camera: str) -> None:
        with self.mutex:
            self._places[camera] = "-"

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            with self.mutex:
                cameras = list(self._places)
            try:
                for camera in cameras:
                    self._look(camera)
            except redis.RedisError:
                continue

    def _look(self, camera: str) -> None:
        rows = cast(list[Row], self._redis.xrange(keys.alert_log(camera), min=self._places[camera], count=COUNT))
        state = cast(bytes | None, self._redis.get(keys.alerting(camera)))
        cursor = json.loads(state)["cursor"] if state else None
        with self.mutex:
            if cursor:
                self.read[camera] = FrameId.parse(cursor)
            for entry, row in rows:
                alert = json.loads(row[b"alert"])
                self.told[alert["id"]] = alert
                self._places[camera] = f"({entry.decode()}"
