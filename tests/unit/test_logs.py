"""Log lines: their fields, no secret in any of them, and no flood."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import datetime

import pytest

from lookout.service.core import logging as logs
from lookout.service.core.messages import IngestReport
from lookout.service.core.throttle import Throttle
from lookout.service.core.urls import mask
from lookout.service.ingest import worker

FORMS: list[logging.Formatter] = [logs.Text("ingest"), logs.Json("ingest")]
NASTY = [
    "rtsp://admin:s3cr3t@10.0.0.7:554/ch1",
    "rtsp://admin:s3cr3t@s3cr3t@h/x",
    "rtsp://admin:s3cr3t/s3cr3t@h/x",
    "rtsp://admin:s3cr3t:s3cr3t@h/x",
    "rtsp://admin:%40s3cr3t%2F%3A%25@h/x",
    "rtsp://admin:s3cr3t%@h/x",
    "rtsp://admin:s3cr3t@[fe80::1%25eth0]:554/x",
    "rtsps://s3cr3t@[::1]/x",
    "rtsp://[::1]:8554/x?token=s3cr3t&channel=1",
    "rtsp://h/x?channel=1&access_token=s3cr3t%26s3cr3t",
    "rtsp://h/user=admin&password=s3cr3t",
    "redis://:s3cr3t@store:6379/0",
    "unix:///run/redis.sock?password=s3cr3t",
    "rtsp://admin:s3cr3t\"'<>@h/x",
    "rtsp://admin:s3cr3tü@h/x",
    "/api/v1/cameras?url=rtsp%3A%2F%2Fadmin%3As3cr3t%40h%2Fx",
    "/api/v1/cameras?url=rtsp%3a%2f%2fadmin:s3cr3t@h",
]


def record(
    message: str, *args: object, error: BaseException | None = None, **about: object
) -> logging.LogRecord:
    trouble = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("uvicorn.error", logging.WARNING, __file__, 1, message, args, trouble)
    made.__dict__.update(about)
    return made


def raised(url: str) -> BaseException:
    """An error with a cause, both of which repeat the address."""
    error = ValueError(f"{url!r} is away")
    error.__cause__ = OSError(f"cannot open {url}")
    return error


@pytest.mark.parametrize("form", FORMS, ids=["text", "json"])
@pytest.mark.parametrize("url", NASTY)
def test_no_line_shows_a_password_wherever_it_stands(form: logging.Formatter, url: str) -> None:
    for made in (
        record(url),
        record(f"camera gate: {url} is away"),
        record("camera %s: %s (%r)", "gate", url, [url]),
        record('%s - "WebSocket %s" 403', "10.0.0.1:5", f"/live?url={url}"),
        record("it failed: %r", raised(url)),
        record("it failed", error=raised(url)),
        record("camera %s is gone", url, camera=url),
    ):
        line = form.format(made)
        assert "s3cr3t" not in line
        assert "***" in line


@pytest.mark.parametrize("url", [url for url in NASTY if url.startswith("rtsp")])
def test_what_is_left_still_says_which_camera(url: str) -> None:
    shown = mask(url)
    assert any(host in shown for host in ("10.0.0.7:554", "h/", "[fe80::1%25eth0]:554", "[::1]"))


def test_a_json_line_is_an_object_with_what_it_is_about() -> None:
    made = record("camera %s: online", "gate", camera="gate", session=1_700_000_000_000, seq=42)
    line = json.loads(logs.Json("ingest").format(made))
    assert datetime.fromisoformat(line.pop("time")).timestamp() == pytest.approx(
        made.created, abs=0.001
    )
    assert line == {
        "level": "warning",
        "stage": "ingest",
        "logger": "uvicorn.error",
        "message": "camera gate: online",
        "camera": "gate",
        "session": 1_700_000_000_000,
        "seq": 42,
    }
    unknown = json.loads(
        logs.Json("ingest").format(record("camera gate: starting", session=None, seq=None))
    )
    assert not {"camera", "session", "seq", "trace"} & set(unknown)


@pytest.mark.parametrize("message", ["two\nlines", "\u2028 \x00 \ud800 ü", '"quoted" {braces}', ""])
def test_a_json_line_is_one_line_whatever_is_said(message: str) -> None:
    line = logs.Json("api").format(record(message, error=raised("rtsp://h/x")))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == message
    assert "ValueError" in json.loads(line)["trace"]


def said(form: str) -> list[str]:
    """Return what a process prints that warns, logs, and loses a thread and then itself to errors.

    The texts contain addresses with passwords.
    """
    code = (
        "import logging, sys, threading, warnings\n"
        "from lookout.service.core import logging as logs\n"
        "logs.set_up('stage', 'info', sys.argv[1])\n"
        "logging.getLogger('uvicorn.error').warning('a line about rtsp://u:s3cr3t@h/x')\n"
        "logging.getLogger('x').debug('below the level')\n"
        "warnings.warn('a warning about rtsp://u:s3cr3t@h/x')\n"
        "def fail(): raise KeyError('rtsp://u:s3cr3t@h/x')\n"
        "thread = threading.Thread(target=fail)\n"
        "thread.start()\n"
        "thread.join()\n"
        "fail()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, form], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "s3cr3t" not in ended.stderr
    return ended.stderr.splitlines()


def test_whatever_a_process_says_goes_through_the_log() -> None:
    lines = [json.loads(line) for line in said("json")]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("uvicorn.error", "warning"),
        ("py.warnings", "warning"),
        ("lookout.service.core.logging", "critical"),
        ("lookout.service.core.logging", "critical"),
    ]
    assert all(line["message"] == "KeyError, which nobody expected" for line in lines[2:])
    assert all("rtsp://***@h/x" in line["trace"] for line in lines[2:])
    assert any("stage CRITICAL KeyError, which nobody expected" in line for line in said("text"))


def test_a_line_before_logging_is_set_up_has_the_form_that_the_environment_asks_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LOOKOUT_LOG_FORMAT", raising=False)
    logs.print_line("no rtsp://u:s3cr3t@h/x")
    assert capsys.readouterr().err == "lookout: no rtsp://***@h/x\n"
    monkeypatch.setenv("LOOKOUT_LOG_FORMAT", "json")
    logs.print_line("no rtsp://u:s3cr3t@h/x", logging.CRITICAL)
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["message"]) == ("critical", "no rtsp://***@h/x")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_camera_that_flaps_is_told_of_now_and_then_and_at_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A camera goes up and down every second for an hour, then stays.

    Some lines, and none forgotten.
    """
    caplog.set_level(logging.INFO, worker.LOG.name)
    clock = Clock()
    lines = Throttle(worker.LINE_EVERY_S, worker.LINES_AT_ONCE, clock)
    for second in range(3600):
        clock.now_s += 1
        state = "reconnecting" if second % 2 else "online"
        lines.note()
        report = IngestReport(state, 0.0, session=second, last_seq=5)  # type: ignore[arg-type]
        worker.log_condition(report, "gate", None, lines)
    told = list(caplog.messages)
    assert told[:2] == ["camera gate: online", "camera gate: reconnecting"]
    assert len(told) <= worker.LINES_AT_ONCE + 60
    assert "(and 59 more that went unsaid)" in told[-1]
    clock.now_s += worker.LINE_EVERY_S
    for _ in range(10):
        report = IngestReport("online", 0.0, session=3600, last_seq=5)
        worker.log_condition(report, "gate", None, lines)
    (last,) = caplog.messages[len(told) :]
    assert last.startswith("camera gate: online (and ")
    counted = [
        int(line.split("(and ")[1].split()[0]) for line in caplog.messages if "(and " in line
    ]
    assert len(caplog.messages) + sum(counted) == 3600
    about = caplog.records[-1].__dict__
    assert (about["camera"], about["session"], about["seq"], about["levelname"]) == (
        "gate",
        3600,
        5,
        "INFO",
    )


def test_after_a_calm_everything_is_said_again() -> None:
    clock = Clock()
    rarely = Throttle(60.0, 2, clock)
    answers = []
    for _ in range(4):
        rarely.note()
        answers.append(rarely.due())
    assert answers == ["", "", None, None]
    clock.now_s += 200
    assert rarely.due() == " (and 1 more that went unsaid)"
    assert rarely.due() is None  # nothing is left to say
    rarely.note()
    assert rarely.due() == ""
