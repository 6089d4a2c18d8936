"""A receiver of webhooks on loopback, which counts what comes and answers as a test says.

`python -m tests.receiver PORT FILE STATUS` is one that a test can kill: it writes the id of each
event to a file before it answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """Requests that came, and the status of the next answers; the last one stays."""

    port: int = 0
    requests: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=lambda: [200])
    hold: threading.Event | None = None  # answers wait for it
    on_request: Callable[[Received], None] = lambda _: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?key=s3cr3t"

    @property
    def ids(self) -> list[str]:
        """The ids of the events that were taken."""
        return [one.headers["X-Lookout-Event"] for one in self.requests]


@contextlib.contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver until the block ends; context: of one by TLS."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Received(self.path, dict(self.headers), body)
            found.requests.append(request)
            found.on_request(request)
            if found.hold is not None:
                found.hold.wait(30)
            status = found.statuses[0]
            if len(found.statuses) > 1:
                found.statuses.pop(0)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"http://127.0.0.1:{found.port}/other")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            if found.hold is not None:
                found.hold.set()
            server.shutdown()
            thread.join()


def main(port: int, path: Path, status: int) -> None:
    """Answer every request with a status; an event that is taken stands in the file first."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if status == 200:  # the kernel has it: a kill of this process does not lose it
                line = f"{body['id']} {body['event']} {body['alert']['id']}\n"
                os.write(file, line.encode())
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
