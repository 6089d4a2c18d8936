"""Keeps a live camera's packets, and serves alerting's requests for clips and pictures of them.

The decoder adds each packet and says when its pictures were filmed; that is all that its loop does.
A thread with the lowest priority asks the bus for requests, decodes stills, and writes the files: a
slow disk, a bus that is away or a large picture never holds up a frame.
"""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType
from typing import Any, Protocol, Self

import av.container

from lookout.models.errors import VideoError
from lookout.models.media.clip_writer import ClipOutput
from lookout.models.media.container import video_stream
from lookout.models.media.packet_ring import PacketRing
from lookout.service.core import urls
from lookout.service.core.camera import Camera
from lookout.service.core.evidence import EvidenceRequest
from lookout.service.core.settings import Settings
from lookout.service.ingest.evidence.evidence_maker import (
    AFTER_S,
    Codec,
    EvidenceMaker,
    Packets,
)
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.redis.connect import UNAVAILABLE

MB = 2**20
POLL_S = 0.5
SLACK_S = 10.0  # the ring holds so much more than a clip: scores, alerting and a keyframe take time
END_WITHIN_S = 3.0  # a stream has ended: what was asked for is made of what is there
NICE = 15


class Keeper(Protocol):
    """The part of a keeper that a decoder uses; a context manager."""

    def __enter__(self) -> Self:
        """Begin to serve requests."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make what was asked for of what is there; wait a little for it."""

    def add(self, packet: Any) -> None:
        """Take the next av.Packet of the stream."""

    def tie(self, pts_s: float | None, at: float) -> None:
        """Note when the picture with a time stamp (s) was filmed (s, UTC)."""


class NoKeeper(contextlib.AbstractContextManager["NoKeeper"]):
    """Keeps nothing: of a file, which can be read again, and where no clips are wanted."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def add(self, packet: Any) -> None:
        """Do nothing."""

    def tie(self, pts_s: float | None, at: float) -> None:
        """Do nothing."""


def open_keeper(
    camera: Camera, container: av.container.InputContainer, settings: Settings
) -> Keeper:
    """Return the keeper of a source. Raises VideoError where it has no video."""
    if urls.is_file(camera.url) or not settings.clip_camera_mb:
        return NoKeeper()
    return EvidenceKeeper(camera.id, video_stream(container), settings)


class EvidenceKeeper:
    """The ring of one stream and the thread that serves requests. Use as a context manager."""

    def __init__(self, camera: str, stream: Any, settings: Settings) -> None:
        """stream: the video track that is decoded."""
        self._stream = stream
        self._camera = camera
        self._settings = settings
        self._ring = PacketRing(settings.clip_camera_mb * MB, settings.clip_most_s + SLACK_S)
        self._lock = threading.Lock()  # of the ring and the output
        self._output: ClipOutput | None = None  # for the next clip; made in the decoder's thread
        self._refusal = ""  # why this stream can have no clip
        self._ended = threading.Event()
        self._maker = EvidenceMaker(
            camera, Codec.of(stream), settings, open_bus(settings), open_store(settings)
        )
        self._thread = threading.Thread(target=self.work, name="evidence", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make what was asked for of what is there; wait a little for it."""
        self._ended.set()
        self._thread.join(END_WITHIN_S)

    def add(self, packet: Any) -> None:
        """Take the next av.Packet of the stream."""
        with self._lock:
            self._ring.add(packet)
            if self._output is None and not self._refusal:
                try:
                    self._output = ClipOutput(self._stream)
                except VideoError as error:
                    self._refusal = str(error)

    def tie(self, pts_s: float | None, at: float) -> None:
        """Note when the picture with a time stamp (s) was filmed (s, UTC)."""
        with self._lock:
            self._ring.tie(pts_s, at)

    def work(self) -> None:
        """Serve requests until the stream has ended, and then once more."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            is_last = self._ended.wait(POLL_S)
            with contextlib.suppress(*UNAVAILABLE):
                self.serve(is_last=is_last)
            if is_last:
                return

    def serve(self, *, is_last: bool) -> None:
        """Make what is due of every request. Raises one of UNAVAILABLE.

        is_last: no packet follows, so that everything is due.
        """
        requests = self._maker.bus.evidence_requests(self._camera)
        self._maker.forget_all_but(requests)
        for request in requests:
            self.serve_one(request, is_last=is_last)

    def serve_one(self, request: EvidenceRequest, *, is_last: bool) -> None:
        """Make what is due of one request. Raises one of UNAVAILABLE."""
        with self._lock:
            newest_at = self._ring.newest_at
        done = self._maker.progress(request)
        is_late = self._maker.is_late(request)
        if newest_at is None:
            newest_at = float("-inf")
        if not done.pictured_open and (is_last or newest_at >= request.opened_at):
            at = request.opened_at
            self._maker.picture(request.alert, "open", at, self.packets(at, at + AFTER_S))
            done.pictured_open = True
        if done.pictured_peak_at != request.peak_at and (is_last or newest_at >= request.peak_at):
            at = request.peak_at
            self._maker.picture(request.alert, "peak", at, self.packets(at, at + AFTER_S))
            done.pictured_peak_at = request.peak_at
        if not done.clipped and (is_last or is_late or newest_at >= request.ends_at + AFTER_S):
            self.clip(request)
            done.clipped = True
        if done.clipped and (request.is_over or is_last):
            self._maker.bus.finish_evidence(self._camera, request.alert)

    def clip(self, request: EvidenceRequest) -> None:
        """Make the clip of a request, or say why there is none. Raises one of UNAVAILABLE."""
        packets = self.packets(request.begins_at, request.ends_at)
        with self._lock:
            output = self._output
            self._output = None
        if output is None:
            self._maker.fail(request, self._refusal or "the stream has ended")
        else:
            self._maker.clip(request, packets, output)

    def packets(self, begins_at: float, ends_at: float) -> Packets:
        """Return the ring's packets of a time (s, UTC), from the keyframe before it."""
        with self._lock:
            coded = self._ring.between(begins_at, ends_at)
            return Packets(coded, [self._ring.at(packet) for packet in coded])
