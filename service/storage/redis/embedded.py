"""The embedded default: Lookout's own two Redis servers, as child processes.

Their sockets can be opened by this user alone. `server_binary` says which program is started.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import redis

from lookout.service.core.errors import LookoutError, SettingsError
from lookout.service.core.lifecycle import die_with_parent
from lookout.service.storage.redis.server_binary import (
    CUT,
    SYSTEM_LEAST,
    VARIABLE,
    choose_server,
    explain_log,
)

log = logging.getLogger(__name__)

START_LIMIT_S = 20.0
"""Longest silence of a server that starts; one that says it is loading its data may take longer."""
SOCKET_NAME = "redis.sock"
SOCKET_PATH_BYTES = 103
"""Longest path of a socket, on Linux (107) and macOS alike."""
_BUS = ("--save", "", "--appendonly", "no")
_STORE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


class RedisServer:
    """A server for the role `bus` or `store`, as a context: it stops with its block.

    The store's append-only file lies in `data_dir`.
    """

    def __init__(self, role: str, data_dir: Path, binary: Path | None = None) -> None:
        """Choose the program (`choose_server`) and make the folder of the socket.

        Raises SettingsError.
        """
        self.role = role
        self._folder = data_dir / role
        self._binary = choose_server(binary)
        self._runtime = runtime_folder(role)
        self._socket = Path(self._runtime.name) / SOCKET_NAME
        self._log = Path(self._runtime.name) / "redis.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}"

    def __enter__(self) -> RedisServer:
        """Raises LookoutError, with the server's last line, when it does not start."""
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            _stop(self.process)
        self._runtime.cleanup()

    def start(self) -> None:
        """Start, or start again on the same socket and files.

        Raises LookoutError when the server does not come up.
        """
        process = self.begin()
        client = redis.Redis(unix_socket_path=str(self._socket), protocol=2)
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
            except redis.BusyLoadingError:
                deadline = time.monotonic() + START_LIMIT_S
                time.sleep(0.02)
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                client.close()
                if any(map(CUT.search, self.log_lines())):
                    log.warning(
                        "the %s's append-only file ended within a write, which is dropped: a crash "
                        "of this machine does that, and so does a file that was cut",
                        self.role,
                    )
                return
        raise LookoutError(f"the embedded Redis did not start: {self.last_words()}")

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the server without waiting for it to come up.

        Raises SettingsError where its folder cannot be made, or holds the files of a newer server.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"the folder {self._folder} (LOOKOUT_DATA_DIR) cannot be made: {error.strerror}"
            ) from None
        # An older server would pass over the folder and begin with an empty store.
        if (self._folder / "appendonlydir").exists() and self._binary.version < SYSTEM_LEAST:
            raise SettingsError(
                f"the store in {self._folder} was written by a newer Redis than {self._binary}: "
                f"start the one that wrote it ({VARIABLE} names it)"
            )
        words = [
            str(self._binary.path),
            "--port",
            "0",
            "--unixsocket",
            str(self._socket),
            "--unixsocketperm",
            "700",
        ]
        words += [
            "--dir",
            str(self._folder.resolve()),
            "--logfile",
            str(self._log),
            "--daemonize",
            "no",
        ]
        words += _STORE if self.role == "store" else _BUS
        with self._log.open("ab") as log_file:  # some of its last words go to standard error
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log_file,
                # Ctrl-C reaches the stages alone; the servers stop when nobody writes any more.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  started before any thread
            )
        return self.process

    def log_lines(self) -> list[str]:
        """The lines of the server's log."""
        if not self._log.exists():
            return []
        return self._log.read_text(errors="replace").strip().splitlines()

    def last_words(self) -> str:
        """Why the server ended, in one line, from its log."""
        return explain_log(self.log_lines(), self._folder, self._binary)


def runtime_folder(role: str) -> tempfile.TemporaryDirectory[str]:
    """Make a folder for the socket and the log: in TMPDIR, or where a socket's path fits.

    Raises SettingsError where no place is short and writable.
    """
    places = [os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp"]  # noqa: S108
    with contextlib.suppress(OSError):
        places.insert(0, tempfile.gettempdir())
    prefix = f"lookout-{role}-"
    for place in filter(None, places):
        # mkdtemp adds eight letters.
        if len(os.fsencode(f"{place}/{prefix}12345678/{SOCKET_NAME}")) > SOCKET_PATH_BYTES:
            continue
        with contextlib.suppress(OSError):
            folder = tempfile.TemporaryDirectory(prefix=prefix, dir=place)
            if place != places[0]:
                log.warning(
                    "TMPDIR is too long for the embedded Redis's socket, whose path may have %d "
                    "bytes, or cannot be written: it lies in %s",
                    SOCKET_PATH_BYTES,
                    place,
                )
            return folder
    room = SOCKET_PATH_BYTES - len(f"/{prefix}12345678/{SOCKET_NAME}")
    raise SettingsError(
        f"TMPDIR: a folder of at most {room} bytes that can be written is needed for the sockets "
        f"of the embedded Redis, whose paths may have {SOCKET_PATH_BYTES} bytes"
    )


def _stop(process: subprocess.Popen[bytes], patience_s: float = 5.0) -> None:
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
