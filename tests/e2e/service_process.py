"""Run `lookout serve` as an operator does: a process of its own, ended by real signals."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx

from tests import waiting

wait_until = partial(waiting.wait_until, every_s=0.1)  # what it asks takes computing
START_LIMIT_S = 60.0
LOOKOUT = (sys.executable, "-P", "-m", "lookout")


class Output:
    """The lines of a process, read by a thread so that the process never blocks on a full pipe."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                self._new.put(self.lines[-1])
        self._new.put(None)

    def end(self) -> None:
        """Wait for the end of the stream, which comes with the last process that holds it."""
        self._thread.join(10)
        assert not self._thread.is_alive(), "some process still holds the output"

    def wait_for(self, text: str, limit_s: float = START_LIMIT_S) -> str:
        """Return the first line that holds `text`.

        Fail when the process ends or the time is up before.
        """
        while (line := self._new.get(timeout=limit_s)) is not None:
            if text in line:
                return line
        raise AssertionError(f"the process ended without saying {text!r}: {self.lines[-20:]}")


@dataclass(frozen=True)
class Service:
    process: subprocess.Popen[str]
    output: Output
    address: str
    http: httpx.Client

    def camera(self, camera: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/cameras/{camera}").raise_for_status().json()
        return found

    def add(self, **body: Any) -> dict[str, Any]:
        answer = self.http.post("/cameras", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def wait_for_state(self, camera: str, state: str, limit_s: float) -> None:
        wait_until(
            lambda: self.camera(camera)["state"] == state,
            f"{camera} is {state}",
            limit_s,
        )

    def all_scores(self, camera: str) -> list[dict[str, Any]]:
        """Return every score from the first on, page by page."""
        found: list[dict[str, Any]] = []
        since = "0-0"
        while True:
            page = self.http.get(
                f"/cameras/{camera}/scores", params={"since": since, "limit": 100}
            ).json()
            found += page["items"]
            if page["next"] is None:
                return found
            since = page["next"]


@contextlib.contextmanager
def command(
    words: list[str],
    program: Sequence[str] = LOOKOUT,
    **environment: object,
) -> Iterator[tuple[subprocess.Popen[str], Output]]:
    """Start a `lookout` command with only the given LOOKOUT_* settings.

    Interrupt and await it at the end.
    """
    others = {name: value for name, value in os.environ.items() if not name.startswith("LOOKOUT_")}
    process = subprocess.Popen(
        [*program, *words],
        env=others | {f"LOOKOUT_{name.upper()}": str(value) for name, value in environment.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    output = Output(process.stdout)
    try:
        yield process, output
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            output.end()


@contextlib.contextmanager
def running_service(data_dir: Path, **environment: object) -> Iterator[Service]:
    """Run `lookout serve` on a free port."""
    with command(["serve", "--port", "0"], LOOKOUT, data_dir=data_dir, **environment) as (
        process,
        output,
    ):
        address = output.wait_for("Lookout is at ").split()[-1]
        with httpx.Client(base_url=f"{address}/api/v1", timeout=20, trust_env=False) as http:
            yield Service(process, output, address, http)


class SharedService:
    """A service that many tests use, since a start costs ten seconds of computing.

    A test may end it by any means: the next one that asks gets a new one.
    """

    def __init__(self, start: Callable[[], contextlib.AbstractContextManager[Service]]) -> None:
        self._start = start
        self._running = contextlib.ExitStack()
        self._service: Service | None = None

    def running(self) -> Service:
        """Return the service; start one where none runs."""
        if self._service is None or self._service.process.poll() is not None:
            self.end()
            self._service = self._running.enter_context(self._start())
        return self._service

    def end(self) -> None:
        """End it as Ctrl-C does."""
        self._service = None
        self._running.close()
