"""Find the processes that a test's services have started."""

from __future__ import annotations

import contextlib

import psutil  # type: ignore[import-untyped]


def children(part: str) -> list[psutil.Process]:
    """Return the processes below this one whose command lines hold a part."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ends meanwhile
            if part in " ".join(one.cmdline()):  # that of a zombie is empty
                found.append(one)
    return found
