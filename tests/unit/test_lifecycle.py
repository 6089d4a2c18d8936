"""Signals: what ends a command, and what is left then. Real processes, a real terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import with_wide_forms
from tests.waiting import wait_until

WRITES = """
import sys, time
from pathlib import Path
import typer
from lookout.models.media.atomic_file import replacing
from lookout.service.cli.entry import run_app
app = typer.Typer()
@app.command()
def write(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        time.sleep(60)
run_app(app)
"""

WAITS = """
import sys
from pathlib import Path
from lookout.service.core.lifecycle import stop_on_signals
with stop_on_signals() as stop:
    Path(sys.argv[1]).write_text("ready")
    stop.wait(30)
Path(sys.argv[1]).write_text(f"stopped: {stop.is_set()}")
"""


HEEDING = ("env", "--default-signal=HUP,INT")
"""Tests in the background ignore SIGINT, under nohup SIGHUP, and so would their children."""


@pytest.mark.parametrize(
    "number",
    with_wide_forms([signal.SIGTERM, signal.SIGHUP, signal.SIGINT], {signal.SIGTERM}),
)
def test_a_signal_leaves_no_half_written_file(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "out"
    process = subprocess.Popen([*HEEDING, sys.executable, "-c", WRITES, str(folder / "file.json")])
    try:
        wait_until(lambda: folder.exists() and list(folder.iterdir()), "it writes", 30)
        process.send_signal(number)
        assert process.wait(10) == 128 + number
    finally:
        process.kill()
        process.wait()
    assert list(folder.iterdir()) == []


def test_a_terminal_that_is_closed_stops_a_command(tmp_path: Path) -> None:
    """The kernel sends SIGHUP then, and no line can be printed any more."""
    path = tmp_path / "state"
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(HEEDING[0], [*HEEDING, sys.executable, "-c", WAITS, str(path)])  # noqa: S606
    wait_until(lambda: path.exists() and path.read_text() == "ready", "it waits", 30)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert path.read_text() == "stopped: True"


def test_nohup_keeps_a_command_running(tmp_path: Path) -> None:
    path = tmp_path / "state"
    process = subprocess.Popen(["nohup", sys.executable, "-c", WAITS, str(path)])
    try:
        wait_until(lambda: path.exists() and path.read_text() == "ready", "it waits", 30)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert path.read_text() == "stopped: True"
