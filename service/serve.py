"""Everything in one command: two Redis servers and four stages as child processes, watched until told to stop."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.embedded import embedded_redis
from service.errors import LookoutError, SettingsError
from service.lifecycle import die_with_parent
from service.settings import Settings

log = logging.getLogger(__name__)

STAGES = ("ingest", "infer", "alert", "api")
WRONG_SETTING = 2  # exit code of a stage that cannot work as configured
PATIENCE_S = 6.0  # for stages to end by themselves; within the 10 s that an operator is promised
CHECK_EVERY_S = 0.2
READY_LIMIT_S = 60.0


@dataclass(slots=True)
class Stage:
    """One child process, started anew when it dies."""

    name: str
    process: subprocess.Popen[bytes]
    started_at: float
    deaths: int = 0
    restart_at: float | None = None


@dataclass(slots=True)
class Stages:
    """The four stages with one environment: exactly the parent's settings."""

    environment: dict[str, str]
    running: list[Stage] = field(default_factory=list)

    def start(self) -> None:
        for name in STAGES:
            self.running.append(Stage(name, self._spawn(name), time.monotonic()))

    def check(self) -> None:
        """Restart what died, later each time. Raises SettingsError where a stage cannot work as configured."""
        for stage in self.running:
            code = stage.process.poll()
            if code is None:
                continue
            if code == WRONG_SETTING:
                raise SettingsError(f"the stage `{stage.name}` cannot work as configured (its line above says why)")
            self._revive(stage, code, time.monotonic())

    def _revive(self, stage: Stage, code: int, now: float) -> None:
        if stage.restart_at is None:
            stage.deaths = 1 if now - stage.started_at > 60 else stage.deaths + 1
            wait_s = min(0.5 * 2 ** (stage.deaths - 1), 30.0)
            stage.restart_at = now + wait_s
            log.error("stage %s ended (exit code %d); starting it again in %.1f s", stage.name, code, wait_s)
        elif now >= stage.restart_at:
            stage.process, stage.started_at, stage.restart_at = self._spawn(stage.name), now, None

    def stop(self) -> None:
        """Ask all at once, wait, then kill what is left."""
        for stage in self.running:
            stage.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        for stage in self.running:
            try:
                stage.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("stage %s did not end in %.0f s; killed", stage.name, PATIENCE_S)
                stage.process.kill()
                stage.process.wait()

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "service.cli", name]
        return subprocess.Popen(
            words,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509  the parent starts no thread
        )


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[tuple[Settings, Stages]]:
    """Start everything; stop everything on the way out. Gives the settings with every address filled in.

    Raises LookoutError for a port or data folder in use, SettingsError for a folder that cannot be written.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_one_in(settings.data_dir))
        found: dict[str, object] = {"port": free_port(settings.host, settings.port)}
        found |= {"bus_url": settings.bus_url, "store_url": settings.store_url}
        for role in ("bus", "store"):
            key = f"{role}_url"
            found[key] = found[key] or stack.enter_context(embedded_redis(role, settings.data_dir))
        _make(settings.media_dir)
        full = settings.model_copy(update=found)
        stages = Stages(environment_of(full))
        stack.callback(stages.stop)
        stages.start()
        yield full, stages


def serve(
    settings: Settings,
    stop: threading.Event,
    on_ready: Callable[[Settings], None],
    on_check: Callable[[], None] = lambda: None,
) -> None:
    """Run until `stop`; calls `on_ready` once, when the service answers, and `on_check` every CHECK_EVERY_S."""
    with running(settings) as (full, stages):
        told = False
        deadline = time.monotonic() + READY_LIMIT_S
        while not stop.wait(CHECK_EVERY_S):
            stages.check()
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


def is_ready(settings: Settings) -> bool:
    """Ask /readyz."""
    try:
        with urllib.request.urlopen(f"{address(settings)}/readyz", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as variables, so that a stage builds exactly the same."""
    own = {f"LOOKOUT_{name.upper()}": str(value) for name, value in settings if value is not None}
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
            raise LookoutError(f"another Lookout is at work in {data_dir} (LOOKOUT_DATA_DIR)") from None
        yield


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"the folder {folder} cannot be made: {error.strerror}") from None


def free_port(host: str, port: int) -> int:
    """The port to use; 0 means any. Raises LookoutError where it is taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = f"cannot listen on {host}:{port}: {error.strerror} (choose another with --port)"
            raise LookoutError(reason) from None
        return int(probe.getsockname()[1])
