"""Pictures encoded as a video that a browser plays."""

from __future__ import annotations

from fractions import Fraction
from types import TracebackType
from typing import BinaryIO, Self, cast

import av
import av.error
import numpy as np
from av.video.stream import VideoStream

from lookout.models.arrays import Pixels
from lookout.models.errors import VideoError
from lookout.models.media.container import reason

CODECS = {
    "libx264": {"preset": "veryfast", "crf": "21"},
    "libopenh264": {"b": "4000000"},
    "mpeg4": {"b": "4000000"},
}
"""Encoders and their options; the first that this libav has is taken."""

TICKS = 1000
"""Of a second: the finest that all of the encoders take."""


def best_codec() -> str:
    """Return the name of the encoder that is taken. Raises VideoError without one."""
    for name in CODECS:
        if name in av.codecs_available:
            return name
    raise VideoError(f"this libav can encode no video: none of {', '.join(CODECS)}")


class VideoWriter:
    """Writes an MP4 into an open file. A context manager, which completes the file at its end."""

    def __init__(self, file: BinaryIO, width_px: int, height_px: int, fps: float) -> None:
        """width_px, height_px: of all pictures, even. fps: about; each picture has its own time.

        Raises VideoError where nothing can be encoded.
        """
        codec = best_codec()
        self._last_tick = -1
        self._container = av.open(file, "w", format="mp4")
        rate = Fraction(fps).limit_denominator(TICKS)
        stream = self._container.add_stream(codec, rate=rate, options=CODECS[codec])
        self._stream = cast(VideoStream, stream)
        self._stream.width = width_px
        self._stream.height = height_px
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = Fraction(1, TICKS)
        self._stream.codec_context.time_base = Fraction(1, TICKS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def add(self, picture: Pixels, at_s: float) -> None:
        """Add the next picture, (H, W, 3) uint8 RGB, to be shown from `at_s` on.

        Raises VideoError where it cannot be encoded, OSError where the file takes no more.
        """
        self._last_tick = max(self._last_tick + 1, round(at_s * TICKS))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = self._last_tick
        frame.time_base = Fraction(1, TICKS)
        try:
            self._container.mux(self._stream.encode(frame))
        except av.error.FFmpegError as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise VideoError(f"a picture cannot be encoded: {reason(error)}") from error
