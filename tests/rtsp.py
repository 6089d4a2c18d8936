"""An RTSP server as a context: `with rtsp_server(clip) as url: ...`.

Tests that use it are marked `rtsp`.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

SCRIPT = Path(__file__).with_name("rtsp_server.py")


@contextlib.contextmanager
def rtsp_server(
    clip: Path,
    user: str | None = None,
    password: str | None = None,
    port: int = 0,
    *,
    digest: bool = False,
) -> Iterator[str]:
    """Serve `clip` to each client from its first frame.

    It is H.264 in an mp4, H.265 in a file that ends in .hevc.mp4, or MJPEG in an avi.

    Yield the URL, login included.
    """
    login = {"user": user, "password": password, "digest": digest} if user else None
    words = ["/usr/bin/python3", str(SCRIPT), str(clip), str(port)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(login) + "\n")
            process.stdin.close()
            bound = process.stdout.readline().strip()
            assert bound, "the RTSP server did not start"
            name = f"{quote(user, safe='')}:{quote(password or '', safe='')}@" if user else ""
            yield f"rtsp://{name}127.0.0.1:{bound}/clip"
        finally:
            process.kill()
