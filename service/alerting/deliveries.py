"""Delivery of alert events to a sink: from the alert log, behind a cursor in the store."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Literal

from lookout.service.alerting.sinks import Sink
from lookout.service.core.messages import AlertEvent, FrameId
from lookout.service.core.stages import ALERTING
from lookout.service.core.throttle import Throttle
from lookout.service.ownership.leases import Leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

SINK_LEASES = "delivery"
"""The stage of the sinks' leases: one worker at a time delivers to a sink."""

POLL_EVERY_S = 0.5
MAX_EVENTS = 100  # of a camera, read at once
RETRY_AFTER_S = (0.5, 1.0, 2.0, 4.0)
"""Waits between the attempts to deliver an event. After the last it is given up and counted."""


class Delivery:
    """Delivers to one sink, in a thread of its own; a context that ends with its block.

    An event is delivered at least once: the cursor moves behind it afterwards, so that the next
    owner of the sink may deliver the last event again. A sink that is new begins at the end of the
    log.
    """

    def __init__(self, sink: Sink, bus: Bus, store: Store, leases: Leases) -> None:
        self._sink = sink
        self._bus = bus
        self._store = store
        self._leases = leases
        self._stop = threading.Event()
        self._cursors: dict[str, FrameId] | None = None  # by camera; None: the sink is not owned
        self._failures = Throttle(every_s=60.0, burst=3)
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)

    def __enter__(self) -> Delivery:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(self._leases.lease_s)

    def _run(self) -> None:
        with self._leases:
            while not self._stop.wait(POLL_EVERY_S):
                try:
                    self.step()
                except UNAVAILABLE as error:
                    log.debug("sink %s waits for Redis: %s", self._sink.name, error)
                except Exception as error:  # nothing else would notice that this thread ended
                    self.log_failure("the alert log was not read", error)

    def step(self) -> None:
        """Deliver what is new where this worker owns the sink. Raises one of UNAVAILABLE."""
        if not self.owns_sink():
            return
        if self._cursors is None:
            self._cursors = self._store.begin_delivery(self._sink.name)
        after = {camera: self._cursors.get(camera) for camera in self._store.alerted_cameras()}
        for camera, events in self._store.alert_events_after(after, MAX_EVENTS).items():
            for entry, event in events:
                result = self.deliver(event)
                if result is None:
                    return
                # Here first: a store that refuses the write must not have the event repeated.
                self._cursors[camera] = entry
                self._store.save_delivery(self._sink.name, camera, entry)
                counter = f"delivery_{result}_{self._sink.name}"
                self._bus.count_stage(ALERTING.name, {counter: 1})

    def owns_sink(self) -> bool:
        """Return True where this worker owns the sink, or takes it now because it is free."""
        if self._sink.name in self._leases.poll().lost:
            self._cursors = None
        owned = self._sink.name in self._leases.owned()
        return owned or self._leases.take(self._sink.name)

    def deliver(self, event: AlertEvent) -> Literal["delivered", "failed"] | None:
        """Deliver one event, after a failure some more times.

        Returns None where the stage stops or the sink is lost before that is settled.
        """
        for wait_s in (*RETRY_AFTER_S, None):
            try:
                self._sink.deliver(event)
            except Exception as error:  # whatever a sink raises: the next events are delivered
                self.log_failure(f"{event.alert.id} was not delivered", error)
            else:
                return "delivered"
            if wait_s is not None and self._stop.wait(wait_s):
                return None
            if not self.owns_sink() or self._cursors is None:
                return None
        return "failed"

    def log_failure(self, what: str, error: Exception) -> None:
        """Log a failure; of many, some."""
        self._failures.note()
        more = self._failures.due()
        if more is not None:
            log.warning("sink %s: %s: %s%s", self._sink.name, what, error, more)
