"""One camera's decoder: a process of its own, since libav can block where no time-out reaches. It can be killed.

`python -m service.ingest.decoder` reads its job as one line on standard input, plays the source once, tells its worker
how that goes on standard output, and ends with one of `wire.EXIT_CODES`.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

import av.container

from models.errors import CheckpointError, VideoError
from models.header import find_checkpoints, read_header
from models.preprocess import Preprocess
from models.video import Picture, pictures, reason
from service import urls
from service.connections import open_bus, open_store
from service.errors import SourceLostError, SourceRefusedError
from service.ingest import source
from service.ingest.pacing import Fast, Live, Pacing, Realtime
from service.ingest.sampling import Sampler, Timeline
from service.ingest.talk import Talk
from service.ingest.wire import EXIT_CODES, Job, Kind
from service.ingest.writer import Writer
from service.lifecycle import die_with_parent, end_if_orphaned
from service.settings import Settings

USUAL_FPS = 25.0  # for a stream that does not say, or says nonsense
MOST_FPS = 1000.0
REPLAY_FRAMES = 32  # kept behind the backlog for a clip window
LEAST_BACKLOG = 8


def main() -> NoReturn:
    die_with_parent(signal.SIGKILL)
    talk = Talk(_own_output())
    kind, error = _run(talk)
    talk.say(kind, error)
    sys.exit(EXIT_CODES[kind])


def _own_output() -> TextIO:
    """Standard output for the lines to the worker alone: whatever else prints goes to standard error."""
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return own


def _run(talk: Talk) -> tuple[Kind, str | None]:
    """Play the source; how it ended and why. No error leaves here with an address in it, nor a stack trace."""
    try:
        job = Job.load(sys.stdin.buffer.readline())
        end_if_orphaned(job.parent_pid)
        talk.say("ready")
        play(job, talk)
    except SourceRefusedError as error:
        return "refused", str(error)
    except SourceLostError as error:
        return "lost", str(error)
    except source.TIMED_OUT:
        return "stalled", f"silent for {job.settings.stall_timeout_s:g} s"
    except Exception as error:
        return "lost", f"the decoder failed: {_place(error)}"
    return "ended", None


def _place(error: Exception) -> str:
    """Kind and place alone: the text of an unforeseen error may hold an address."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"


def play(job: Job, talk: Talk) -> None:
    """One session of a source, from opening it to its end. Raises SourceError for any other end."""
    camera, settings = job.camera, job.settings
    urls.check(camera.url, settings.media_dir)
    preprocess = _preprocess(settings.models_dir, camera.model)
    is_file = urls.is_file(camera.url)
    bus = open_bus(settings)
    writer = Writer(camera.id, bus, open_store(settings), talk, patient=is_file and camera.pace == "fast")
    pacing: Pacing = Live()
    if writer.patient:
        pacing = Fast(bus, camera.id, backlog_frames(settings), lambda: talk.alive(waiting=True))
    elif is_file:
        pacing = Realtime(talk.alive)
    with source.opened(camera.url, settings) as container:
        talk.say("opened")
        line = Line(writer, pacing, preprocess, Sampler(camera.fps), Timeline(_step_s(container)), holds=is_file)
        stream = pictures(container, writer.damaged, live=not is_file)
        line.run(_explained(stream, camera.url))
        if not is_file:
            raise SourceLostError("the stream ended")
        if not line.size:
            raise SourceRefusedError("the file holds no frame")


def backlog_frames(settings: Settings) -> int:
    """How far a file may run ahead: a new inference worker reads a window from before its cursor, still kept then."""
    return max(LEAST_BACKLOG, min(settings.backlog_frames, settings.frames_kept - REPLAY_FRAMES))


def _preprocess(models_dir: Path, model: str) -> Preprocess:
    """Raises SourceLostError: a checkpoint that is missing or half-copied may be there in a moment."""
    path = find_checkpoints(models_dir).get(model)
    if path is None:
        raise SourceLostError(f"there is no model {model!r}")
    try:
        return read_header(path).preprocess
    except CheckpointError as error:
        raise SourceLostError(str(error)) from None


def _step_s(container: av.container.InputContainer) -> float:
    """The usual distance of two frames, as the container has it."""
    rates = [float(stream.average_rate or stream.guessed_rate or 0) for stream in container.streams.video[:1]]
    return 1 / rates[0] if rates and 0 < rates[0] <= MOST_FPS else 1 / USUAL_FPS


def _explained(stream: Iterator[Picture], url: str) -> Iterator[Picture]:
    """The pictures; an error in the middle becomes the end that it means: a file is broken, a camera lost."""
    try:
        yield from stream
    except source.TIMED_OUT:
        raise
    except VideoError as error:
        raise (SourceRefusedError if urls.is_file(url) else SourceLostError)(str(error)) from None
    except source.BROKEN as error:
        if urls.is_file(url):
            raise SourceRefusedError(f"the file breaks off: {reason(error)}") from None
        raise SourceLostError(f"the stream broke off: {source.explain(error, url)}") from None


class Line:
    """What every decoded picture goes through: time, sampling, session, pace, preprocessing, bus."""

    def __init__(
        self,
        writer: Writer,
        pacing: Pacing,
        preprocess: Preprocess,
        sampler: Sampler,
        timeline: Timeline,
        *,
        holds: bool,
    ) -> None:
        self.size: tuple[int, ...] | None = None  # (height, width) of the session's pictures
        self._writer = writer
        self._pacing = pacing
        self._preprocess = preprocess
        self._sampler = sampler
        self._timeline = timeline
        self._holds = holds  # a file waits for the store before its first frame, a camera does not

    def run(self, stream: Iterator[Picture]) -> None:
        for picture in stream:
            self._take(picture)
            self._writer.talk.alive()

    def _take(self, picture: Picture) -> None:
        at_s = self._timeline.at(picture.pts_s)
        if self._sampler.keeps(at_s) and self._in_session(picture.rgb.shape[:2]):
            assert self._writer.next_id is not None  # noqa: S101
            self._pacing.wait(at_s, self._writer.next_id)
            self._writer.write(self._preprocess(picture.rgb), self._pacing.captured_at(at_s))

    def _in_session(self, size: tuple[int, ...]) -> bool:
        """True where a session of this frame size runs, or could be begun."""
        former = self.size
        if size == former:
            return True
        if not self._writer.begin(wait=self._holds):
            return False
        self.size = size
        if former is None:
            self._pacing.start()
        else:
            self._writer.talk.say("notice", f"frame size changed from {_wxh(former)} to {_wxh(size)}")
        return True


def _wxh(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"


if __name__ == "__main__":
    main()
