"""Coded packets to a clip that a browser plays, without encoding anew, and to a still picture."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import av.container
import av.error
import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.errors import VideoError
from lookout.models.media.container import reason
from lookout.models.media.decode import UNDECODABLE, turned
from lookout.models.media.packet_ring import shown_at

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
"""Options of mp4 in fragments, each of which begins with a keyframe."""

BROWSER_TAGS = {"hevc": "hvc1"}
"""Tags of codecs that browsers know by another one than libav's."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A whole clip in memory."""

    content: bytes
    seconds: float  # from its first picture to its last


class ClipOutput:
    """One clip that is about to be written.

    It takes the codec from a stream that is open, and needs that stream no more afterwards: another
    thread may write.
    """

    def __init__(self, stream: Any) -> None:
        """stream: the video track that the packets are of. Raises VideoError."""
        self._file = io.BytesIO()
        self._container = av.open(self._file, "w", format="mp4", options=FRAGMENTED)
        codec = stream.codec_context
        try:
            self._stream = self._container.add_stream_from_template(stream, opaque=True)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(f"{codec.name} cannot be put into an mp4 file") from error
        if codec.name in BROWSER_TAGS:
            self._stream.codec_context.codec_tag = BROWSER_TAGS[codec.name]

    def write(self, packets: Sequence[Any]) -> Clip:
        """Return the clip of av.Packets that begin with a keyframe, in the order of decoding.

        Raises VideoError where there is none, or libav refuses.
        """
        if not packets:
            raise VideoError("there is no keyframe in that time")
        begins = shown_at(packets[0])
        # Pictures that are shown before the keyframe are predicted from one that is not there.
        chosen = [packet for packet in packets if shown_at(packet) >= begins]
        times = [shown_at(packet) - begins for packet in chosen]
        order = decoding_times(times)
        base = packets[0].time_base
        try:
            for packet, pts, dts in zip(chosen, times, order, strict=True):
                copy = av.Packet(packet)  # the bytes are shared
                copy.stream = self._stream
                copy.time_base = base
                copy.pts = pts - order[0]
                copy.dts = dts - order[0]
                copy.duration = packet.duration
                copy.is_keyframe = packet.is_keyframe
                self._container.mux(copy)
            self._container.close()
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(f"the clip cannot be written: {reason(error)}") from error
        return Clip(self._file.getvalue(), float(max(times) * base))


def decoding_times(shown: Sequence[int]) -> list[int]:
    """Return ascending times of decoding, none later than its packet's time of display.

    shown: times of display in the order of decoding. Streams may bear none, or wrong ones.
    """
    ascending: list[int] = []
    for stamp in sorted(shown):
        ascending.append(max(stamp, ascending[-1] + 1) if ascending else stamp)
    early = max(0, *(at - own for at, own in zip(ascending, shown, strict=True)), 0)
    return [at - early for at in ascending]


def still(codec: str, extradata: bytes | None, packets: Sequence[Any], pts: int) -> Pixels:
    """Return the picture that is shown at `pts`, or the one before: (H, W, 3) uint8 RGB.

    packets: av.Packets that begin with a keyframe. Decodes from there to the picture, in one
    thread. Raises VideoError where nothing can be decoded.
    """
    context = av.CodecContext.create(codec, "r")
    context.thread_count = 1
    if extradata:
        context.extradata = extradata
    best: Any = None
    for packet in [*packets, None]:
        frames: list[Any] = []
        with contextlib.suppress(*UNDECODABLE, EOFError):
            frames = list(context.decode(packet))  # type: ignore[attr-defined]
        for frame in frames:
            if best is None or (frame.pts or 0) <= pts:
                best = frame
        if best is not None and any((frame.pts or 0) >= pts for frame in frames):
            break
    if best is None:
        raise VideoError("no picture of that time can be decoded")
    rgb = np.asarray(best.to_ndarray(format="rgb24"), np.uint8)
    return np.ascontiguousarray(turned(rgb, best))
