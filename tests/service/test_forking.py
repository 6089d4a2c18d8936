"""The fork server: children start at once, end as they are told, and never outlive their worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.protocol import EXIT_CODES, DecoderMessage, Job
from lookout.service.ingest.forking import children as forking
from lookout.service.ingest.forking.children import SERVER_GONE, Child, Children
from lookout.service.storage.bus.bus import Bus
from tests.clips import write_clip
from tests.conftest import Urls
from tests.ingest_line import camera, settings_for
from tests.owning import own as lease
from tests.waiting import wait_until

WORKER = """
import sys
from lookout.service.ingest.forking.children import Children

with Children() as children:
    child = children.start("decoder", sys.stdin.buffer.readline())
    while child.pid is None:
        child.exit_code()
    print(child.pid, children.server().pid, flush=True)
    sys.stdin.buffer.read()
"""


@pytest.fixture
def children() -> Iterator[Children]:
    with Children() as entered:
        yield entered


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, urls.bus, urls.store)


@pytest.fixture
def endless_job(settings: Settings, bus: Bus) -> bytes:
    """The job of a decoder that works for a minute."""
    clip = write_clip(settings.media_dir / "endless.mp4", range(600))
    return Job(camera("gate", clip, pace="realtime"), settings, lease(bus, "gate", "ingest")).dump()


@pytest.fixture
def vain_job(settings: Settings) -> bytes:
    """The job of a decoder that is refused its file."""
    return Job(camera("vain", "/clip.mp4"), settings, "token").dump()


def wait_for_pid(child: Child) -> int:
    wait_until(lambda: child.exit_code() is None and child.pid is not None, "its process")
    assert child.pid is not None
    return child.pid


def wait_for_end(child: Child) -> int:
    wait_until(lambda: child.exit_code() is not None, "its end")
    return child.exit_code() or 0


def said(child: Child) -> list[DecoderMessage]:
    return [DecoderMessage.load(line) for line in (child.stdout.read() or b"").splitlines()]


def test_a_child_reads_its_job_and_its_exit_code_comes_after_its_last_words(
    children: Children, vain_job: bytes
) -> None:
    child = children.start("decoder", vain_job)
    assert wait_for_end(child) == EXIT_CODES["refused"]
    assert [message.kind for message in said(child)] == ["ready", "refused"]
    child.close()


def test_a_child_has_a_title_that_names_its_camera_and_shares_what_the_server_loaded(
    children: Children, endless_job: bytes
) -> None:
    child = children.start("decoder", endless_job)
    process = psutil.Process(wait_for_pid(child))
    wait_until(lambda: "lookout: decoder gate" in " ".join(process.cmdline()), "its title")
    server = psutil.Process(children.server().pid)
    assert process.ppid() == server.pid
    assert server.num_threads() == 1
    child.terminate()
    assert wait_for_end(child) == -signal.SIGTERM
    child.close()


def test_many_children_at_once_keep_nothing_open(children: Children, vain_job: bytes) -> None:
    first = children.start("decoder", vain_job)
    wait_for_end(first)  # the server has loaded its libraries
    first.close()
    own = psutil.Process()
    before = own.num_fds()
    server = psutil.Process(children.server().pid)
    server_before = server.num_fds()
    started = [children.start("decoder", vain_job) for _ in range(20)]
    assert {wait_for_end(child) for child in started} == {EXIT_CODES["refused"]}
    assert all(said(child)[-1].kind == "refused" for child in started)
    for child in started:
        child.close()
    assert own.num_fds() == before
    wait_until(lambda: server.num_fds() == server_before, "the server's ends to be closed")
    assert server.children() == []


def test_a_job_that_no_pipe_takes_starts_no_decoder(children: Children, vain_job: bytes) -> None:
    """Linux gives a user who has many pipes open smaller ones."""
    before = psutil.Process().num_fds()
    with pytest.raises(BlockingIOError, match="pipes are too small"):
        children.start("decoder", b"x" * 2**20)
    assert psutil.Process().num_fds() == before
    child = children.start("decoder", vain_job)
    assert wait_for_end(child) == EXIT_CODES["refused"]
    child.close()


def test_with_the_server_its_children_die_and_another_server_follows(
    children: Children, endless_job: bytes, vain_job: bytes
) -> None:
    child = children.start("decoder", endless_job)
    process = psutil.Process(wait_for_pid(child))
    first = children.server().pid
    os.kill(first, signal.SIGKILL)
    assert wait_for_end(child) == SERVER_GONE
    wait_until(lambda: not process.is_running(), "the child's end")
    child.close()
    later = children.start("decoder", vain_job)
    assert wait_for_end(later) == EXIT_CODES["refused"]
    assert children.server().pid != first
    later.close()


def test_a_server_that_hangs_is_killed_with_the_child_that_is_to_end(
    children: Children, endless_job: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "KILL_WITHIN_S", 0.2)
    child = children.start("decoder", endless_job)
    process = psutil.Process(wait_for_pid(child))
    os.kill(children.server().pid, signal.SIGSTOP)
    child.kill()
    assert wait_for_end(child) == SERVER_GONE
    wait_until(lambda: not process.is_running(), "the child's end")
    child.close()


def test_a_child_that_is_killed_before_its_server_has_loaded_never_works(
    endless_job: bytes, bus: Bus
) -> None:
    with Children() as children:
        child = children.start("decoder", endless_job)
        child.kill()
        assert wait_for_end(child) == -signal.SIGKILL
        child.close()
        assert bus.newest_frame_id("gate") is None


def test_when_the_worker_is_killed_nothing_of_it_stays(endless_job: bytes) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    with worker, worker.stdin, worker.stdout:
        worker.stdin.write(endless_job)
        worker.stdin.flush()
        processes = [psutil.Process(int(word)) for word in worker.stdout.readline().split()]
        assert len(processes) == 2
        worker.kill()
        worker.wait()
        wait_until(
            lambda: not any(process.is_running() for process in processes), "both to be gone"
        )
