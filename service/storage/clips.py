"""The files of alert clips, each with its SHA-256 beside it, and their retention.

A clip is there whole or not at all: its hash is written first, then the clip under a temporary
name, which becomes its own once it is on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lookout.models.media.atomic_file import write_bytes, write_text
from lookout.service.core.evidence import NO_CLIP
from lookout.service.core.messages import AlertId
from lookout.service.core.settings import Settings
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

MB = 2**20
DAY_S = 86_400.0
ORPHAN_S = 3600.0  # a file without an alert: a temporary one of a process that was killed


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A clip on the disk."""

    path: Path
    written_at: float  # s, UTC
    size: int  # bytes

    @property
    def alert_id(self) -> str:
        """The alert that it is of."""
        return self.path.stem


def clip_path(data_dir: Path, alert_id: str) -> Path:
    """Return where an alert's clip lies. Raises ValueError for what is no alert id."""
    name = AlertId.parse(alert_id)
    return data_dir / "clips" / name.camera / f"{name}.mp4"


def hash_path(path: Path) -> Path:
    """Return where the hash of a clip lies."""
    return path.with_name(f"{path.name}.sha256")


def keep_clip(path: Path, content: bytes) -> str:
    """Write a clip, whole or not at all, and return its SHA-256 in hex. Raises OSError."""
    digest = hashlib.sha256(content).hexdigest()
    write_text(hash_path(path), f"{digest}  {path.name}\n")
    write_bytes(path, content)
    return digest


def drop_clip(data_dir: Path, alert_id: str) -> None:
    """Remove a clip and its hash, if they are there. Raises ValueError for what is no alert id."""
    path = clip_path(data_dir, alert_id)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        hash_path(path).unlink(missing_ok=True)


def has_room(settings: Settings) -> bool:
    """Tell whether the disk has as much free as a clip needs (`clips_free_mb`)."""
    folder = settings.data_dir
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free >= settings.clips_free_mb * MB
    return True  # no such folder yet


def clip_files(data_dir: Path) -> list[ClipFile]:
    """Return every clip, the oldest first."""
    found = []
    with contextlib.suppress(OSError):
        for path in (data_dir / "clips").glob("*/[!.]*.mp4"):
            with contextlib.suppress(OSError):  # another worker removes it
                stat = path.stat()
                found.append(ClipFile(path, stat.st_mtime, stat.st_size))
    return sorted(found, key=lambda file: (file.written_at, file.path))


def surplus(
    files: Sequence[ClipFile], wanted: Mapping[str, int], before_s: float, most_bytes: int
) -> list[ClipFile]:
    """Return the clips that are to go: too old ones, and the oldest beyond `most_bytes`.

    files: the oldest first. wanted: 1 by alert that nobody has acknowledged, 2 by alert that is
    kept; these go for want of room alone, after all others.
    """
    going = [file for file in files if file.written_at < before_s and not wanted.get(file.alert_id)]
    left = sum(file.size for file in files) - sum(file.size for file in going)
    gone = {file.path for file in going}
    staying = [file for file in files if file.path not in gone]
    for file in sorted(staying, key=lambda file: wanted.get(file.alert_id, 0)):
        if left <= most_bytes:
            break
        going.append(file)
        left -= file.size
    return going


def drop_surplus(store: Store, settings: Settings, now: float | None = None) -> int:
    """Remove the clips beyond `clips_days` and `clips_total_mb`; return how many.

    Says in the log where one goes that nobody has acknowledged, or that is kept. Raises one of
    UNAVAILABLE. May run in several workers at once.
    """
    if now is None:
        now = time.time()
    files = clip_files(settings.data_dir)
    most_bytes = settings.clips_total_mb * MB
    before_s = now - settings.clips_days * DAY_S
    if files and (files[0].written_at < before_s or sum(file.size for file in files) > most_bytes):
        wanted = wanted_clips(store, files)
        going = surplus(files, wanted, before_s, most_bytes)
    else:
        wanted = {}
        going = []
    missed = [file.alert_id for file in going if wanted.get(file.alert_id)]
    if missed:
        log.warning(
            "clips of %d alerts that are kept or not acknowledged were removed for want of room "
            "(LOOKOUT_CLIPS_TOTAL_MB), the oldest of %s",
            len(missed),
            missed[0],
        )
    for file in going:
        drop_clip(settings.data_dir, file.alert_id)
        camera = file.path.parent.name
        (record,) = store.alert_clips(camera, [file.alert_id])
        if record != NO_CLIP:
            gone = replace(record, state="failed", error="it was removed: its time was over")
            store.end_clip(camera, file.alert_id, gone)
    drop_orphans(settings.data_dir, now)
    return len(going)


def wanted_clips(store: Store, files: Sequence[ClipFile]) -> dict[str, int]:
    """Return 2 by alert that is kept, 1 by alert that nobody has acknowledged."""
    wanted = {}
    by_camera: dict[str, list[str]] = {}
    for file in files:
        by_camera.setdefault(file.path.parent.name, []).append(file.alert_id)
    for camera, ids in by_camera.items():
        for alert_id, answer in zip(ids, store.alert_answers(camera, ids), strict=True):
            if answer.keep:
                wanted[alert_id] = 2
            elif answer.acknowledged_at is None:
                wanted[alert_id] = 1
    return wanted


def drop_orphans(data_dir: Path, now: float) -> None:
    """Remove what a killed process left: temporary files, and hashes without a clip."""
    with contextlib.suppress(OSError):
        for path in (data_dir / "clips").glob("*/*"):
            is_hash = path.suffix == ".sha256" and not path.with_suffix("").exists()
            if path.name.startswith(".") or is_hash:
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < now - ORPHAN_S:
                        path.unlink()
        for folder in (data_dir / "clips").iterdir():
            with contextlib.suppress(OSError):  # there are clips in it
                folder.rmdir()
