"""One camera's decoder: a process of its own, which can be killed where libav blocks for ever.

`main` reads its job as one line on standard input, plays the source once, writes messages to its
worker on standard output, and ends with one of `protocol.EXIT_CODES`.
"""

from __future__ import annotations

import contextlib
import math
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from setproctitle import setproctitle

from lookout.models.checkpoint.header import Header, find_checkpoints, read_header
from lookout.models.errors import CheckpointError
from lookout.models.media.container import usual_step_s
from lookout.models.media.timeline import Sampler, Timeline
from lookout.service.core import urls
from lookout.service.core.errors import (
    Reason,
    SourceError,
    SourceLostError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnusableError,
)
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder import source
from lookout.service.ingest.decoder.frame_pipeline import FramePipeline
from lookout.service.ingest.decoder.frame_writer import FrameWriter
from lookout.service.ingest.decoder.limits import limit_memory
from lookout.service.ingest.decoder.live_picture import LivePictureMaker
from lookout.service.ingest.decoder.pacing import FastPacing, LivePacing, Pacing, RealtimePacing
from lookout.service.ingest.decoder.protocol import EXIT_CODES, Job, MessageKind
from lookout.service.ingest.decoder.reporter import Reporter, reserve_stdout
from lookout.service.ingest.decoder.resume import (
    REPLAY_FRAMES,
    find_resume_position,
    wait_for_redis,
)
from lookout.service.ingest.evidence.keeper import open_keeper
from lookout.service.storage.connections import open_bus, open_store

LEAST_BACKLOG = 16  # frames of the longest clip of a model: with fewer both sides would wait
MOST_KEPT = 2048  # frames of one camera on the bus, however fast it is: 400 MB at 256x256

KIND_OF_ERROR: dict[type[SourceError], MessageKind] = {
    SourceRefusedError: "refused",
    SourceUnusableError: "unusable",
    SourceStalledError: "stalled",
    SourceLostError: "lost",
}


def main() -> NoReturn:
    """Run the process: do the job, report how it ended, exit with its code."""
    reporter = Reporter(reserve_stdout())
    kind, error = run_job(reporter)
    reporter.send(kind, error)
    sys.exit(EXIT_CODES[kind])


def run_job(reporter: Reporter) -> tuple[MessageKind, Reason | None]:
    """Do the job on standard input; return how it ended, and the error.

    No error holds an address or a stack trace.
    """
    try:
        job = Job.load(sys.stdin.buffer.readline())
        setproctitle(f"lookout: decoder {job.camera.id}")
        limit_memory(job.settings.decoder_memory_mb)
        reporter.send("ready")
        return "ended", play(job, reporter)
    except SourceError as error:
        return KIND_OF_ERROR[type(error)], error.reason
    except MemoryError:
        return "lost", source.OUT_OF_MEMORY
    except Exception as error:
        # Type and place alone: the text of an unforeseen error may hold an address.
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
        said = f"the decoder failed: {place}"
        return "lost", Reason(said, code="source_decoder_failed", why=place)


def play(job: Job, reporter: Reporter) -> Reason | None:
    """Play the source once, from opening it to its end.

    Return why a file that was read to its end gives no score; None where it may give some. Raises
    SourceError for any other end.
    """
    camera = job.camera
    settings = job.settings
    if camera.unreadable is not None:
        raise SourceRefusedError(
            f"its password cannot be read: {camera.unreadable}",
            code="password_unreadable",
            camera=camera.id,
        )
    urls.check(camera.url, settings.media_dir)
    header = load_header(settings.model_folders, camera.model)
    window = header.input_spec.frames if header.input_spec else 1
    is_file = urls.is_file(camera.url)
    bus = open_bus(settings)
    store = open_store(settings)
    resume = None
    if is_file:
        resume = wait_for_redis(
            lambda: find_resume_position(camera, bus, store), reporter.heartbeat
        )
    if resume is not None and resume.over:
        reporter.begin_session(resume.session.number)
        reporter.note_frame(max(0, resume.seq - 1), resume.session.began)
        return shortness(resume.seq, window)
    with source.open_source(camera, settings) as container:
        reporter.send("opened")
        step_s = usual_step_s(container)
        kept = frames_to_keep(settings, camera.fps or 1 / step_s)
        writer = FrameWriter(
            camera, job.token, bus, store, reporter, patient=not camera.live, kept=kept
        )
        keeper = open_keeper(camera, container, settings)
        pipeline = FramePipeline(
            writer,
            choose_pacing(writer, settings, is_file=is_file),
            header.preprocess,
            Sampler(camera.fps),
            Timeline(step_s),
            is_file=is_file,
            resume=resume,
            on_capture=keeper.tie,
        )
        with (
            contextlib.closing(writer),
            keeper,
            LivePictureMaker(camera.id, bus) as live_pictures,
        ):
            stream = source.read_pictures(
                container, camera, settings, writer.note_damage, keeper.add
            )
            pipeline.run(live_pictures.passed_on(stream))
        if not is_file:
            raise SourceLostError(source.ENDED)
        if not pipeline.size:
            raise SourceRefusedError("the file holds no frame", code="source_no_frame")
        writer.end()
        return shortness(writer.longest_session, window)


def shortness(frames: int, window: int) -> Reason | None:
    """Return that `frames` together are too few for one score; None where they are enough."""
    if frames >= window:
        return None
    said = f"{frames} frame{'s' * (frames != 1)}; a score takes {window}"
    return Reason(said, code="source_short", count=frames, window=window)


def choose_pacing(writer: FrameWriter, settings: Settings, *, is_file: bool) -> Pacing:
    """Return the pacing of a file at full pace, of a file in real time, or of a camera."""
    reporter = writer.reporter
    if writer.patient:
        return FastPacing(
            writer.bus,
            writer.camera.id,
            backlog_frames(settings),
            on_wait=lambda: reporter.heartbeat(waiting=True),
            check=writer.check,
        )
    if is_file:
        return RealtimePacing(reporter.heartbeat)
    return LivePacing()


def backlog_frames(settings: Settings) -> int:
    """Return how far a file may run ahead of the snapshot.

    A new inference worker reads a window from before the snapshot, which must still be on the bus.
    """
    return max(LEAST_BACKLOG, min(settings.backlog_frames, settings.frames_kept - REPLAY_FRAMES))


def frames_to_keep(settings: Settings, fps: float) -> int:
    """Return how many frames the bus keeps for whoever takes over.

    They cover a snapshot interval, three leases and a window, up to MOST_KEPT.
    """
    wanted = math.ceil(fps * (settings.snapshot_every_s + 3 * settings.lease_s)) + REPLAY_FRAMES
    return max(settings.frames_kept, min(wanted, MOST_KEPT))


def load_header(folders: Sequence[Path], model: str) -> Header:
    """Return the header of the model's checkpoint.

    Raises SourceLostError: a checkpoint that is missing or half-copied may be there in a moment.
    """
    known = find_checkpoints(*folders)
    path = known.get(model)
    if path is None:
        names = ", ".join(sorted(known))
        raise SourceLostError(
            f"there is no model {model!r}", code="no_model", model=model, names=names
        )
    try:
        return read_header(path)
    except CheckpointError as error:
        raise SourceLostError(str(error), code="model_unusable", why=str(error)) from None
