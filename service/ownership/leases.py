"""Leases: the worker that holds a camera's lease at a stage owns the camera there.

A lease is redis-py's Lock (token, time to live, extension), renewed by a thread of its own: a long
step of the worker's work loses nothing. A worker that hangs (`STUCK_AFTER_S` without `poll`) is no
longer renewed. A lease that ran out is taken back where nobody had the camera in between: after a
restart of the bus, which forgets all leases, every camera stays where it was, since other workers
wait for the life of a lease before they take one.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, cast

import redis
from redis.exceptions import LockError, WatchError
from redis.lock import Lock

from lookout.service.core.settings import Settings
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.cluster import Cluster
from lookout.service.storage.redis.connect import BUS_URL, UNAVAILABLE, open_client

log = logging.getLogger(__name__)

RENEWALS = 3  # attempts within the life of a lease
STUCK_AFTER_S = 20.0  # a worker that hangs for so long loses its leases to one that works

LeaseState = Literal["held", "regained", "lost"]


class LeaseChanges(NamedTuple):
    """The changes since the last `poll`."""

    lost: set[str]  # cameras
    bus_restarted: bool


class Leases:
    """The cameras of one worker at one stage, as a context that gives all of them back at its end.

    Methods that call the bus may raise one of UNAVAILABLE.
    """

    def __init__(self, client: redis.Redis, stage: str, lease_s: float) -> None:
        self.lease_s = lease_s
        self._redis = client
        self._stage = stage
        self._mutex = threading.Lock()
        self._locks: dict[str, Lock] = {}
        self._lost: set[str] = set()
        self._taking_back = threading.Lock()
        self._bus_restarted = False  # since the last poll
        self._bus_name: bytes | None = None  # another name: a bus that has lost all leases
        self._wait_until = 0.0  # before that, a camera is left to the worker that had it
        self._alive_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_all, name=f"{stage} leases", daemon=True)

    def __enter__(self) -> Leases:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self.lease_s)
        for camera in self.owned():
            self.release(camera)

    def take(self, camera: str) -> bool:
        """Own the camera from now on.

        Returns False where another worker owns it, or may take it back after a restart of the bus,
        whether `poll` has noticed the restart or not.
        """
        token = uuid.uuid4().hex
        if time.monotonic() < self._wait_until and not self._redis.exists(
            keys.owner(self._stage, camera)
        ):
            return False
        lock = self.new_lock(camera)
        if not self._acquire_on_known_bus(lock, token):
            return False
        self._redis.set(keys.owner(self._stage, camera), token)
        with self._mutex:
            self._locks[camera] = lock
            self._lost.discard(camera)
        return True

    def _acquire_on_known_bus(self, lock: Lock, token: str) -> bool:
        """Acquire a lease in one step with a look at the bus's name.

        On a bus that was restarted since the last `poll`, every camera looks free. To take one and
        give it back would be enough for its owner to find it lost.
        """
        if self._bus_name is None or isinstance(self._redis, Cluster):
            return bool(lock.acquire(blocking=False, token=token))
        pipe: Any
        with self._redis.pipeline() as pipe:
            pipe.watch(keys.BUS_NAME)
            if cast(bytes | None, pipe.get(keys.BUS_NAME)) != self._bus_name:
                return False
            pipe.multi()
            pipe.set(lock.name, token, nx=True, px=int(self.lease_s * 1000))
            try:
                (is_ours,) = pipe.execute()
            except WatchError:
                return False
        if is_ours:
            lock.local.token = token.encode()
        return bool(is_ours)

    def release(self, camera: str) -> None:
        """Give the camera back; the next worker that asks gets it. Never raises UNAVAILABLE."""
        with self._mutex:
            lock = self._locks.pop(camera, None)
        if lock is None:
            return
        try:
            lock.release()
        except (LockError, *UNAVAILABLE) as error:  # then the lease runs out by itself
            log.debug(
                "camera %s: its lease was not given back: %s",
                camera,
                error,
                extra={"camera": camera},
            )

    def token(self, camera: str) -> str:
        """Return the token that a write for this camera must show; empty where it is not owned."""
        with self._mutex:
            lock = self._locks.get(camera)
        if lock is None:
            return ""
        token = cast(bytes | None, lock.local.token)
        if not token:  # released meanwhile
            return ""
        return token.decode()

    def owned(self) -> set[str]:
        """Return the cameras of this worker."""
        with self._mutex:
            return set(self._locks)

    def taken(self, cameras: Iterable[str]) -> set[str]:
        """Return those of `cameras` that any worker owns now."""
        names = list(cameras)
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.exists(keys.lease(self._stage, camera))
        return {camera for camera, exists in zip(names, pipe.execute(), strict=True) if exists}

    def poll(self) -> LeaseChanges:
        """Return the changes since the last call, which is also the worker's sign of life."""
        self._alive_at = time.monotonic()
        self.notice_restart()
        with self._mutex:
            changes = LeaseChanges(self._lost, self._bus_restarted)
            self._lost = set()
            self._bus_restarted = False
        return changes

    def renew(self, camera: str) -> LeaseState:
        """Renew one lease now, after a write was refused. `poll` returns a lost one too."""
        with self._mutex:
            lock = self._locks.get(camera)
        if lock is None:
            return "lost"
        return self._renew(camera, lock)

    def notice_restart(self) -> None:
        """Compare the bus's name with the last one: a restarted bus has lost all leases."""
        if isinstance(self._redis, Cluster):  # one key would stand for its own node alone
            name: bytes | None = self._redis.run_ids()
        else:
            pipe: Any = self._redis.pipeline(transaction=False)
            pipe.set(keys.BUS_NAME, uuid.uuid4().hex, nx=True)
            pipe.get(keys.BUS_NAME)
            name = cast(bytes | None, pipe.execute()[1])
        if self._bus_name is not None and name != self._bus_name:
            log.warning("the bus was restarted")
            self._bus_restarted = True
            self._wait_until = time.monotonic() + self.lease_s
        self._bus_name = name

    def _renew_all(self) -> None:
        """Renew every third of a lease. While the bus is away nobody can take a camera either."""
        while not self._stop.wait(self.lease_s / RENEWALS):
            if time.monotonic() - self._alive_at > STUCK_AFTER_S:
                continue
            try:
                self._renew_together()
            except UNAVAILABLE as error:
                log.debug("leases were not renewed: %s", error)

    def _renew_together(self) -> None:
        """Renew every lease in one round trip."""
        with self._mutex:
            owned = [(camera, lock, lock.local.token) for camera, lock in self._locks.items()]
        locks = [entry for entry in owned if entry[2] is not None]  # None: released meanwhile
        pipe: Any = self._redis.pipeline(transaction=False)
        life_ms = str(int(self.lease_s * 1000))
        for _, lock, token in locks:
            script = Lock.LUA_REACQUIRE_SCRIPT
            pipe.execute_command("EVAL", script, 1, lock.name, token, life_ms)
        for (camera, lock, _), renewed in zip(locks, pipe.execute(), strict=True):
            if not renewed:
                self._take_back(camera, lock)

    def _renew(self, camera: str, lock: Lock) -> LeaseState:
        try:
            lock.reacquire()
        except LockError:
            return self._take_back(camera, lock)
        return "held"

    def _take_back(self, camera: str, lock: Lock) -> LeaseState:
        """Take a lease that ran out once more, unless another worker had the camera since.

        The worker and the renewing thread may both find the lease run out. The second waits here,
        and finds what the first has taken back.
        """
        with self._taking_back:
            token = lock.local.token
            if token is None:  # released meanwhile
                return "lost"
            try:
                lock.reacquire()
            except LockError:
                pass
            else:
                return "regained"
            again = self.new_lock(camera)
            if self.is_last_owner(camera, token) and again.acquire(blocking=False, token=token):
                if self.is_last_owner(camera, token):  # now nobody can come in between
                    self._redis.set(keys.owner(self._stage, camera), token)
                    with self._mutex:
                        if self._locks.get(camera) is lock:
                            return "regained"
                again.release()
            with self._mutex:
                if self._locks.get(camera) is lock:
                    del self._locks[camera]
                    self._lost.add(camera)
            return "lost"

    def is_last_owner(self, camera: str, token: bytes) -> bool:
        """Return True where no other token had the camera since, or none is known."""
        return self._redis.get(keys.owner(self._stage, camera)) in (None, token)

    def new_lock(self, camera: str) -> Lock:
        """Return a lock, not acquired yet, for the camera's lease."""
        return Lock(
            self._redis, keys.lease(self._stage, camera), timeout=self.lease_s, thread_local=False
        )


def open_leases(settings: Settings, stage: str) -> Leases:
    """Return leases over a connection of their own. Raises SettingsError without a usable URL."""
    return Leases(open_client(settings.bus_url, BUS_URL), stage, settings.lease_s)
