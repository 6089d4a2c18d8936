"""Limits of a foreign library that delivers: where it may connect to, which files it may read.

Python tells audit hooks of each connection with the very address that is connected to, after names
are resolved and redirects followed, and of each file that is opened. Code that is no Python is not
seen.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import mimetypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lookout.service.core.addresses import IpNetwork, is_allowed, refusal

OUTGOING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
STARTING = frozenset(
    {"os.exec", "os.posix_spawn", "os.system", "subprocess.Popen", "syslog.syslog"}
)


@dataclass(slots=True)
class Confinement:
    """Limits of the code of one `with`, and of the threads that copy its context."""

    networks: Sequence[IpNetwork]
    files: Sequence[Path]
    refused: str | None = None  # the first thing that was refused, as a reason

    def refuse(self, reason: str) -> NoReturn:
        """Note a reason, and raise PermissionError."""
        self.refused = self.refused or reason
        raise PermissionError(reason)

    def check_address(self, address: Any) -> None:
        """Raise PermissionError for an address that is not sent to."""
        if address is None:  # of a socket that is connected
            return
        if not isinstance(address, tuple):
            self.refuse("it connects to a program of Lookout's own machine")
        try:
            found = ipaddress.ip_address(str(address[0]).partition("%")[0])
        except ValueError:
            self.refuse("it connects to a name that it has not resolved")
        else:
            if not is_allowed(found, self.networks):
                self.refuse(refusal(f"{found} is"))

    def check_file(self, path: Any) -> None:
        """Raise PermissionError for a file that is neither Python's nor among `files`."""
        if not isinstance(path, (str, bytes, os.PathLike)):  # it is open
            return
        real = Path(os.path.realpath(os.fsdecode(path)))
        if real in self.files or real == Path(os.devnull):
            return
        if not any(real.is_relative_to(folder) for folder in readable_folders()):
            self.refuse("it reads a file of Lookout's own machine")


_confinement: ContextVar[Confinement | None] = ContextVar("confinement", default=None)


@contextlib.contextmanager
def confined(networks: Sequence[IpNetwork], files: Sequence[Path] = ()) -> Iterator[Confinement]:
    """Confine what the block does.

    networks: that it may send to beside public addresses; files: that it may read beside Python's.
    What it may not do raises PermissionError there.
    """
    watch_audit_events()
    limits = Confinement(networks, [path.resolve() for path in files])
    token = _confinement.set(limits)
    try:
        yield limits
    finally:
        _confinement.reset(token)


@functools.cache
def watch_audit_events() -> None:
    """Hear of what Python is about to do, from the first confinement on: a hook stays for good."""
    readable_folders()
    sys.addaudithook(check_event)


def check_event(event: str, words: tuple[Any, ...]) -> None:
    """Raise PermissionError for what the confinement of this context does not allow."""
    if event not in OUTGOING and event not in STARTING and event != "open":
        return
    limits = _confinement.get()
    if limits is None:
        return
    if event == "open":
        limits.check_file(words[0])
    elif event in OUTGOING:
        limits.check_address(words[1])
    else:
        limits.refuse("it starts a program of Lookout's own machine")


@functools.cache
def readable_folders() -> tuple[Path, ...]:
    """Return the folders of Python's own files, of its packages and of the system's tables."""
    names = [sys.prefix, sys.base_prefix, "/usr/share", *mimetypes.knownfiles]
    return tuple(Path(os.path.realpath(name)) for name in names)
