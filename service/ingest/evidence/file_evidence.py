"""Makes the clips and pictures of a file camera's alerts: the file is read again, by time.

`main` reads its job as one line on standard input, as a decoder does, serves every request that
waits for that camera, and ends. A file that breaks libav takes this process with it, and nothing
else.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

import av.error
from setproctitle import setproctitle

from lookout.models.errors import VideoError
from lookout.models.media.clip_writer import ClipOutput
from lookout.models.media.container import open_video, reason, video_stream
from lookout.models.media.packet_ring import PacketRing, seconds_of
from lookout.service.core import urls
from lookout.service.core.camera import Camera
from lookout.service.core.errors import SourceError
from lookout.service.core.evidence import EvidenceRequest
from lookout.service.core.messages import AlertId
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.limits import limit_memory
from lookout.service.ingest.decoder.protocol import Job
from lookout.service.ingest.evidence.evidence_maker import (
    AFTER_S,
    Codec,
    EvidenceMaker,
    Packets,
)
from lookout.service.storage import pictures
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.redis.connect import UNAVAILABLE

MB = 2**20
NICE = 15
EARLIER_S = 2.0


def main() -> None:
    """Serve the requests of the camera on standard input."""
    os.nice(NICE)
    job = Job.load(sys.stdin.buffer.readline())
    setproctitle(f"lookout: evidence {job.camera.id}")
    limit_memory(job.settings.decoder_memory_mb)
    with contextlib.suppress(*UNAVAILABLE):  # the worker starts another process later
        serve(job.camera, job.settings)


def serve(camera: Camera, settings: Settings) -> None:
    """Make the evidence of every request that is due. Raises one of UNAVAILABLE."""
    bus = open_bus(settings)
    store = open_store(settings)
    for request in bus.evidence_requests(camera.id):
        if not request.is_due(time.time(), settings.clip_most_s):
            continue
        maker = EvidenceMaker(camera.id, Codec("", None), settings, bus, store)
        session = store.session(camera.id)
        number = AlertId.parse(request.alert).frame.session
        if session is None or session.number != number:
            maker.fail(request, "the file was played anew since")
        else:
            try:
                make(maker, camera, request, session.began.utc_s)
            except (VideoError, SourceError) as error:
                maker.fail(request, str(error))
            except av.error.FFmpegError as error:
                maker.fail(request, f"the file cannot be read: {reason(error)}")
            except UNAVAILABLE:
                raise
            except Exception as error:  # the request would be tried again for ever
                maker.fail(request, f"it cannot be made ({type(error).__name__})")
        bus.finish_evidence(camera.id, request.alert)


def make(maker: EvidenceMaker, camera: Camera, request: EvidenceRequest, began_at: float) -> None:
    """Make the evidence of one request.

    began_at: when the first picture of the file was shown (s, UTC). Raises VideoError,
    SourceError where the file is gone, av.error.FFmpegError, and one of UNAVAILABLE.
    """
    spans: list[tuple[pictures.Which | None, float, float]] = [
        ("open", request.opened_at, request.opened_at + AFTER_S),
        ("peak", request.peak_at, request.peak_at + AFTER_S),
        (None, request.begins_at, request.ends_at),
    ]
    for which, begins_at, ends_at in spans:
        with open_video(urls.file_path(camera.url, maker.settings.media_dir)) as container:
            stream = video_stream(container)
            maker.codec = Codec.of(stream)
            output = ClipOutput(stream)
            zero_s = next(container.decode(stream)).time or 0.0
            limits = (maker.settings.clip_camera_mb * MB, ends_at - begins_at + 60.0)
            ring = PacketRing(*limits)
            begins_s = zero_s + begins_at - began_at
            # Containers are searched by times of decoding, which are earlier than those of display.
            offset = int(max(zero_s, begins_s - EARLIER_S) / stream.time_base)
            container.seek(offset, stream=stream, backward=True)
            for packet in container.demux(stream):
                ring.add(packet)
                is_timed = packet.pts is not None or packet.dts is not None
                if is_timed and seconds_of(packet) > zero_s + ends_at - began_at + AFTER_S:
                    break
            ring.tie(zero_s, began_at)
            coded = ring.between(begins_at, ends_at)
            packets = Packets(coded, [ring.at(packet) for packet in coded])
            if which is None:
                maker.clip(request, packets, output)
            else:
                maker.picture(request.alert, which, begins_at, packets)
