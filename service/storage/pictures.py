"""The files of alert pictures, and the retention of alerts and pictures (`alerts_kept_days`).

An alert has the frame at which it opened with its heatmap, as the model saw it, and clean pictures
at the size of the source: of its opening and of its peak.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Container
from pathlib import Path
from typing import Literal

from lookout.models.media.atomic_file import replacing
from lookout.service.core.messages import AlertId, FrameId
from lookout.service.storage import clips
from lookout.service.storage.store.store import Store

DAY_S = 86_400.0
PICTURE_BYTES = 100_000
"""Size of a large one."""


Which = Literal["heat", "open", "peak"]
WHICH: tuple[Which, ...] = ("heat", "open", "peak")


def picture_path(data_dir: Path, alert_id: str, which: Which = "heat") -> Path:
    """Return where one of an alert's pictures lies.

    Raises ValueError for what is no alert id: no path is made of it.
    """
    name = AlertId.parse(alert_id)
    suffix = ".jpg" if which == "heat" else f".{which}.jpg"
    return data_dir / "pictures" / name.camera / f"{name}{suffix}"


def drop_evidence(data_dir: Path, alert_id: str) -> None:
    """Remove the pictures and the clip of an alert that is gone."""
    with contextlib.suppress(ValueError):  # no alert id: there is none
        for which in WHICH:
            drop(picture_path(data_dir, alert_id, which))
        clips.drop_clip(data_dir, alert_id)


def left_out_picture_path(data_dir: Path, camera: str, segment: str) -> Path:
    """Return where the picture of a segment that a training left out lies.

    camera: of a known camera. Raises ValueError for what is no id of a segment.
    """
    return left_out_folder(data_dir, camera) / f"{FrameId.parse(segment)}.jpg"


def left_out_folder(data_dir: Path, camera: str) -> Path:
    """Return the folder of a camera's pictures of segments that its last training left out."""
    return data_dir / "learning" / camera / "left_out"


def keep(path: Path, data: bytes) -> None:
    """Write a picture, whole or not at all. Raises OSError (disk full, read-only)."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def check_room(data_dir: Path) -> None:
    """Raise OSError where no picture can be kept now (read-only, full, another's folder)."""
    trial = data_dir / "pictures" / ".trial"
    keep(trial, bytes(PICTURE_BYTES))
    drop(trial)


def drop(path: Path) -> None:
    """Remove a picture, if it is there and can be removed."""
    with contextlib.suppress(OSError):
        path.unlink()


def drop_expired_pictures(data_dir: Path, before_s: float, kept: Container[Path]) -> None:
    """Remove pictures written before a time (s, UTC), and the folders that are empty then.

    Pictures without an alert go too: of a removed camera, or of an alert that was never saved.
    """
    with contextlib.suppress(OSError):
        for folder in (data_dir / "pictures").iterdir():
            if not folder.is_dir():
                continue
            for path in folder.iterdir():
                if path.stat().st_mtime < before_s and path not in kept:
                    drop(path)
            with contextlib.suppress(OSError):  # another picture is in it
                folder.rmdir()


def drop_expired(store: Store, data_dir: Path, kept_days: float, now_s: float | None = None) -> int:
    """Remove closed alerts opened more than `kept_days` ago, and pictures as old; not kept ones.

    A removed camera whose last alert goes is forgotten. Returns the number of alerts removed.
    Raises one of UNAVAILABLE. May run in several workers at once.
    """
    if now_s is None:
        now_s = time.time()
    before_s = now_s - kept_days * DAY_S
    count = 0
    kept: set[Path] = set()
    for camera in store.alerted_cameras():
        for alert_id in store.kept_alerts(camera):
            with contextlib.suppress(ValueError):  # an alert without a picture
                kept.update(picture_path(data_dir, alert_id, which) for which in WHICH)
        for alert_id in store.drop_expired_alerts(camera, before_s):
            count += 1
            drop_evidence(data_dir, alert_id)
        store.forget_alerts_of_removed(camera)
    drop_expired_pictures(data_dir, before_s, kept)
    return count
