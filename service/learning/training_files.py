"""The files of one job: footage that no longer changes, the request, and what training gives."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import msgspec

from lookout.models.checkpoint.header import SUFFIX
from lookout.models.media.atomic_file import write_bytes
from lookout.models.media.lossless_clip import SUFFIX as SEGMENT
from lookout.service.core.camera import ScoreScheme
from lookout.service.core.jobs import LeftOut
from lookout.service.learning.footage import Segment, parse_segment
from lookout.service.learning.reports import TrainingReport

if TYPE_CHECKING:  # the stage imports no torch
    from lookout.models.training.selection import StrangeClip

T = TypeVar("T")

LIST = "segments.json"
PICTURE = ".jpg"
MAX_SHOWN = 20
"""Segments that were left out and are shown to a person, the strangest of them."""

MAX_FRAMES = 3000
"""Frames of a training, some 600 MB at 256x256: they are held in memory."""

HELD_OUT_EVERY = 5
MAX_HELD_OUT = 6
"""Each fifth segment is held out, at most so many: measuring them takes time from training."""


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """The task of the process that trains, as JSON."""

    camera: str
    number: int  # of the job; the seed
    limit_s: float
    present: str  # name of the checkpoint to start from where others are no better
    included: tuple[str, ...] = ()  # file names of segments that are not left out


@dataclass(frozen=True, slots=True)
class LeftOutFile:
    """A segment that is left out, as JSON beside it."""

    name: str  # of its file, and of a picture but for the suffix
    psnr_db: float  # of its worst window


@dataclass(frozen=True, slots=True)
class ShadowRequest:
    """The source of a camera's values and the threshold of its alerts, as JSON."""

    score: ScoreScheme
    threshold: float


class TrainingFiles:
    """Paths of one job. Methods may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.train = folder / "train"
        self.held_out = folder / "held_out"
        self.left_out = folder / "left_out"
        self.starts = folder / "starts"
        self.out = folder / "model.safetensors"
        self.calibrated = folder / "calibrated.safetensors"
        self.compared = folder / "compared.safetensors"  # the start, with bounds of the footage
        self.shadow = folder / "shadow"
        self.lock = folder / "lock"
        self._request = folder / "request.json"
        self._result = folder / "result.json"
        self._shadow_request = folder / "shadow_request.json"
        self._shadow_result = folder / "shadow_result.json"

    def freeze(
        self, segments: Sequence[Segment], starts: Mapping[str, Path], request: TrainingRequest
    ) -> None:
        """Keep the footage and the checkpoints to start from; the request is written last.

        The footage's files are links: they take no room until the recorder drops its own.
        """
        self.drop()
        kept, held_out = split_segments(segments)
        for folder, chosen in ((self.train, kept), (self.held_out, held_out)):
            folder.mkdir(parents=True)
            for segment in chosen:
                link(segment.path, folder / segment.path.name)
        self.starts.mkdir()
        for name, path in starts.items():  # copies: an owner may write its file anew in place
            shutil.copyfile(path, self.starts / f"{name}{SUFFIX}")
        write_bytes(self._request, msgspec.json.encode(request))

    def request(self) -> TrainingRequest | None:
        """Return the request; None where the job's files are not complete here."""
        return read_json(self._request, TrainingRequest)

    def result(self) -> TrainingReport | None:
        """Return the report of a training that has come to its end; None before."""
        return read_json(self._result, TrainingReport)

    def leave_out(self, clips: Sequence[StrangeClip]) -> None:
        """Take clips out of training; a kill on the way changes nothing, or is made good.

        A picture of each, and a list of all, lie beside them.
        """
        chosen = self.folder / "left_out.new"
        shutil.rmtree(chosen, ignore_errors=True)
        chosen.mkdir()
        for clip in clips:
            link(clip.path, chosen / clip.path.name)
            _, picture = cv2.imencode(".jpg", cv2.cvtColor(clip.frame, cv2.COLOR_RGB2BGR))
            (chosen / clip.path.name).with_suffix(PICTURE).write_bytes(picture.tobytes())
        listed = [LeftOutFile(clip.path.name, clip.psnr_db) for clip in clips]
        (chosen / LIST).write_bytes(msgspec.json.encode(listed))
        chosen.rename(self.left_out)
        self.remove_left_out()

    def left_out_segments(self, job: int) -> dict[LeftOut, bytes]:
        """Return the segments that are left out, at most MAX_SHOWN, each with its picture (JPEG).

        job: its number. Empty before training has come to that.
        """
        found: dict[LeftOut, bytes] = {}
        for one in read_json(self.left_out / LIST, list[LeftOutFile]) or []:
            segment = parse_segment(self.left_out / one.name, 0)
            if segment is None or len(found) == MAX_SHOWN:
                continue
            picture = (self.left_out / one.name).with_suffix(PICTURE).read_bytes()
            begins_s = segment.begins_ms / 1000
            shown = LeftOut(str(segment.first), job, begins_s, segment.seconds, one.psnr_db)
            found[shown] = picture
        return found

    def remove_left_out(self) -> int | None:
        """Remove the clips that are left out from the others; return how many there are.

        None: they were not chosen yet.
        """
        if not self.left_out.is_dir():
            return None
        names = [path.name for path in self.left_out.glob(f"*{SEGMENT}")]
        for folder in (self.train, self.held_out):
            for name in names:
                (folder / name).unlink(missing_ok=True)
        return len(names)

    def candidates(self, first: str) -> list[Path]:
        """Return the checkpoints to start from, that of the name `first` before the others."""
        return sorted(self.starts.iterdir(), key=lambda path: (path.stem != first, path.name))

    def choose_start(self, chosen: Path) -> None:
        """Keep one of the checkpoints to start from, and remove the others."""
        for path in self.starts.iterdir():
            if path != chosen:
                path.unlink()

    def finish(self, report: TrainingReport) -> None:
        """Write the report of the training's end."""
        write_bytes(self._result, msgspec.json.encode(report))

    def keep_for_shadow(self, segment: Segment) -> None:
        """Keep a live segment to compare old and new on."""
        self.shadow.mkdir(exist_ok=True)
        target = self.shadow / segment.path.name
        if not target.exists():
            link(segment.path, target)

    def ask_for_shadow(self, request: ShadowRequest) -> None:
        """Write the task of the process that compares."""
        write_bytes(self._shadow_request, msgspec.json.encode(request))

    def shadow_request(self) -> ShadowRequest | None:
        """Return the task of the process that compares; None where it is not here."""
        return read_json(self._shadow_request, ShadowRequest)

    def shadow_result(self) -> TrainingReport | None:
        """Return the report of a comparison that has come to its end; None before."""
        return read_json(self._shadow_result, TrainingReport)

    def finish_shadow(self, report: TrainingReport) -> None:
        """Write the report of the comparison's end."""
        write_bytes(self._shadow_result, msgspec.json.encode(report))

    def drop(self) -> None:
        """Remove the job's files."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)


def read_json(path: Path, kind: type[T]) -> T | None:
    """Return a file of JSON; None where it is not there or another."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None


def link(source: Path, target: Path) -> None:
    """Link a file, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def split_segments(segments: Sequence[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Return which segments to train on and which to hold out: an even selection over time.

    segments: ascending by time, two at least.
    """
    frames = sum(segment.frames for segment in segments)
    step = max(1.0, frames / MAX_FRAMES)
    count = max(2, int(len(segments) / step))
    chosen = [segments[round(place * (len(segments) - 1) / (count - 1))] for place in range(count)]
    every = max(HELD_OUT_EVERY, -(-count // MAX_HELD_OUT))
    held_out = chosen[every - 1 :: every] or chosen[-1:]
    names = {segment.path for segment in held_out}
    return [segment for segment in chosen if segment.path not in names], held_out
