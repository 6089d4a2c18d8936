"""The lines between a decoder and its worker."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lookout.service.core.errors import BrokenMessageError, Reason
from lookout.service.core.settings import load_settings
from lookout.service.ingest.decoder.protocol import (
    MAX_ERROR,
    MAX_LINE,
    DecoderMessage,
    Job,
    LineSplitter,
)
from lookout.service.ingest.decoder.reporter import QUIET_S, Reporter
from tests.ingest_line import camera


def test_a_job_comes_back_as_it_went() -> None:
    settings = load_settings(
        bus_url="redis://:pw@host/0", media_dir=Path("/media"), stall_timeout_s=3
    )
    job = Job(camera("a", "rtsp://u:p@h/1", fps=5.0), settings, "token")
    assert Job.load(job.dump()) == job
    assert job.dump().count(b"\n") == 1


def test_a_job_that_would_not_fit_a_pipe_is_refused() -> None:
    long = camera("a", "/").model_copy(update={"url": "/" + "x" * 70_000})
    with pytest.raises(ValueError, match="too long"):
        Job(long, load_settings(), "token").dump()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_come_whole_however_the_bytes_are_cut(size: int) -> None:
    said = [
        DecoderMessage("session", 17, 0, 1.5, 1),
        DecoderMessage("lost", error="gone"),
        DecoderMessage("ended"),
    ]
    data = "".join(one.dump() for one in said).encode()
    lines = LineSplitter()
    got = [
        line
        for start in range(0, len(data), size)
        for line in lines.feed(data[start : start + size])
    ]
    assert [DecoderMessage.load(line) for line in got] == said


def test_an_endless_line_is_left_out_and_takes_no_memory() -> None:
    lines = LineSplitter()
    for _ in range(100):
        assert lines.feed(b"x" * MAX_LINE) == []
        assert len(lines._rest) <= MAX_LINE
    assert lines.feed(b"tail\nnext\n") == [b"next"]


def test_a_line_that_is_none_of_ours_is_a_broken_message() -> None:
    for line in (b"", b"hello", b"[1]", b"{}"):
        with pytest.raises(BrokenMessageError):
            DecoderMessage.load(line)


def test_signs_of_life_come_at_most_five_times_a_second() -> None:
    now, out = [0.0], io.StringIO()
    reporter = Reporter(out, clock=lambda: now[0])
    for _ in range(100):
        now[0] += QUIET_S / 10
        reporter.heartbeat()
    assert 9 <= len(out.getvalue().splitlines()) <= 11


def test_damage_counts_anew_with_each_session() -> None:
    out = io.StringIO()
    reporter = Reporter(out)
    reporter.note_damage()  # before the first whole picture
    reporter.begin_session(17)
    reporter.note_damage()
    reporter.note_damage()
    reporter.send("progress")
    reporter.begin_session(18)
    said = [DecoderMessage.load(line.encode()) for line in out.getvalue().splitlines()]
    assert [(line.session, line.damaged) for line in said] == [(17, 0), (17, 2), (18, 0)]


def test_an_error_is_said_without_its_password_and_not_at_length() -> None:
    out = io.StringIO()
    reporter = Reporter(out)
    address = "rtsp://me:s3cr3t@host/1"
    error = Reason(f"{address} is away {'x' * 10_000}", code="source_broken", why=address)
    reporter.send("lost", error)
    assert "s3cr3t" not in out.getvalue()
    message = DecoderMessage.load(out.getvalue().encode())
    assert len(message.error or "") == MAX_ERROR
    assert message.reason is not None
    assert (message.reason.code, message.reason.values) == (
        "source_broken",
        {"why": "rtsp://***@host/1"},
    )


def test_a_decoder_whose_worker_is_gone_ends() -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with pytest.raises(SystemExit):
        Reporter(Gone()).send("ready")
