"""The recordings that clients upload, in a folder below the media folder, and their retention.

A recording is there whole or not at all: it has a temporary name until all of it is on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookout.service.core.errors import ConflictError, NoRoomError, NotFoundError, RequestError
from lookout.service.core.settings import Settings

log = logging.getLogger(__name__)

FOLDER = "uploads"
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_. ()+-]{0,99}$"
AT_ONCE = 2
MOST_FILES = 1000
ABANDONED_S = 600.0
"""A temporary file that has not grown for so long is of a process that was killed."""

LOOK_EVERY_BYTES = 16 * 2**20
MB = 2**20
DAY_S = 86_400.0

_TEMPORARY = re.compile(r"\..+\.part")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A recording that was uploaded."""

    path: Path
    at: float  # s, UTC
    size_bytes: int

    @property
    def name(self) -> str:
        """Its name below the media folder, as jobs take it."""
        return f"{FOLDER}/{self.path.name}"


class Uploads:
    """The uploads of one API process. Methods may raise OSError; they may run in any thread."""

    def __init__(self, settings: Settings) -> None:
        self.counts: Counter[str] = Counter()  # by outcome, one of `metrics.UPLOADS`
        self.folder = settings.media_dir / FOLDER
        self.settings = settings
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def files(self) -> list[UploadedFile]:
        """Return every recording, the oldest first."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in self.folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if re.fullmatch(NAME, path.name) and path.is_file():
                        stat = path.stat()
                        found.append(UploadedFile(path, stat.st_mtime, stat.st_size))
        return sorted(found, key=lambda one: (one.at, one.path))

    def begin(self, name: str, stated_bytes: int) -> Upload:
        """Begin an upload; stated_bytes: its size, 0 where it is not known.

        Raises RequestError, ConflictError, NoRoomError.
        """
        settings = self.settings
        if not settings.upload_mb:
            raise RequestError("nothing is uploaded here (LOOKOUT_UPLOAD_MB)", code="uploads_off")
        with self._lock:
            if name in self._running or (self.folder / name).exists():
                raise ConflictError(
                    f"there is a recording {name!r} already", code="recording_exists", name=name
                )
            if len(self._running) >= AT_ONCE:
                raise ConflictError(
                    f"{AT_ONCE} uploads are under way: try again when one has ended",
                    code="uploads_busy",
                )
            self._running.add(name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.check_room(stated_bytes)
            return Upload(self, name)
        except BaseException:
            self.end(name, "refused")
            raise

    def check_room(self, more_bytes: int) -> None:
        """Raise NoRoomError unless the disk takes so many bytes more."""
        free_mb = (shutil.disk_usage(self.folder).free - more_bytes) // MB
        if free_mb < self.settings.uploads_free_mb:
            raise NoRoomError(
                "the disk of the media folder is nearly full (LOOKOUT_UPLOADS_FREE_MB)",
                code="disk_full",
            )

    def end(self, name: str, outcome: str) -> None:
        """Take note of the end of an upload."""
        with self._lock:
            self._running.discard(name)
            self.counts[outcome] += 1

    def drop(self, name: str) -> None:
        """Remove a recording. Raises NotFoundError."""
        if not re.fullmatch(NAME, name) or not (self.folder / name).is_file():
            raise NotFoundError(f"there is no recording {name!r}", code="no_recording", name=name)
        (self.folder / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove recordings that are too old, and the oldest that are too many or too much."""
        now = time.time()
        files = self.files()
        most_bytes = self.settings.uploads_total_mb * MB
        size_bytes = sum(file.size_bytes for file in files)
        for number, file in enumerate(files):
            is_old = file.at < now - self.settings.uploads_days * DAY_S
            if not is_old and size_bytes <= most_bytes and len(files) - number <= MOST_FILES:
                break
            file.path.unlink(missing_ok=True)
            size_bytes -= file.size_bytes
            self.counts["dropped"] += 1
            log.info("the recording %s was dropped: it was the oldest", file.name)
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    is_still = path.stat().st_mtime < now - ABANDONED_S
                    if is_still and _TEMPORARY.fullmatch(path.name):
                        path.unlink()


class Upload:
    """One recording on its way to the disk; `close` ends it in any case."""

    def __init__(self, uploads: Uploads, name: str) -> None:
        """Open the temporary file. Raises OSError."""
        self._uploads = uploads
        self._name = name
        self._path = uploads.folder / f".{name}.{secrets.token_hex(4)}.part"
        self._file = self._path.open("xb")
        self._size_bytes = 0
        self._looked_bytes = 0
        self._outcome = "broken_off"

    def write(self, chunk: bytes) -> None:
        """Write the next bytes. Raises NoRoomError where the disk takes no more."""
        self._size_bytes += len(chunk)
        with self.naming_a_full_disk():
            if self._size_bytes - self._looked_bytes >= LOOK_EVERY_BYTES:
                self._looked_bytes = self._size_bytes
                self._uploads.check_room(0)
            self._file.write(chunk)

    def finish(self) -> UploadedFile:
        """Give the recording its name. Raises RequestError where it is empty, NoRoomError."""
        if not self._size_bytes:
            self._outcome = "refused"
            raise RequestError("the recording is empty", code="recording_empty")
        with self.naming_a_full_disk():
            self._file.flush()
            os.fsync(self._file.fileno())
        path = self._uploads.folder / self._name
        self._path.rename(path)
        self._outcome = "stored"
        stat = path.stat()
        self._uploads.tidy()
        return UploadedFile(path, stat.st_mtime, stat.st_size)

    @contextlib.contextmanager
    def naming_a_full_disk(self) -> Iterator[None]:
        """Turn an error of a full disk into NoRoomError."""
        try:
            yield
        except NoRoomError:
            self._outcome = "refused"
            raise
        except OSError as error:
            self._outcome = "refused"
            if error.errno in _NO_ROOM:
                raise NoRoomError(
                    "the disk of the media folder is full", code="disk_full"
                ) from error
            raise

    def close(self) -> None:
        """End the upload; what is not whole is removed."""
        with contextlib.suppress(OSError):  # what could not be written
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._uploads.end(self._name, self._outcome)
