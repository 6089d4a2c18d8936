"""One camera's decoder: a process of its own, since libav can block where no time-out reaches. It can be killed.

`python -m lookout.service.ingest.decoder` reads its job as one line on standard input, plays the source once,
tells its worker how that goes on standard output, and ends with one of `protocol.EXIT_CODES`.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from lookout.models.checkpoint.header import find_checkpoints, read_header
from lookout.models.errors import CheckpointError
from lookout.models.media.decode import Picture, usual_step_s
from lookout.models.media.preprocess import Preprocess
from lookout.models.media.timeline import Sampler, Timeline
from lookout.service.core import urls
from lookout.service.core.errors import SourceLostError, SourceRefusedError, SourceStalledError
from lookout.service.core.lifecycle import die_with_parent, end_if_orphaned
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder import memory_limit as memory
from lookout.service.ingest.decoder import source
from lookout.service.ingest.decoder.frame_writer import Writer
from lookout.service.ingest.decoder.pacing import Fast, Live, Pacing, Realtime
from lookout.service.ingest.decoder.protocol import EXIT_CODES, Job, Kind
from lookout.service.ingest.decoder.reporter import Talk
from lookout.service.ingest.decoder.restart_limit import Cuts
from lookout.service.ingest.decoder.resume import REPLAY_FRAMES, Position, patiently, position
from lookout.service.storage.connections import open_bus, open_store

LEAST_BACKLOG = (
    16  # frames of the longest clip that a model takes: with fewer both would wait for each other
)
MOST_KEPT = 2048  # frames of one camera on the bus, however fast it is: 400 MB at 256x256


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
        memory.bound(job.settings.decoder_memory_mb)
        talk.say("ready")
        play(job, talk)
    except SourceRefusedError as error:
        return "refused", str(error)
    except SourceStalledError as error:
        return "stalled", str(error)
    except SourceLostError as error:
        return "lost", str(error)
    except MemoryError:
        return "lost", source.OUT_OF_MEMORY
    except Exception as error:
        return "lost", f"the decoder failed: {_place(error)}"
    return "ended", None


def _place(error: Exception) -> str:
    """Kind and place alone: the text of an unforeseen error may hold an address."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"


def play(job: Job, talk: Talk) -> None:
    """One run of a source, from opening it to its end. Raises SourceError for any other end."""
    camera, settings = job.camera, job.settings
    urls.check(camera.url, settings.media_dir)
    preprocess = _preprocess(settings.model_folders, camera.model)
    is_file = urls.is_file(camera.url)
    bus, store = open_bus(settings), open_store(settings)
    resume = patiently(lambda: position(camera, bus, store), talk.alive) if is_file else None
    if resume is not None and resume.over:
        talk.session(resume.session.number)
        talk.kept(max(0, resume.seq - 1), resume.session.began)
        return
    with source.opened(camera, settings) as container:
        talk.say("opened")
        step_s = usual_step_s(container)
        kept = frames_to_keep(settings, camera.fps or 1 / step_s)
        writer = Writer(camera, job.token, bus, store, talk, patient=not camera.live, kept=kept)
        pacing = _pacing(writer, settings, is_file=is_file)
        line = Line(
            writer,
            pacing,
            preprocess,
            Sampler(camera.fps),
            Timeline(step_s),
            holds=is_file,
            resume=resume,
        )
        with contextlib.closing(writer):
            line.run(source.played(container, camera, settings, writer.damaged))
        if not is_file:
            raise SourceLostError("the stream ended")
        if not line.size:
            raise SourceRefusedError("the file holds no frame")
        writer.end()


def _pacing(writer: Writer, settings: Settings, *, is_file: bool) -> Pacing:
    talk = writer.talk
    if writer.patient:
        backlog = backlog_frames(settings)
        return Fast(
            writer.bus, writer.camera.id, backlog, lambda: talk.alive(waiting=True), writer.check
        )
    return Realtime(talk.alive) if is_file else Live()


def backlog_frames(settings: Settings) -> int:
    """How far a file may run ahead: a new inference worker reads a window from before its snapshot, still kept then."""
    return max(LEAST_BACKLOG, min(settings.backlog_frames, settings.frames_kept - REPLAY_FRAMES))


def frames_to_keep(settings: Settings, fps: float) -> int:
    """At least what comes in between two snapshots and in three leases, for whoever takes over."""
    wanted = math.ceil(fps * (settings.snapshot_every_s + 3 * settings.lease_s)) + REPLAY_FRAMES
    return max(settings.frames_kept, min(wanted, MOST_KEPT))


def _preprocess(folders: Sequence[Path], model: str) -> Preprocess:
    """Raises SourceLostError: a checkpoint that is missing or half-copied may be there in a moment."""
    path = find_checkpoints(*folders).get(model)
    if path is None:
        raise SourceLostError(f"there is no model {model!r}")
    try:
        return read_header(path).preprocess
    except CheckpointError as error:
        raise SourceLostError(str(error)) from None


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
        resume: Position | None = None,
    ) -> None:
        self.size: tuple[int, ...] | None = None  # (height, width) of the session's pictures
        self._writer = writer
        self._pacing = pacing
        self._preprocess = preprocess
        self._sampler = sampler
        self._timeline = timeline
        self._holds = holds  # a file waits for the store before its first frame, a camera does not
        self._resume = resume
        self._index = -1  # of the last frame that the sampler kept
        self._began: float | None = None  # when the source's time was 0
        self._cut = False  # the source's clock jumped, and no session has begun since
        self._cuts = Cuts()

    def run(self, stream: Iterator[Picture]) -> None:
        for picture in stream:
            self._take(picture)
            self._writer.talk.alive()
        if self._resume is not None:  # it was shorter than what is left to do: nothing is
            self._go_on(self._resume, (0, 0))

    def _take(self, picture: Picture) -> None:
        at_s = self._timeline.at(picture.pts_s)
        self._cut |= self._timeline.jumped
        if not self._sampler.keeps(at_s):
            return
        self._index += 1
        size = picture.rgb.shape[:2]
        if self._is_past(size) or not self._in_session(size):
            return
        assert self._writer.next_id is not None  # noqa: S101
        if self._pacing.wait(at_s, self._writer.next_id):
            self._writer.write(self._preprocess(picture.rgb), self._pacing.captured_at(at_s))
        else:
            self._writer.skip("takeover")

    def _is_past(self, size: tuple[int, ...]) -> bool:
        """A file that goes on: the frames before are on the bus, or scored, already."""
        if self._resume is None:
            return False
        if self._index < self._resume.index:
            self._cut = False
            return True
        self._go_on(self._resume, size)
        return False

    def _go_on(self, resume: Position, size: tuple[int, ...]) -> None:
        self._writer.resume(resume.session, resume.seq, resume.behind)
        self._begin_pacing(resume.session.began)
        self.size, self._resume = size, None
        self._cut &= resume.seq > 0  # the session's own beginning

    def _in_session(self, size: tuple[int, ...]) -> bool:
        """True where a session of this frame size runs, with no cut since, or could be begun."""
        former = self.size
        if size == former and not self._cut:
            return True
        began = time.time() if self._began is None else self._began
        if not self._writer.begin(wait=self._holds, first=self._index, began=began):
            self._writer.count("dropped_store")
            return False
        self.size, self._cut = size, False
        if former is None:
            self._begin_pacing(began)
        else:
            self._tell_cut(former, size)
        return True

    def _tell_cut(self, former: tuple[int, ...], size: tuple[int, ...]) -> None:
        changed = f"frame size changed from {_wxh(former)} to {_wxh(size)}"
        self._writer.talk.say("notice", "the stream's clock jumped" if size == former else changed)
        if not self._holds:
            self._cuts.another(time.monotonic())

    def _begin_pacing(self, began: float) -> None:
        self._began = began
        self._pacing.start(began)


def _wxh(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"
