"""Copies of evidence: every picture and clip on the disk is sent to a bucket, once it is there.

The disk says what there is, the store what was sent: so nothing is lost by a kill at any moment, an
outage of the bucket, or of Redis, while the file is still there. The name in the bucket is that of
the file: what is sent again after a kill is written over itself.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lookout.service.alerting.s3_bucket import S3Bucket
from lookout.service.core.errors import RefusedDeliveryError
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import EVIDENCE, SinkState
from lookout.service.core.throttle import Throttle, backoff_s
from lookout.service.ownership.leases import Leases, open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

FOLDERS = ("pictures", "clips")
SUFFIXES = (".jpg", ".mp4")
LEASES = "evidence"
"""The stage of the one lease: a worker at a time copies, those of other hosts wait."""

STEP_EVERY_S = 0.5
AT_ONCE = 20  # files that are sent before the disk is looked at again
MOST_WAITING = 200  # of a camera, held here; the disk and the store know the others
FRESH_S = 2.0  # a folder that changed so lately may change once more at the same time stamp
FIRST_WAIT_S = 1.0
MOST_WAIT_S = 60.0
REFUSED_WAIT_S = 3600.0  # before a file that the server does not take is tried again
MOST_REFUSED = 1000


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A picture or clip on the disk."""

    path: Path
    name: str  # below the data folder, and in the bucket
    stamp: str  # another one where the file was replaced
    written_at: float  # s, UTC


def evidence_files(data_dir: Path, camera: str) -> dict[str, EvidenceFile]:
    """Return the pictures and clips of a camera by name; temporary files are left out."""
    found = {}
    for folder in FOLDERS:
        with contextlib.suppress(FileNotFoundError), os.scandir(data_dir / folder / camera) as rows:
            for row in rows:
                if row.name.startswith(".") or not row.name.endswith(SUFFIXES):
                    continue
                with contextlib.suppress(FileNotFoundError):  # retention removes it
                    at = row.stat()
                    name = f"{folder}/{camera}/{row.name}"
                    stamp = f"{at.st_mtime_ns}-{at.st_size}"
                    found[name] = EvidenceFile(Path(row.path), name, stamp, at.st_mtime)
    return found


def folder_times(data_dir: Path) -> dict[str, int]:
    """Return when the folders of each camera changed last (ns, UTC): the later of its two."""
    times: dict[str, int] = {}
    for folder in FOLDERS:
        with contextlib.suppress(FileNotFoundError), os.scandir(data_dir / folder) as rows:
            for row in rows:
                with contextlib.suppress(FileNotFoundError):
                    if row.is_dir():
                        times[row.name] = max(times.get(row.name, 0), row.stat().st_mtime_ns)
    return times


class EvidenceCopies:
    """Copies evidence to a bucket where this worker owns the lease, in a thread of its own.

    A context that ends with its block.
    """

    def __init__(
        self, settings: Settings, bus: Bus, store: Store, leases: Leases, bucket: S3Bucket
    ) -> None:
        self._data_dir = settings.data_dir
        self._bus = bus
        self._store = store
        self._leases = leases
        self._bucket = bucket
        self._stop = threading.Event()
        self._lines = Throttle(every_s=60.0, burst=3)
        self._thread = threading.Thread(target=self._run, name="evidence copies", daemon=True)
        self._state = SinkState()
        self.start_over()

    def __enter__(self) -> EvidenceCopies:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._leases.lease_s)

    def start_over(self) -> None:
        """Forget everything that the disk and the store know, too."""
        self._is_owner = False
        self._looked: dict[str, int] = {}  # `folder_times` at the last look, by camera
        self._waiting: dict[str, list[EvidenceFile]] = {}  # by camera
        self._refused: dict[str, tuple[str, float]] = {}  # name → stamp, and when it is tried again
        self._failures = 0  # in a row
        self._due = 0.0  # monotonic s: of the next attempt

    def _run(self) -> None:
        with self._leases:
            while not self._stop.wait(STEP_EVERY_S):
                try:
                    self.step()
                except UNAVAILABLE as error:
                    log.debug("evidence waits for Redis: %s", error)
                    self.start_over()
                except Exception as error:  # nothing else would notice that this thread ended
                    self.log_failure("evidence was not looked at", error)

    def step(self) -> None:
        """Look at what is new, and send some of it. Raises one of UNAVAILABLE, OSError."""
        if LEASES in self._leases.poll().lost:
            self.start_over()
        if LEASES not in self._leases.owned() and not self._leases.take(LEASES):
            return
        if not self._is_owner:
            self._is_owner = True
            self._state = self._store.sink_states().get(EVIDENCE, SinkState())
            self._looked = dict.fromkeys(self._store.alerted_cameras(), 0)
            for camera in self._looked:  # files may be gone since somebody looked
                self.look(camera)
        times = folder_times(self._data_dir)
        now_ns = time.time_ns()
        for camera in self._looked.keys() | times.keys():
            changed = times.get(camera, 0)
            if self._looked.get(camera) != changed:
                self.look(camera)
                if now_ns - changed > FRESH_S * 1e9:
                    self._looked[camera] = changed
        if not self._waiting:  # retention may have removed what could not be sent
            self.note_success("no evidence waits for the bucket any more")
        if time.monotonic() >= self._due:
            self.send()

    def look(self, camera: str) -> None:
        """Compare a camera's files with what was sent. Raises one of UNAVAILABLE."""
        sent = self._store.evidence_copies(camera)
        files = evidence_files(self._data_dir, camera)
        new = [name for name, file in files.items() if sent.get(name) not in ("", file.stamp)]
        gone = [name for name in sent if name not in files]
        lost = [name for name in gone if not sent[name]]
        if lost:
            log.warning(
                "camera %s: %d pictures and clips were removed before they were copied to the "
                "bucket, such as %s",
                camera,
                len(lost),
                lost[0],
                extra={"camera": camera},
            )
            self._bus.count(camera, "evidence_lost", len(lost))
        self._store.note_evidence(camera, dict.fromkeys(new, ""), gone)
        waiting = [file for name, file in files.items() if sent.get(name) != file.stamp]
        self._waiting[camera] = heapq.nlargest(
            MOST_WAITING, waiting, key=lambda file: file.written_at
        )
        if not waiting:
            del self._waiting[camera]

    def send(self) -> None:
        """Send some of the files that wait, the newest first. Raises one of UNAVAILABLE."""
        for file in heapq.nlargest(AT_ONCE, self.due_files(), key=lambda file: file.written_at):
            if self._stop.is_set() or LEASES not in self._leases.owned():
                return
            camera = file.path.parent.name
            try:
                self._bucket.put(file.path, file.name)
            except FileNotFoundError:
                self.look(camera)
                continue
            except RefusedDeliveryError as error:
                if len(self._refused) >= MOST_REFUSED:
                    del self._refused[next(iter(self._refused))]
                self._refused[file.name] = (file.stamp, time.monotonic() + REFUSED_WAIT_S)
                self.log_failure(f"{file.name} is refused, and tried again in an hour", error)
                continue
            except OSError as error:
                self.note_failure(error)
                return
            self._store.note_evidence(camera, {file.name: file.stamp}, [])
            self._bus.count(camera, "evidence_copied")
            self.note_success()
            self._waiting[camera].remove(file)
            if not self._waiting[camera]:
                self.look(camera)

    def due_files(self) -> Iterator[EvidenceFile]:
        """Yield the files that wait, but those that were refused lately."""
        now = time.monotonic()
        for files in self._waiting.values():
            for file in files:
                stamp, again_at = self._refused.get(file.name, ("", 0.0))
                if stamp != file.stamp or now >= again_at:
                    yield file

    def note_success(self, line: str = "evidence is copied to the bucket again") -> None:
        """Save and log that nothing fails, where that is new."""
        if self._state.failing_since is not None:
            log.info(line)
            self._state = SinkState(None, "", time.time())
            self._store.save_sink_state(EVIDENCE, self._state)
        self._failures = 0

    def note_failure(self, error: Exception) -> None:
        """Wait before the next attempt; log the first failure of an outage, and save its reason."""
        self._failures += 1
        most_s = backoff_s(FIRST_WAIT_S, MOST_WAIT_S, self._failures)
        self._due = time.monotonic() + most_s * random.uniform(0.5, 1.0)
        if self._failures == 1:
            log.warning("evidence is not copied to the bucket %s: %s", self._bucket.name, error)
        since = self._state.failing_since or time.time()
        state = replace(self._state, failing_since=since, last_error=str(error)[:300])
        if state != self._state:
            self._state = state
            self._store.save_sink_state(EVIDENCE, state)

    def log_failure(self, what: str, error: Exception) -> None:
        """Log a failure; of many, some."""
        self._lines.note()
        more = self._lines.due()
        if more is not None:
            log.warning("%s: %s%s", what, error, more)


@contextlib.contextmanager
def open_copies(settings: Settings, bus: Bus, store: Store) -> Iterator[None]:
    """Copy evidence in the block, where a bucket is named; say it where the extra is missing."""
    if settings.evidence_bucket is None:
        note_start(store, "")
        yield
        return
    try:
        bucket = S3Bucket(settings)
    except (ImportError, ValueError) as error:
        reason = str(error)
        if isinstance(error, ImportError):
            reason = "`pip install 'lookout[s3]'` is needed for it"
        log.error("evidence is not copied: %s", reason)
        note_start(store, reason)
        yield
        return
    leases = open_leases(settings, LEASES)
    with EvidenceCopies(settings, bus, store, leases, bucket):
        yield


def note_start(store: Store, reason: str) -> None:
    """Save why no copy can be made from now on; empty: none is asked for, so that none fails."""
    try:
        known = store.sink_states().get(EVIDENCE, SinkState())
        since = (known.failing_since or time.time()) if reason else None
        state = replace(known, failing_since=since, last_error=reason)
        if state != known:
            store.save_sink_state(EVIDENCE, state)
    except UNAVAILABLE as error:
        log.debug("how evidence goes is not saved: %s", error)
