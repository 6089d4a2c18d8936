"""Files for their owner alone: what Lookout writes, and what earlier versions wrote."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookout.service.core.settings import Settings

log = logging.getLogger(__name__)

UMASK = 0o077
OTHERS = 0o077
"""The permission bits of everybody but the owner."""

SECRET = ("bus", "store", "pictures", "learning", "secret.key")
"""What must be nobody else's of what earlier versions wrote into the data folder."""

WRITTEN = frozenset((*SECRET, "clips", "demo", "lock", "media", "models"))


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """Give new files and folders to their owner alone, in this process and those it starts."""
    former = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(former)


def tighten_data(settings: Settings) -> None:
    """Take what an earlier version wrote from other users, and say so once.

    A data folder that holds more than Lookout writes is somebody's folder for other things, too: of
    that the store, pictures and keys alone are taken.
    """
    shared = [settings.media_dir, *settings.model_folders]
    own = [settings.data_dir]
    if not holds_lookout_alone(settings.data_dir):
        own = [settings.data_dir / name for name in SECRET]
    if count := sum(tighten(path, shared) for path in own if not path.is_symlink()):
        log.warning(
            "%d files and folders in %s could be read by other users; now by their owner alone",
            count,
            settings.data_dir,
        )


def holds_lookout_alone(folder: Path) -> bool:
    """Return whether everything in a folder has a name under which Lookout writes."""
    try:
        return all(path.name in WRITTEN for path in folder.iterdir())
    except OSError:  # it is not there yet
        return True


def tighten(folder: Path, shared: Sequence[Path] = ()) -> int:
    """Take what is in a folder from everybody but its owner; return how many entries had to be.

    shared: folders below it whose content stays as it is (a user's clips and checkpoints). While
    others can use one of them, they may still pass through `folder`. Links are not followed, and
    what belongs to another user stays as it is.
    """
    kept = {path.resolve() for path in shared}
    passed = any(is_open(path) for path in kept if path.is_relative_to(folder.resolve()))
    bits = OTHERS
    if passed:
        bits = OTHERS & ~0o011
    changed = int(tighten_one(folder, bits))
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = [name for name in folders if (here / name).resolve() not in kept]
        changed += sum(tighten_one(here / name) for name in (*folders, *files))
    return changed


def tighten_one(path: Path, bits: int = OTHERS) -> bool:
    """Take these bits off a file or folder; return whether there were any."""
    with contextlib.suppress(OSError):  # it is gone, or another's
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & bits:
            path.chmod(stat.S_IMODE(mode) & ~bits)
            return True
    return False


def is_open(folder: Path) -> bool:
    """Return whether others than its owner can use a folder; False where it is not there."""
    try:
        return bool(folder.stat().st_mode & OTHERS)
    except OSError:
        return False


def write_new_private(path: Path, content: bytes) -> bool:
    """Write a file for its owner alone; return False where it is there already. Raises OSError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with open(handle, "wb") as file:  # noqa: PTH123  a handle, no path
        file.write(content)
        file.flush()
        os.fsync(handle)
    return True
