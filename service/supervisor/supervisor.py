"""Everything in one command: two Redis servers and the stages as child processes, watched until told to stop."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from lookout.service.core.errors import (
    AddressError,
    LookoutError,
    NoDeviceError,
    SettingsError,
    UnprotectedError,
)
from lookout.service.core.lifecycle import die_with_parent
from lookout.service.core.settings import Settings, check_protected, plain
from lookout.service.core.stages import API, STAGES
from lookout.service.storage.redis.embedded import RedisServer

log = logging.getLogger(__name__)

HOPELESS = {wrong.exit_code: wrong for wrong in (SettingsError, UnprotectedError, NoDeviceError)}
"""Exit codes of a stage that cannot work as configured: it is not started again."""
PATIENCE_S = 6.0  # for stages to end by themselves; within the 10 s that an operator is promised
CHECK_EVERY_S = 0.2
READY_LIMIT_S = 60.0
STAGE_WAIT_MOST_S, SERVER_WAIT_MOST_S = 30.0, 5.0
"""Between attempts to start one that keeps dying: nothing at all works without the servers."""


def stages(settings: Settings) -> list[str]:
    """Return the stage of each process to start, with one entry a worker."""
    return [
        stage.name
        for stage in STAGES
        for _ in range(getattr(settings, stage.workers_setting) if stage.workers_setting else 1)
    ]


class Child:
    """One child process that is started again when it dies, later each time."""

    def __init__(
        self,
        name: str,
        spawn: Callable[[], subprocess.Popen[bytes]],
        wait_most_s: float,
        last_words: Callable[[], str] = lambda: "",
    ) -> None:
        self.name = name
        self._wait_most_s = wait_most_s
        self._spawn = spawn
        self._last_words = last_words
        self.process = spawn()
        self._started_at = time.monotonic()
        self._deaths = 0
        self._restart_at: float | None = None

    def check(self) -> None:
        """Raises SettingsError where the child cannot work as configured."""
        code = self.process.poll()
        if code is None:
            return
        if code in HOPELESS:
            raise HOPELESS[code](
                f"the stage `{self.name}` cannot work as configured (its line above says why)"
            )
        now = time.monotonic()
        if self._restart_at is None:
            self._deaths = 1 if now - self._started_at > 60 else self._deaths + 1
            wait_s = min(0.5 * 2 ** (self._deaths - 1), self._wait_most_s)
            self._restart_at = now + wait_s
            why = f"exit code {code}{self._last_words()}"
            log.error("%s ended (%s); starting it again in %.1f s", self.name, why, wait_s)
        elif now >= self._restart_at:
            self.process, self._started_at, self._restart_at = self._spawn(), now, None


class Children:
    """The embedded Redis servers and the stages, all with one environment: exactly the parent's settings."""

    def __init__(
        self, servers: list[RedisServer], names: list[str], environment: dict[str, str]
    ) -> None:
        self._servers = [
            Child(f"redis ({server.role})", _reviver(server), SERVER_WAIT_MOST_S, _words_of(server))
            for server in servers
        ]
        self._stages = [
            Child(f"stage {name}", _spawner(name, environment), STAGE_WAIT_MOST_S) for name in names
        ]

    def check(self) -> None:
        """Restart what died. Raises SettingsError where a stage cannot work as configured."""
        for child in (*self._servers, *self._stages):
            child.check()

    def stop(self) -> None:
        """Ask all stages at once, wait, then kill what is left; the servers stop with their own contexts."""
        for stage in self._stages:
            stage.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        for stage in self._stages:
            try:
                stage.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not end in %.0f s; killed", stage.name, PATIENCE_S)
                stage.process.kill()
                stage.process.wait()


def _spawner(name: str, environment: dict[str, str]) -> Callable[[], subprocess.Popen[bytes]]:
    """Only the API is told the token: the others, and what decodes strangers' streams, have no use for it."""
    own = {
        variable: value
        for variable, value in environment.items()
        if name == API.name or variable != "LOOKOUT_TOKEN"
    }

    def spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "lookout", name],
            env=own,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509  the parent starts no thread
        )

    return spawn


def _reviver(server: RedisServer) -> Callable[[], subprocess.Popen[bytes]]:
    """The first time it runs already; after that, begin anew on the same socket and files."""

    def spawn() -> subprocess.Popen[bytes]:
        running = server.process
        return running if running is not None and running.poll() is None else server.begin()

    return spawn


def _words_of(server: RedisServer) -> Callable[[], str]:
    return lambda: f": {server.last_words()}"


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[tuple[Settings, Children]]:
    """Start everything; stop everything on the way out. Gives the settings with every address filled in.

    Raises AddressError for a port, LookoutError for a data folder in use, SettingsError for a folder that cannot be
    written, and UnprotectedError.
    """
    check_protected(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_one_in(settings.data_dir))
        found: dict[str, object] = {"port": free_port(settings.host, settings.port)}
        servers = []
        for role in ("bus", "store"):
            if getattr(settings, f"{role}_url") is None:
                servers.append(stack.enter_context(RedisServer(role, settings.data_dir)))
                found[f"{role}_url"] = servers[-1].url
        _make(settings.media_dir)
        full = settings.model_copy(update=found)
        children = Children(servers, stages(full), environment_of(full))
        stack.callback(children.stop)
        yield full, children


def serve(
    settings: Settings,
    stop: threading.Event,
    on_ready: Callable[[Settings], None],
    on_check: Callable[[], None] = lambda: None,
) -> None:
    """Run until `stop`; calls `on_ready` once, when the service answers, and `on_check` every CHECK_EVERY_S."""
    with running(settings) as (full, children):
        told = False
        deadline = time.monotonic() + READY_LIMIT_S
        while not stop.wait(CHECK_EVERY_S):
            children.check()
            on_check()
            if not told and is_ready(full):
                told = True
                on_ready(full)
            elif not told and time.monotonic() > deadline:
                raise LookoutError(f"the service is not ready after {READY_LIMIT_S:.0f} s")


def address(settings: Settings) -> str:
    """Where a person finds the page."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""For requests to our own API: never through a proxy that the environment names."""


def is_ready(settings: Settings) -> bool:
    """Ask /readyz."""
    try:
        with LOCAL.open(f"{address(settings)}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (http.client.HTTPException, OSError):  # urllib's URLError is an OSError
        return False


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as variables, so that a stage builds exactly the same."""
    own = {f"LOOKOUT_{name.upper()}": plain(value) for name, value in settings if value is not None}
    others = {name: value for name, value in os.environ.items() if not name.startswith("LOOKOUT_")}
    return {**others, **own}


@contextlib.contextmanager
def _only_one_in(data_dir: Path) -> Iterator[None]:
    """Two services in one folder would write over each other's store."""
    _make(data_dir)
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LookoutError(
                f"another Lookout is at work in {data_dir} (LOOKOUT_DATA_DIR)"
            ) from None
        yield


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"the folder {folder} cannot be made: {error.strerror}") from None


def free_port(host: str, port: int) -> int:
    """The port to use; 0 means any. Raises AddressError where it is taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = (
                f"cannot listen on {host}:{port}: {error.strerror} (choose another with --port)"
            )
            raise AddressError(reason) from None
        return int(probe.getsockname()[1])
