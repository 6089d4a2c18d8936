"""All in one command: two Redis servers and the stages run as child processes until `stop`."""

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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lookout.service.core.errors import (
    AddressError,
    LookoutError,
    NoDeviceError,
    SettingsError,
    UnprotectedError,
)
from lookout.service.core.lifecycle import die_with_parent
from lookout.service.core.private_files import tighten_data
from lookout.service.core.settings import Settings, check_protected, plain
from lookout.service.core.stages import ALERTING, API, OPTIONAL_NAMES, STAGES
from lookout.service.core.throttle import backoff_s
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.camera_secrets import prepare_key

log = logging.getLogger(__name__)

FATAL_EXIT_CODES = {
    error.exit_code: error for error in (SettingsError, UnprotectedError, NoDeviceError)
}
"""Exit codes of a stage that cannot work as configured: it is not started again."""
STOP_LIMIT_S = 6.0  # for stages to end by themselves; operators are promised 10 s in all
CHECK_EVERY_S = 0.2
READY_LIMIT_S = 60.0
FIRST_BACKOFF_S = 0.5
STAGE_MAX_BACKOFF_S = 30.0
"""Longest wait between attempts to start a stage that keeps dying."""
SERVER_MAX_BACKOFF_S = 5.0
"""The same for a Redis server, without which nothing works."""


def stages(settings: Settings) -> list[str]:
    """Return the stage of each process to start, with one entry a worker."""
    return [
        stage.name
        for stage in STAGES
        for _ in range(getattr(settings, stage.workers_setting) if stage.workers_setting else 1)
    ]


class ChildProcess:
    """One child process that is started again when it dies, later each time."""

    def __init__(
        self,
        name: str,
        spawn: Callable[[], subprocess.Popen[bytes]],
        max_backoff_s: float,
        last_words: Callable[[], str] = lambda: "",
    ) -> None:
        self.name = name
        self._max_backoff_s = max_backoff_s
        self._spawn = spawn
        self._last_words = last_words
        self.process = spawn()
        self._started_at = time.monotonic()
        self._deaths = 0
        self._restart_at: float | None = None

    def check(self) -> None:
        """Start the child again if it died and its backoff is over.

        Raises SettingsError, UnprotectedError or NoDeviceError if it cannot work as configured.
        """
        code = self.process.poll()
        if code is None:
            return
        if code in FATAL_EXIT_CODES:
            raise FATAL_EXIT_CODES[code](
                f"the stage `{self.name}` cannot work as configured (its line above says why)"
            )
        now = time.monotonic()
        if self._restart_at is None:
            if now - self._started_at > 60:
                self._deaths = 0
            self._deaths += 1
            wait_s = backoff_s(FIRST_BACKOFF_S, self._max_backoff_s, self._deaths)
            self._restart_at = now + wait_s
            reason = f"exit code {code}{self._last_words()}"
            log.error("%s ended (%s); starting it again in %.1f s", self.name, reason, wait_s)
        elif now >= self._restart_at:
            self.process = self._spawn()
            self._started_at = now
            self._restart_at = None


class ChildProcesses:
    """The embedded Redis servers and the stages, all with exactly the parent's settings."""

    def __init__(
        self, servers: list[RedisServer], names: list[str], environment: dict[str, str]
    ) -> None:
        self._servers = [server_process(server) for server in servers]
        self._environment = environment
        self._optional = [name for name in names if name in OPTIONAL_NAMES]
        self._stages: list[ChildProcess] = []
        self._start(name for name in names if name not in OPTIONAL_NAMES)

    def start_optional(self) -> None:
        """Start the stages that scores do not need, once the others are there.

        Starting beside them, their imports would take the cores that the first score waits for.
        """
        self._start(self._optional)
        self._optional = []

    def _start(self, names: Iterable[str]) -> None:
        for name in names:
            spawn = stage_spawner(name, self._environment)
            self._stages.append(ChildProcess(f"stage {name}", spawn, STAGE_MAX_BACKOFF_S))

    def check(self) -> None:
        """Restart what died; raise what `ChildProcess.check` raises."""
        for child in (*self._servers, *self._stages):
            child.check()

    def stop(self) -> None:
        """Stop all stages: SIGTERM to all, then SIGKILL to those that still run.

        The servers stop with their own contexts.
        """
        for stage in self._stages:
            stage.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT_S
        for stage in self._stages:
            try:
                stage.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not end in %.0f s; killed", stage.name, STOP_LIMIT_S)
                stage.process.kill()
                stage.process.wait()


def stage_spawner(name: str, environment: dict[str, str]) -> Callable[[], subprocess.Popen[bytes]]:
    """Return a function that starts the stage.

    Only the API's environment holds the token, and only alerting's AWS's variables.
    """
    own = {
        variable: value
        for variable, value in environment.items()
        if (name == API.name or variable != "LOOKOUT_TOKEN")
        and (name == ALERTING.name or not variable.startswith("AWS_"))
    }

    def spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "lookout", name],
            env=own,
            stdin=subprocess.DEVNULL,
            # Ctrl-C reaches the parent alone, which stops its stages in order: an interpreter that
            # is just starting would answer it with a stack trace.
            process_group=0,
            preexec_fn=die_with_parent,  # noqa: PLW1509  the parent starts no thread
        )

    return spawn


def server_process(server: RedisServer) -> ChildProcess:
    """Return a running server as a child that starts again on the same socket and files."""

    def spawn() -> subprocess.Popen[bytes]:
        process = server.process
        if process is not None and process.poll() is None:
            return process
        return server.begin()

    return ChildProcess(
        f"redis ({server.role})", spawn, SERVER_MAX_BACKOFF_S, lambda: f": {server.last_words()}"
    )


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[tuple[Settings, ChildProcesses]]:
    """Start all processes, and stop them at the end.

    Yields the settings with every address filled in.

    Raises AddressError if the port cannot be used, LookoutError if the data folder is in use,
    SettingsError if a folder cannot be written, and UnprotectedError.
    """
    check_protected(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(exclusive_data_dir(settings.data_dir))
        tighten_data(settings)
        prepare_key(settings)
        addresses: dict[str, object] = {"port": free_port(settings.host, settings.port)}
        servers = []
        for role in ("bus", "store"):
            if getattr(settings, f"{role}_url") is None:
                server = RedisServer(role, settings.data_dir, settings.redis_binary)
                servers.append(stack.enter_context(server))
                addresses[f"{role}_url"] = servers[-1].url
        create_folder(settings.media_dir, "LOOKOUT_MEDIA_DIR")
        full = settings.model_copy(update=addresses)
        children = ChildProcesses(servers, stages(full), environment_of(full))
        stack.callback(children.stop)
        yield full, children


def serve(
    settings: Settings,
    stop: threading.Event,
    on_ready: Callable[[Settings], None],
    on_check: Callable[[], None] = lambda: None,
) -> None:
    """Run until `stop`.

    Call `on_ready` once, when the service is ready, and `on_check` every CHECK_EVERY_S.
    """
    try:
        with running(settings) as (full, children):
            watch(full, children, stop, on_ready, on_check)
    except LookoutError:
        # Ctrl-C reaches a program that is just being started, too: that it failed is no news.
        if not stop.is_set():
            raise


def watch(
    settings: Settings,
    children: ChildProcesses,
    stop: threading.Event,
    on_ready: Callable[[Settings], None],
    on_check: Callable[[], None],
) -> None:
    """Check the processes until `stop`. Raises LookoutError where they do not become ready."""
    was_ready = False
    deadline = time.monotonic() + READY_LIMIT_S
    while not stop.wait(CHECK_EVERY_S):
        children.check()
        on_check()
        if not was_ready and is_ready(settings):
            was_ready = True
            on_ready(settings)
            children.start_optional()
        elif not was_ready and time.monotonic() > deadline:
            raise LookoutError(f"the service is not ready after {READY_LIMIT_S:.0f} s")


def address(settings: Settings) -> str:
    """Return the URL of the page, as a browser on this machine reaches it."""
    host = settings.host
    if host in ("0.0.0.0", "::", ""):  # noqa: S104
        host = "127.0.0.1"
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{settings.port}"


LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""For requests to our own API: never through a proxy that the environment names."""


def is_ready(settings: Settings) -> bool:
    """Return whether /readyz answers 200."""
    try:
        with LOCAL.open(f"{address(settings)}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (http.client.HTTPException, OSError):  # urllib's URLError is an OSError
        return False


def environment_of(settings: Settings) -> dict[str, str]:
    """Return an environment from which a stage builds exactly these settings."""
    own = {f"LOOKOUT_{name.upper()}": plain(value) for name, value in settings if value is not None}
    others = {name: value for name, value in os.environ.items() if not name.startswith("LOOKOUT_")}
    return {**others, **own}


@contextlib.contextmanager
def exclusive_data_dir(data_dir: Path) -> Iterator[None]:
    """Lock the folder: two services in one would overwrite each other's store.

    Raises LookoutError if another service holds it, SettingsError if it cannot be written.
    """
    create_folder(data_dir, "LOOKOUT_DATA_DIR")
    try:
        lock = (data_dir / "lock").open("w")
    except OSError as error:
        raise SettingsError(
            f"the folder {data_dir} (LOOKOUT_DATA_DIR) cannot be written to: {error.strerror}"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LookoutError(
                f"another Lookout is at work in {data_dir} (LOOKOUT_DATA_DIR)"
            ) from None
        yield


def create_folder(folder: Path, variable: str) -> None:
    """Create the folder with its parents. Raises SettingsError, which names the variable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"the folder {folder} ({variable}) cannot be made: {error.strerror}"
        ) from None


def free_port(host: str, port: int) -> int:
    """Return `port` if it is free, a free one for 0. Raises AddressError if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = (
                f"cannot listen on {host}:{port}: {error.strerror} (choose another with --port)"
            )
            raise AddressError(reason) from None
        return int(probe.getsockname()[1])
