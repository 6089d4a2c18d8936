"""Tries sources whose decoders showed no picture: one process for all such cameras of a worker.

`main` reads the settings as the first line on standard input, then a source a line; it opens each
as a decoder does, on a thread of its own, waits for the first packet, and writes a line on how that
ended. A try costs a millisecond of CPU. The process ends when nobody has asked for IDLE_S.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import threading
from collections.abc import Iterator
from typing import Any

import av.container
import av.logging

from lookout.models.media.container import video_stream
from lookout.service.core.camera import Camera
from lookout.service.core.errors import (
    Reason,
    SourceError,
    SourceLostError,
    SourceStalledError,
)
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder import source
from lookout.service.ingest.decoder.limits import limit_memory
from lookout.service.ingest.decoder.protocol import (
    LineSplitter,
    TrialKind,
    TrialRequest,
    TrialResult,
    error_fields,
)
from lookout.service.ingest.decoder.reporter import reserve_stdout

READ_BYTES = 65_536
IDLE_S = 120.0  # longer than any trial


def main() -> None:
    """Run the process."""
    out = reserve_stdout()
    silence_libav()
    lines = read_lines(sys.stdin.fileno())
    settings = Settings(**json.loads(next(lines)))
    limit_memory(settings.decoder_memory_mb)
    for line in lines:
        words = (TrialRequest.load(line), settings, out.fileno())
        threading.Thread(target=answer, args=words, daemon=True).start()


def silence_libav() -> None:
    """Pass nothing of libav's log on: it may hold an address.

    The level is that which `source` wants, so that no thread lowers it while another one reads.
    """
    log = logging.getLogger("libav")
    log.handlers = [logging.NullHandler()]
    log.propagate = False
    av.logging.set_skip_repeated(False)
    av.logging.set_level(av.logging.VERBOSE)


def read_lines(pipe: int) -> Iterator[bytes]:
    """Yield the lines of a pipe, until it is closed or nothing has come for IDLE_S."""
    splitter = LineSplitter()
    while select.select([pipe], [], [], IDLE_S)[0]:
        data = os.read(pipe, READ_BYTES)
        if not data:
            return
        yield from splitter.feed(data)


def answer(request: TrialRequest, settings: Settings, out: int) -> None:
    """Try a source, and write how it ended; a line this short is written whole."""
    kind, error = try_source(request.camera, settings)
    result = TrialResult(request.number, kind, **error_fields(error))
    try:
        os.write(out, result.dump().encode())
    except OSError:  # the worker is gone
        os._exit(0)


def try_source(camera: Camera, settings: Settings) -> tuple[TrialKind, Reason | None]:
    """Return whether a source sends a packet, and why not."""
    try:
        with source.open_source(camera, settings) as container:
            packets = source.translate_errors(coded_packets(container), camera, settings)
            if next(packets, None) is not None:
                return "shows", None
            return "lost", source.ENDED
    except SourceStalledError as error:
        return "stalled", error.reason
    except SourceLostError as error:
        # Others use the memory of this process, too: a decoder has its own.
        return "unsure" if error.reason == source.OUT_OF_MEMORY else "lost", error.reason
    except (SourceError, Exception):  # a decoder says what it is
        return "unsure", None


def coded_packets(container: av.container.InputContainer) -> Iterator[Any]:
    """Yield the packets of the video track that hold anything."""
    for packet in container.demux(video_stream(container)):
        if packet.size:
            yield packet
