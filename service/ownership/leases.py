"""Who owns a camera: a lease on the bus, renewed from a thread of its own, with a token that every write must show.

    free ──take──▶ held ──renewed──▶ held        by whoever works at the stage
                    ├──release──▶ free           handed over, or stopped
                    └──not renewed──▶ lost       killed, stopped or stuck for longer than the lease

A lease that is gone is taken back only where nobody had the camera in between: after a restart of the bus, which
forgets all leases, every camera stays where it was (the others wait one lease for that).
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Literal, cast

import redis
from redis.exceptions import LockError
from redis.lock import Lock

from lookout.service.core.settings import Settings
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.cluster import FAILURES, Cluster
from lookout.service.storage.redis.connections import BUS_URL, open_client

log = logging.getLogger(__name__)

RENEWALS = 3  # attempts within the life of a lease
STUCK_AFTER_S = 20.0  # a worker whose work does not go on loses its leases to one whose does

Standing = Literal["held", "regained", "lost"]


class Leases:
    """The cameras of one worker at one stage. A context: it gives all of them up with its block.

    Methods that talk to the bus may raise one of bus.UNAVAILABLE.
    """

    def __init__(self, client: redis.Redis, stage: str, lease_s: float) -> None:
        self.lease_s = lease_s
        self._redis = client
        self._stage = stage
        self._mutex = threading.Lock()
        self._locks: dict[str, Lock] = {}
        self._lost: set[str] = set()
        self._anew = False  # the bus was started anew, and the worker has not been told
        self._bus: bytes | None = None  # the bus as we know it: another one has lost all leases
        self._wait_until = 0.0  # for those who had a camera before us
        self._alive_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"{stage} leases", daemon=True)

    def __enter__(self) -> Leases:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self.lease_s)
        for camera in self.mine():
            self.release(camera)

    # Taking and giving

    def take(self, camera: str) -> bool:
        """Own the camera from now on; False where somebody else does, or may take it back after a restart."""
        token = uuid.uuid4().hex
        if time.monotonic() < self._wait_until and not self._redis.exists(
            keys.owner(self._stage, camera)
        ):
            return False
        lock = self._new_lock(camera)
        if not lock.acquire(blocking=False, token=token):
            return False
        self._redis.set(keys.owner(self._stage, camera), token)
        with self._mutex:
            self._locks[camera] = lock
            self._lost.discard(camera)
        return True

    def release(self, camera: str) -> None:
        """Own it no longer; whoever asks next may have it. A bus that is away forgets the lease by itself."""
        with self._mutex:
            lock = self._locks.pop(camera, None)
        if lock is None:
            return
        try:
            lock.release()
        except (LockError, *FAILURES) as error:
            log.debug(
                "camera %s: its lease was not given back: %s",
                camera,
                error,
                extra={"camera": camera},
            )

    def token(self, camera: str) -> str:
        """What a write for this camera must show; empty where it is not ours."""
        with self._mutex:
            lock = self._locks.get(camera)
        return (
            cast(bytes, lock.local.token).decode() if lock is not None and lock.local.token else ""
        )

    def mine(self) -> set[str]:
        with self._mutex:
            return set(self._locks)

    def held(self, cameras: Iterable[str]) -> set[str]:
        """Those of `cameras` that somebody owns now."""
        names = list(cameras)
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.exists(keys.lease(self._stage, camera))
        return {camera for camera, there in zip(names, pipe.execute(), strict=True) if there}

    # What became of them

    def look(self) -> tuple[set[str], bool]:
        """Sign of life of the worker; the cameras lost since the last, and whether the bus was started anew since."""
        self._alive_at = time.monotonic()
        self._greet_bus()
        with self._mutex:
            lost, self._lost = self._lost, set()
        anew, self._anew = self._anew, False
        return lost, anew

    def check(self, camera: str) -> Standing:
        """Renew one lease now, after a write was refused. What is lost is told by `look` too."""
        with self._mutex:
            lock = self._locks.get(camera)
        return self._renewed(camera, lock) if lock is not None else "lost"

    def _greet_bus(self) -> None:
        """Notice a bus that was started anew: then those who owned cameras take them back first."""
        name = self._name_of_bus()
        if self._bus is not None and name != self._bus:
            log.warning("the bus was started anew")
            self._anew = True
            self._wait_until = time.monotonic() + self.lease_s
        self._bus = name

    def _name_of_bus(self) -> bytes | None:
        if isinstance(self._redis, Cluster):  # one key would tell of its own node alone
            return self._redis.name()
        self._redis.set(keys.BUS_NAME, uuid.uuid4().hex, nx=True)
        return cast(bytes | None, self._redis.get(keys.BUS_NAME))

    # Renewing

    def _renew(self) -> None:
        """Every third of a lease. While the bus is away nobody else can take a camera either."""
        while not self._stop.wait(self.lease_s / RENEWALS):
            if time.monotonic() - self._alive_at > STUCK_AFTER_S:
                continue
            with self._mutex:
                locks = list(self._locks.items())
            try:
                for camera, lock in locks:
                    self._renewed(camera, lock)
            except FAILURES as error:
                log.debug("leases were not renewed: %s", error)

    def _renewed(self, camera: str, lock: Lock) -> Standing:
        try:
            lock.reacquire()
        except LockError:
            return self._take_back(camera, lock)
        return "held"

    def _take_back(self, camera: str, lock: Lock) -> Standing:
        token = lock.local.token
        if token is None:  # released meanwhile
            return "lost"
        again = self._new_lock(camera)
        if self._is_free_for(camera, token) and again.acquire(blocking=False, token=token):
            if self._is_free_for(camera, token):  # now that nobody can come in between
                self._redis.set(keys.owner(self._stage, camera), token)
                with self._mutex:
                    if camera in self._locks:
                        return "regained"
            again.release()
        with self._mutex:
            if self._locks.get(camera) is lock:
                del self._locks[camera]
                self._lost.add(camera)
        return "lost"

    def _is_free_for(self, camera: str, token: bytes) -> bool:
        """Nobody had it since us."""
        return self._redis.get(keys.owner(self._stage, camera)) in (None, token)

    def _new_lock(self, camera: str) -> Lock:
        return Lock(
            self._redis, keys.lease(self._stage, camera), timeout=self.lease_s, thread_local=False
        )


def open_leases(settings: Settings, stage: str) -> Leases:
    """Leases over a connection of their own. Raises SettingsError without a usable URL."""
    return Leases(open_client(settings.bus_url, BUS_URL), stage, settings.lease_s)
