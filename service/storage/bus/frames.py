"""The frames of each camera, in a stream whose ids are the frames' own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import redis

from lookout.service.core.clock import Moment
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import Frame, FrameId
from lookout.service.storage.bus.counters import Counters
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.redis.streams import MessageStream


class FrameStream(Counters):
    """The frames of every camera. Every method may raise one of UNAVAILABLE."""

    def __init__(self, client: redis.Redis, *, frames_kept: int) -> None:
        Counters.__init__(self, client)  # not super(): Bus passes each subject its own bounds
        self._frames_kept = frames_kept
        self._frames = MessageStream(client, keys.frames, codec.read_frame, self._unreadable)

    def add_frame(
        self, frame: Frame, token: str, *, kept: int | None = None, behind: FrameId | None = None
    ) -> int:
        """Append a frame; the oldest drops where the stream holds `kept`.

        token: of the camera's ingest lease. behind: the frame that must be the newest.
        Returns ADDED, REPEATED (not newer), FENCED, UNOWNED or LOST.
        """
        camera = frame.camera
        names = (keys.lease("ingest", camera), keys.frames(camera), keys.counters(camera))
        fields = codec.flat(codec.frame_fields(frame))
        words = (token, str(frame.id), str(kept or self._frames_kept), str(behind or ""))
        with self.mending([camera]):
            added = self._redis.eval(scripts.ADD_FRAME, len(names), *names, *words, *fields)
        return cast(int, added)

    def frames_after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[Frame]]:
        """Return up to `count` frames of each camera behind its id, ascending, without waiting.

        None: from the oldest kept. A frame that cannot be read is removed from its stream, and
        comes without pixels: its number is not lost.
        """
        with self.mending(after):
            found = self._frames.after(after, count)
        return {camera: [frame for _, frame in frames] for camera, frames in found.items()}

    def frame(self, camera: str, frame_id: FrameId | None = None) -> Frame | None:
        """Return one frame, by default the newest; None where the stream does not hold it.

        Raises BrokenMessageError.
        """
        with self.mending([camera]):
            return self._frames.get(camera, frame_id)

    def frame_times(
        self, camera: str, after: FrameId | None, count: int
    ) -> list[tuple[FrameId, Moment]]:
        """Return id and due time of up to `count` frames behind an id, ascending.

        The pixels stay on the server. A frame that cannot be read has the time nan.
        """
        start = f"({after}" if after else "-"
        answer = cast(
            list[bytes],
            self._redis.eval(scripts.FRAME_TIMES, 1, keys.frames(camera), start, str(count)),
        )
        return [
            (FrameId.parse(frame_id.decode()), codec.read_due(*fields))
            for frame_id, *fields in zip(*[iter(answer)] * 5, strict=True)
        ]

    def newest_frame_id(self, camera: str) -> FrameId | None:
        """Return the newest id that the stream was given, without its frame."""
        try:
            info = cast(dict[str, bytes], self._redis.xinfo_stream(keys.frames(camera)))
        except redis.ResponseError as error:
            if "no such key" not in str(error):
                raise
            return None
        return FrameId.parse(info["last-generated-id"].decode())

    def _unreadable(self, camera: str, frame_id: FrameId, error: BrokenMessageError) -> Frame:
        self.count_broken(camera, frame_id, error)
        return codec.unreadable_frame(camera, frame_id)
