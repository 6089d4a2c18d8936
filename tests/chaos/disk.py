"""A small disk of the store's own that can be filled.

A tmpfs, in a mount namespace that ends with this program.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

SIZE_MB = 96  # the store's file is written anew at 64 MB
NAMESPACES = (
    ["unshare", "--mount"],
    ["unshare", "--map-root-user", "--mount"],
)  # as root; as anybody
CHUNK = bytes(2**20)
INSIDE = "--inside"  # the word with which the harness starts itself again
NO_NAMESPACE = "no mount namespace of its own can be had (unshare --mount)"


def enter_own_namespace(module: str, words: list[str]) -> None:
    """Start this program again where it may mount.

    Return where that is impossible or already done.
    """
    if INSIDE in words:
        return
    for way in NAMESPACES:
        if _works(way):
            _become([*way, sys.executable, "-m", module, INSIDE, *words])


def _works(way: list[str]) -> bool:
    try:
        return (
            subprocess.run([*way, "true"], capture_output=True, timeout=10, check=False).returncode
            == 0
        )
    except OSError:
        return False


def _become(words: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execvp(words[0], words)  # noqa: S606


def mount(folder: Path, size_mb: int = SIZE_MB) -> str | None:
    """Put a small disk at `folder`; None, or why that cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except OSError as error:
        return f"mount: {error.strerror}"
    return done.stderr.strip() or "mount failed" if done.returncode else None


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, timeout=10, check=False)


def fill(folder: Path) -> Path:
    """Write a file until nothing more fits; remove it to make room again."""
    path = folder / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(CHUNK):
            pass
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(b"0"):
            pass
    return path
