"""A worker's side of its fork server: start children, signal them, learn how they ended.

Requests and answers are structs of a fixed size on a stream socket. A request to start carries the
ends of two pipes (SCM_RIGHTS), which become the child's standard input and output.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from types import TracebackType
from typing import Literal, Self
from weakref import WeakValueDictionary

LOG = logging.getLogger(__name__)

REQUEST = struct.Struct("<ccIi")  # kind, task, number of the child, signal
START = b"+"
SIGNAL = b"!"

REPLY = struct.Struct("<Iii")  # number of the child, process id, exit code (negative: a signal)
RUNS = -1000  # in place of an exit code: the child has started
NOT_STARTED = os.EX_OSERR  # the exit code of a child that could not be started

MODULE = "lookout.service.ingest.forking.server"
STOP_WITHIN_S = 3.0
KILL_WITHIN_S = 5.0  # a server that has killed no child within that hangs itself
SERVER_GONE = -signal.SIGKILL  # the exit code of a child whose server has ended: it dies with it

Task = Literal["decoder", "evidence", "trial"]


class Child:
    """One child. No method waits."""

    def __init__(
        self, server: ServerProcess, number: int, stdout: io.FileIO, stdin: io.FileIO | None
    ) -> None:
        self.stdout = stdout  # neither blocks
        self.stdin = stdin  # None: closed behind the first line
        self.pid: int | None = None  # None until the server has answered
        self._server = server
        self._number = number
        self._code: int | None = None
        self._kill_by: float | None = None  # monotonic s

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while the child runs."""
        self._server.read_replies()
        if self._code is None and self._server.is_gone:
            self._code = SERVER_GONE
        is_overdue = self._kill_by is not None and time.monotonic() > self._kill_by
        if self._code is None and is_overdue:
            self._server.kill()
        return self._code

    def note(self, pid: int, code: int) -> None:
        """Take in an answer of the server."""
        if code == RUNS:
            self.pid = pid
        else:
            self._code = code

    def terminate(self) -> None:
        """Ask the child to end (SIGTERM)."""
        self._server.signal(self._number, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the child (SIGKILL)."""
        if self._kill_by is None:
            self._kill_by = time.monotonic() + KILL_WITHIN_S
        self._server.signal(self._number, signal.SIGKILL)

    def close(self) -> None:
        """Close the pipes of a child that has ended or is given up."""
        self.stdout.close()
        if self.stdin is not None:
            self.stdin.close()


class ServerProcess:
    """One process of the fork server. No method but `end` waits.

    It dies with the thread that started it: start it from a thread that lasts.
    """

    def __init__(self) -> None:
        """Start the process. Raises OSError."""
        self.is_gone = False
        self._is_killed = False
        self._children: WeakValueDictionary[int, Child] = WeakValueDictionary()
        self._unread = b""
        self._control, end = socket.socketpair()
        with end:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE],
                stdin=end.fileno(),
                stdout=2,  # a print is no message
                start_new_session=True,  # Ctrl-C reaches the worker alone
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a process that forks has one
            )
        self._control.setblocking(False)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def start(self, task: Task, number: int, job: bytes, *, keeps_stdin: bool) -> Child:
        """Start a child with a line on its standard input. Raises OSError.

        The line fits a pipe's usual buffer: writing it never waits for the child.
        keeps_stdin: more lines follow.
        """
        stdin, job_end = os.pipe()
        messages, stdout = os.pipe()
        try:
            os.set_blocking(messages, False)
            request = REQUEST.pack(START, task[0].encode(), number, 0)
            socket.send_fds(self._control, [request], [stdin, stdout])
        except OSError:
            os.close(messages)
            os.close(job_end)
            raise
        finally:
            os.close(stdin)
            os.close(stdout)
        os.set_blocking(job_end, False)
        pipe = io.FileIO(job_end, "wb")
        written: int | None = len(job)
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and says so
            written = pipe.write(job)
        if written != len(job):
            pipe.close()
            os.close(messages)
            raise BlockingIOError(errno.EAGAIN, "the system's pipes are too small")
        if not keeps_stdin:
            pipe.close()
        child = Child(self, number, io.FileIO(messages), pipe if keeps_stdin else None)
        self._children[number] = child
        return child

    def signal(self, number: int, which: signal.Signals) -> None:
        """Have a signal sent to a child, if it runs; a server that takes no request is killed."""
        try:
            self._control.send(REQUEST.pack(SIGNAL, b" ", number, which))
        except BlockingIOError:
            self.kill()
        except OSError:
            self.is_gone = True

    def read_replies(self) -> None:
        """Take in the answers since the last call."""
        while not self.is_gone:
            try:
                received = self._control.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                received = b""
            self.is_gone = not received
            self._unread += received
            whole = len(self._unread) // REPLY.size * REPLY.size
            for number, pid, code in REPLY.iter_unpack(self._unread[:whole]):
                child = self._children.get(number)
                if child is not None:
                    child.note(pid, code)
            self._unread = self._unread[whole:]

    def kill(self) -> None:
        """Kill a server that hangs; its children die with it."""
        if not self._is_killed:
            LOG.error("the process that starts decoders hangs and is killed; another one follows")
        self._is_killed = True
        self._process.kill()

    def end(self) -> None:
        """End the server and every child that still runs, within STOP_WITHIN_S."""
        self._control.close()
        self.is_gone = True
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Children:
    """Starts children, and their server again when it is gone. A context manager.

    Use it from one thread, the one that entered it.
    """

    def __init__(self) -> None:
        self._server: ServerProcess | None = None
        self._started = 0

    def __enter__(self) -> Self:
        """Start the server, so that it has loaded its libraries when it is needed."""
        with contextlib.suppress(OSError):  # the first child says so
            self.server()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server and every child that still runs."""
        self.close()

    def close(self) -> None:
        """End the server and every child that still runs, within STOP_WITHIN_S."""
        if self._server is not None:
            self._server.end()
            self._server = None

    def server(self) -> ServerProcess:
        """Return the server that runs; start one if there is none. Raises OSError."""
        if self._server is not None:
            self._server.read_replies()
        if self._server is not None and self._server.is_gone:
            self._server.end()
            self._server = None
        if self._server is None:
            self._server = ServerProcess()
        return self._server

    def start(self, task: Task, job: bytes, *, keeps_stdin: bool = False) -> Child:
        """Start a child with a line on its standard input; keeps_stdin: more follow.

        Raises OSError.
        """
        self._started += 1
        return self.server().start(task, self._started, job, keeps_stdin=keeps_stdin)
