"""The process that forks a worker's children: `python -m lookout.service.ingest.forking.server`.

Its standard input is one end of a socket, over which the worker asks for children, with the two
ends of pipes that become a child's standard input and output, and for signals to them. It answers
with their process ids and exit codes. It has one thread, so that a fork copies the whole of it, and
ends when the worker does: its children die with it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from setproctitle import setproctitle

from lookout.service.core.lifecycle import die_with_parent, end_if_orphaned
from lookout.service.ingest.decoder import main as decoder
from lookout.service.ingest.decoder import trial
from lookout.service.ingest.evidence import file_evidence
from lookout.service.ingest.forking.children import NOT_STARTED, REPLY, REQUEST, RUNS, START

LOG = logging.getLogger(__name__)

TASKS: dict[bytes, tuple[str, Callable[[], None]]] = {
    b"d": ("decoder", decoder.main),
    b"e": ("evidence", file_evidence.main),
    b"t": ("trial", trial.main),
}


class ForkServer:
    """Serves one worker."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pids: dict[int, int] = {}  # number of a child that runs → its process id
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)

    def run(self) -> None:
        """Serve until the worker closes its end of the socket or is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        gc.freeze()  # a collection in a child would copy what it shares with this process
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                ready, _, _ = select.select([self._control.fileno(), self._wake], [], [])
                if self._wake in ready:
                    os.read(self._wake, 4096)
                    self.reap()
                if self._control.fileno() in ready and not self.serve_one():
                    return

    def serve_one(self) -> bool:
        """Serve the next request; return False where none will follow."""
        request, ends, _, _ = socket.recv_fds(self._control, REQUEST.size, 2)
        if len(request) < REQUEST.size:
            return False
        kind, task, number, signal_number = REQUEST.unpack(request)
        if kind == START:
            self.fork(number, *TASKS[task], ends)
            for end in ends:
                os.close(end)
        elif number in self._pids:  # not waited for yet: nobody else has its process id
            os.kill(self._pids[number], signal_number)
        return True

    def fork(self, number: int, name: str, run: Callable[[], None], ends: list[int]) -> None:
        """Start a child, and answer with its process id."""
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            LOG.error("no %s can be started: %s", name, error.strerror)
            self.reply(number, 0, NOT_STARTED)
            return
        if pid == 0:
            self.be_child(name, run, ends, parent)
        self._pids[number] = pid
        self.reply(number, pid, RUNS)

    def be_child(
        self, name: str, run: Callable[[], None], ends: list[int], parent: int
    ) -> NoReturn:
        """Run a child's task, and end. Nothing of the server goes on in it."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            die_with_parent(signal.SIGKILL)
            end_if_orphaned(parent)
            self._control.close()
            for number, end in enumerate(ends):
                os.dup2(end, number)
            for end in (*ends, self._wake, self._woken):
                os.close(end)
            setproctitle(f"lookout: {name}")
            run()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def reap(self) -> None:
        """Answer with the exit codes of the children that have ended."""
        for number, pid in list(self._pids.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._pids[number]
                self.reply(number, pid, os.waitstatus_to_exitcode(status))

    def reply(self, number: int, pid: int, code: int) -> None:
        """Send an answer."""
        self._control.sendall(REPLY.pack(number, pid, code))


def main() -> None:
    """Serve the worker at the other end of standard input."""
    die_with_parent(signal.SIGKILL)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as control:
        ForkServer(control).run()


if __name__ == "__main__":
    main()
