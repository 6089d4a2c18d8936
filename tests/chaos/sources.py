"""The sources of the cameras' pictures: clips, and RTSP servers, one of them behind the proxy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.fleet import FAST_FRAMES, LIVE_FPS, PACED, RTSP
from tests.chaos.footage import write_footage
from tests.chaos.proxy import Proxy
from tests.rtsp import rtsp_server

FILE_FPS = 10


@dataclass
class Sources:
    """`servers`: a context of their own, since the pictures end before everything else."""

    media: Path
    urls: list[str] = field(default_factory=list)  # of RTSP; the first goes through the proxy
    proxy: Proxy | None = None
    no_rtsp: str | None = None  # why there are none
    servers: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def end(self) -> None:
        self.servers.close()
        for clip in self.media.glob("*.mp4"):
            clip.unlink()


def write_clips(media: Path, live_s: float) -> Path:
    """Write a clip of `live_s` for each live camera; return the clip of the files at full pace."""
    for i in range(PACED + RTSP):
        write_footage(media / f"live{i}.mp4", round(live_s * LIVE_FPS), LIVE_FPS, seed=i + 1)
    return write_footage(media / "fast.mp4", FAST_FRAMES, FILE_FPS, seed=0)


@contextlib.contextmanager
def open_sources(media: Path) -> Iterator[Sources]:
    """Open two RTSP servers; none without GStreamer's bindings."""
    sources = Sources(media)
    with sources.servers as servers:
        try:
            hidden = servers.enter_context(rtsp_server(media / f"live{PACED}.mp4"))
            plain = servers.enter_context(rtsp_server(media / f"live{PACED + 1}.mp4"))
        except (AssertionError, OSError):
            sources.no_rtsp = (
                "no RTSP server "
                "(Debian packages gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-*)"
            )
        else:
            port = urlsplit(hidden).port
            assert port is not None
            sources.proxy = servers.enter_context(Proxy(port))
            sources.urls = [hidden.replace(str(port), str(sources.proxy.port)), plain]
        yield sources
