"""Delivery of alert events to a sink: from the alert log, behind a cursor in the store."""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import threading
import time
from dataclasses import replace
from types import TracebackType
from typing import Literal

from lookout.service.alerting.sinks import ConnectedSink, Sink, open_sink, open_sinks
from lookout.service.core.errors import GoneReceiverError, NotFoundError, RefusedDeliveryError
from lookout.service.core.messages import AlertEvent, FrameId
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import AlertEventName, Letter, SinkRecord, SinkState, Told, choose
from lookout.service.core.stages import ALERTING
from lookout.service.core.throttle import Throttle, backoff_s
from lookout.service.ownership.leases import Leases, open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

SINK_LEASES = "delivery"
"""The stage of the sinks' leases: one worker at a time delivers to a sink."""

POLL_EVERY_S = 0.5
MAX_EVENTS = 100  # of a camera, read at once
RETRY_AFTER_S = (0.5, 1.0, 2.0, 4.0)
"""Waits between the first attempts to deliver an event."""

RETRY_MOST_S = 600.0  # between later attempts
LOOK_EVERY_S = 1.0  # for letters, while an attempt is waited for
FOLLOW_EVERY_S = 1.0

Result = Literal["delivered", "failed"]


class Delivery:
    """Delivers to one sink, in a thread of its own; a context that ends with its block.

    An event is delivered at least once, under the same id: the cursor moves behind it afterwards,
    so that the next owner of the sink may deliver the last event again. A sink that is new begins
    at the end of the log. An event that is given up is a dead letter.
    """

    def __init__(
        self,
        sink: Sink,
        bus: Bus,
        store: Store,
        leases: Leases,
        record: SinkRecord | None = None,
        retry_for_s: float = 0.0,
    ) -> None:
        """record: chooses the events, None: all; retry_for_s: an event that is older is given up
        once the first attempts have failed.
        """
        self._sink = sink
        self._connected = sink if isinstance(sink, ConnectedSink) else None
        self._is_away = False  # the receiver, when it was tended last
        self._bus = bus
        self._store = store
        self._leases = leases
        self._record = record
        self._retry_for_s = retry_for_s
        self._stop = threading.Event()
        self._cursors: dict[str, FrameId] | None = None  # by camera; None: the sink is not owned
        self._told: dict[tuple[str, str], Told] = {}
        self._state = SinkState()
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

    def stop(self) -> None:
        """Ask for the end, which `__exit__` waits for."""
        self._stop.set()

    def _run(self) -> None:
        with self._leases:
            while not self._stop.wait(POLL_EVERY_S):
                try:
                    self.step()
                except UNAVAILABLE as error:
                    log.debug("sink %s waits for Redis: %s", self._sink.name, error)
                except Exception as error:  # nothing else would notice that this thread ended
                    self.log_failure("the alert log was not read", error)
            if self._connected is not None:
                self._connected.leave()

    def step(self) -> None:
        """Deliver what is new where this worker owns the sink. Raises one of UNAVAILABLE."""
        if not self.owns_sink():
            return
        if self._cursors is None:
            self._cursors = self._store.begin_delivery(self._sink.name)
            self._told = self._store.told(self._sink.name)
            self._state = self._store.sink_states().get(self._sink.name, SinkState())
            self._is_away = self._state.failing_since is not None
        self.tend()
        self.send_letters()
        after = {camera: self._cursors.get(camera) for camera in self._store.alerted_cameras()}
        for camera, events in self._store.alert_events_after(after, MAX_EVENTS).items():
            for entry, event in events:
                if not self.handle(camera, entry, event):
                    return

    def handle(self, camera: str, entry: FrameId, event: AlertEvent) -> bool:
        """Deliver an event, or leave it out; return False where that is not settled yet."""
        told = None
        key = (camera, event.alert.series)
        result: Result | Literal["left_out"] | None = "left_out"
        name: AlertEventName | None = event.event
        if event.alert.suppressed_by is not None:
            name = None
        elif self._record is not None:
            name = choose(self._record, event, self._told.get(key))
        if name is not None:
            result = self.deliver(replace(event, event=name))
            told = Told(event.alert.opened_at, event.alert.id)
        if result is None or self._cursors is None:
            return False
        # Here first: a store that refuses the write must not have the event repeated.
        self._cursors[camera] = entry
        first = None
        if told is not None and self._record is not None and self._told.get(key) != told:
            self._told[key] = told
            first = (key[1], told)
        self._store.save_delivery(self._sink.name, camera, entry, first)
        self._bus.count_stage(ALERTING.name, {f"delivery_{result}_{self._sink.name}": 1})
        return True

    def tend(self) -> None:
        """Have a sink that stays connected keep its connection. Raises one of UNAVAILABLE."""
        if self._connected is None:
            return
        try:
            self._connected.tend(self._told)
        except UNAVAILABLE:
            raise
        except Exception as error:  # whatever a sink raises
            self._is_away = True
            self.note_failure("there is no connection", error)
        else:
            if self._is_away:
                self._is_away = False
                self.note(replace(self._state, failing_since=None, last_error=""))

    def wait(self, seconds: float) -> bool:
        """Wait before the next attempt; return False where the stage stops or the sink is lost.

        Letters that somebody wants sent again do not wait, and a receiver that was away and is back
        ends the wait.
        """
        until = time.monotonic() + seconds
        was_connected = self._connected is None or self._connected.is_connected
        while True:
            left_s = until - time.monotonic()
            if self._stop.wait(max(0.0, min(left_s, LOOK_EVERY_S))):
                return False
            if not self.owns_sink() or self._cursors is None:
                return False
            self.tend()
            is_back = not was_connected and self._connected and self._connected.is_connected
            if left_s <= LOOK_EVERY_S or is_back:
                return True
            self.send_letters()

    def send_letters(self) -> None:
        """Send the letters that wait to be sent again."""
        for letter in self._store.letters_to_send_again(self._sink.name):
            if self._stop.is_set():
                return
            self.send_again(letter)

    def send_again(self, letter: Letter) -> None:
        """Try a dead letter once more; it goes, or stays with another reason."""
        try:
            self._sink.deliver(letter.event)
        except GoneReceiverError as error:
            self.remove_sink(error)
            return
        except Exception as error:  # whatever a sink raises
            again = replace(letter, reason=str(error)[:300], failed_at=time.time(), again=False)
            self._store.add_letter(self._sink.name, again)
            return
        with contextlib.suppress(NotFoundError):  # somebody dropped it meanwhile
            self._store.drop_letters(self._sink.name, letter.id)
        self._bus.count_stage(ALERTING.name, {f"delivery_delivered_{self._sink.name}": 1})
        self.note(SinkState(None, "", time.time()))

    def owns_sink(self) -> bool:
        """Return True where this worker owns the sink, or takes it now because it is free."""
        if self._sink.name in self._leases.poll().lost:
            self._cursors = None
            if self._connected is not None:
                self._connected.leave()
        owned = self._sink.name in self._leases.owned()
        return owned or self._leases.take(self._sink.name)

    def deliver(self, event: AlertEvent) -> Result | None:
        """Deliver one event, after a failure some more times.

        Returns None where the stage stops or the sink is lost before that is settled.
        """
        written_at = 0.0  # s, UTC
        if event.id:
            written_at = FrameId.parse(event.id.rpartition(":")[2]).session / 1000
        for attempt in itertools.count():
            try:
                self._sink.deliver(event)
            except GoneReceiverError as error:
                self.remove_sink(error)
                return None
            except RefusedDeliveryError as error:
                return self.give_up(event, error)
            except Exception as error:  # whatever a sink raises: the next events are delivered
                self.note_failure(f"{event.alert.id} was not delivered", error)
                wait_s = wait_after(attempt)
                is_late = time.time() - written_at >= self._retry_for_s
                if attempt >= len(RETRY_AFTER_S) and is_late:
                    return self.give_up(event, error)
            else:
                self.note(SinkState(None, "", time.time()))
                return "delivered"
            if not self.wait(wait_s):
                return None
        return None

    def remove_sink(self, error: Exception) -> None:
        """Remove the sink, whose receiver has gone, and then end its delivery.

        Raises one of UNAVAILABLE.
        """
        self.log_failure("it is removed", error)
        with contextlib.suppress(NotFoundError):
            self._store.remove_sink(self._sink.name)
        self._stop.set()

    def give_up(self, event: AlertEvent, error: Exception) -> Result:
        """Keep an event as a dead letter."""
        self.note_failure(f"{event.alert.id} is given up", error)
        letter = Letter(event.id, event, str(error)[:300], time.time())
        if dropped := self._store.add_letter(self._sink.name, letter):
            self._bus.count_stage(ALERTING.name, {f"delivery_dropped_{self._sink.name}": dropped})
        return "failed"

    def note(self, state: SinkState) -> None:
        """Save how deliveries go, where that has changed."""
        if state != self._state:
            self._state = state
            self._store.save_sink_state(self._sink.name, state)

    def note_failure(self, what: str, error: Exception) -> None:
        """Log a failure, and save that deliveries fail and why."""
        self.log_failure(what, error)
        since = self._state.failing_since or time.time()
        self.note(replace(self._state, failing_since=since, last_error=str(error)[:300]))

    def log_failure(self, what: str, error: Exception) -> None:
        """Log a failure; of many, some."""
        self._failures.note()
        more = self._failures.due()
        if more is not None:
            log.warning("sink %s: %s: %s%s", self._sink.name, what, error, more)


def wait_after(attempt: int) -> float:
    """Return the seconds before the next attempt; of later ones, a random part of a rising wait."""
    if attempt < len(RETRY_AFTER_S):
        return RETRY_AFTER_S[attempt]
    most_s = backoff_s(2 * RETRY_AFTER_S[-1], RETRY_MOST_S, attempt - len(RETRY_AFTER_S) + 1)
    return most_s * random.uniform(0.5, 1.0)


class Deliveries:
    """Delivers to every sink: those that are always there, and those that clients set up.

    A context that ends with its block. A sink that is changed begins anew where it was.
    """

    def __init__(self, settings: Settings, bus: Bus, store: Store) -> None:
        self._settings = settings
        self._bus = bus
        self._store = store
        self._stop = threading.Event()
        self.followed: dict[str, SinkRecord] = {}  # those that clients set up, as they run
        self._running: dict[str, Delivery] = {}
        self._thread = threading.Thread(target=self._run, name="sinks", daemon=True)

    def __enter__(self) -> Deliveries:
        for sink in open_sinks(self._settings):
            self.start(Delivery(sink, self._bus, self._store, self.leases()), sink.name)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2.0)
        for delivery in self._running.values():
            delivery.stop()  # all at once: waiting for each takes up to a lease where Redis is gone
        for delivery in self._running.values():
            delivery.__exit__(None, None, None)

    def leases(self) -> Leases:
        """Return the leases of one sink."""
        return open_leases(self._settings, SINK_LEASES)

    def start(self, delivery: Delivery, name: str) -> None:
        """Begin to deliver to a sink."""
        delivery.__enter__()
        self._running[name] = delivery

    def _run(self) -> None:
        while not self._stop.wait(FOLLOW_EVERY_S):
            try:
                self.follow()
            except UNAVAILABLE as error:
                log.debug("the sinks are not followed: %s", error)
            except Exception as error:  # nothing else would notice that this thread ended
                log.warning("the sinks are not followed: %s", error)

    def follow(self) -> None:
        """Start, stop and restart deliveries as the store's sinks say. Raises UNAVAILABLE."""
        wanted = self._store.sinks()
        for name, present in list(self.followed.items()):
            if wanted.get(name) != present:
                self._running.pop(name).__exit__(None, None, None)
                del self.followed[name]
        retry_for_s = self._settings.webhook_retry_h * 3600
        for name in wanted.keys() - self.followed.keys():
            record = wanted[name]
            sink = open_sink(record, self._settings, self._bus, self._store)
            delivery = Delivery(sink, self._bus, self._store, self.leases(), record, retry_for_s)
            self.start(delivery, name)
            self.followed[name] = record
