"""The last session of each camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from lookout.service.core.clock import EPOCH, Moment
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.store.mending import SettingAside


@dataclass(frozen=True, slots=True)
class Session:
    """The last session of a camera. A file that has not been read to its end continues it."""

    number: int
    revision: int  # of the camera
    first: int = 0  # which of the file's kept frames is the session's frame 0
    began: Moment = EPOCH  # when the file's own time was 0
    frames: int | None = None  # number of frames at the file's end; None until that is reached


class Sessions(SettingAside):
    """The session numbers, which never repeat and never decrease."""

    def begin_session(
        self,
        camera: str,
        now_s: float,
        revision: int,
        first: int = 0,
        began: Moment = EPOCH,
    ) -> int:
        """Return a number greater than any before: the time in ms, or the last plus one.

        See Session for `revision`, `first` and `began`.
        """
        uptime = "" if began.uptime_s is None else repr(began.uptime_s)
        words = (
            str(int(now_s * 1000)),
            str(revision),
            str(first),
            repr(began.utc_s),
            uptime,
            began.machine,
        )
        return int(
            cast(bytes, self._redis.eval(scripts.BEGIN_SESSION, 1, keys.session(camera), *words))
        )

    def end_session(self, camera: str, session: int, frames: int) -> None:
        """Record that a file was read to its end; only a change of its camera plays it again."""
        words = (str(session), str(frames))
        self._redis.eval(scripts.END_SESSION, 1, keys.session(camera), *words)

    def session(self, camera: str) -> Session | None:
        """Return the last session of a camera; None where it had none that can be read."""
        fields = cast(dict[bytes, bytes], self._redis.hgetall(keys.session(camera)))
        if b"last" not in fields:
            return None
        try:
            return read_session(fields)
        except (KeyError, ValueError) as error:
            self.mark(camera, f"its last session cannot be read, and another begins: {error!r}")
            return None


def read_session(fields: Mapping[bytes, bytes]) -> Session:
    """Return the session of a hash. Raises KeyError, ValueError."""
    uptime = fields.get(b"uptime")  # not in records of older versions
    ended = fields.get(b"ended")
    began = Moment(
        codec.finite(float(fields[b"began"])),
        codec.finite(float(uptime)) if uptime else None,
        fields.get(b"machine", b"").decode(),
    )
    return Session(
        int(fields[b"last"]),
        int(fields[b"revision"]),
        int(fields[b"first"]),
        began,
        int(ended) if ended is not None else None,
    )
