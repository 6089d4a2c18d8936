"""The process that reads a recording: `python -m lookout.service.learning.recording FOLDER`.

At full pace it makes of a file what the recorder makes of a camera: segments at the model's size
and the camera's frame rate, without scene changes and pictures that show nothing. What cannot be
learned from ends it with one line. Killed, the same call begins again.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from pathlib import Path

from lookout.models.arrays import Pixels
from lookout.models.media.clip_reader import DamageCount, KeptFrame, kept_frames, read_info
from lookout.models.media.preprocess import Preprocess
from lookout.models.vision.scene_change import SceneChangeDetector
from lookout.models.vision.scene_signature import SceneSignature, view_change
from lookout.service.core.errors import FootageError, Reason
from lookout.service.core.messages import CameraEvent, Frame
from lookout.service.learning.footage import FootageFolder, disk_shortage
from lookout.service.learning.normality import (
    AFTER_S,
    BEFORE_S,
    Normality,
    Periods,
    tampered_periods,
)
from lookout.service.learning.recorder import Recorder
from lookout.service.learning.recording_files import RecordingFiles, RecordingRequest
from lookout.service.learning.reports import (
    Print,
    ShouldStop,
    TrainingReport,
    print_report,
    require_file,
    run_task,
    still_there,
)
from lookout.service.learning.sufficiency import (
    MIN_SEGMENTS,
    NEARLY_ALL,
    Recorded,
    lack_of_footage,
)

REPORT_EVERY = 100  # frames
RATE_FRAMES = 64
"""Distances of frames whose median says the recording's rate."""

SLOWER = 1.2
"""A recording is too slow whose rate is below the camera's by more than this factor."""


class RecordingReader:
    """Takes the frames of a recording, in their order."""

    def __init__(
        self,
        request: RecordingRequest,
        footage: FootageFolder,
        view: Pixels | None,
        began_s: float,
    ) -> None:
        """footage: an empty folder. view: the camera's live picture; None: not compared.

        began_s: of the file (s, UTC epoch): its segments are told from those of another by it.
        """
        self._request = request
        self._name = Path(request.path).name
        self._footage = footage
        self._recorder = Recorder(footage)
        self._scene = SceneChangeDetector()
        self._view = None if view is None else SceneSignature.from_pixels(view)
        self._other_view = ""  # what differs from the live one; empty once a segment is like it
        self._events: list[CameraEvent] = []
        self._distances_s: list[float] = []
        self._began_s = began_s
        self._session = round(began_s * 1000)
        self._seen = 0  # frames
        self._last_s = began_s
        self.read_s = 0.0  # of frames that follow each other

    def take(self, frame: KeptFrame) -> None:
        """Take the next frame.

        Raises FootageError where the recording cannot be learned from, OSError where the disk takes
        no more.
        """
        self._session += frame.begins
        at_s = self._began_s + frame.at_s
        if not frame.begins:
            self._note_distance(at_s - self._last_s)
        self._last_s = at_s
        self._seen += 1
        verdict = self._scene.observe(frame.pixels, at_s)
        about = (self._request.camera, self._session, self._seen, at_s)
        self._events += [CameraEvent(kind, *about, detail) for kind, detail in verdict.events]
        if not verdict.settled:
            return
        taken = self._recorder.take([Frame(*about, frame.pixels)], [], may_write=True)
        if taken.recorded:
            self._compare_view(frame.pixels)
            self._bound_disk()

    def finish(self) -> None:
        """Drop what is not normal. Raises FootageError where the rest is not enough."""
        if self._distances_s:
            self._require_rate()
        wanted_s = self._request.footage_s
        normality = self._normality()
        normal = normality.normal(self._footage.segments)
        self._footage.drop([one for one in self._footage.segments if one not in normal])
        excluded_s = covered_s(normality.excluded, self._began_s, self._last_s)
        if self.read_s > 0 and excluded_s / self.read_s > NEARLY_ALL:
            percent = round(100 * min(1.0, excluded_s / self.read_s))
            self._refuse(
                Reason(
                    f"{percent} % of it is dark, empty, blurred or around scene changes, "
                    "which is not learned from",
                    code="footage_unfit",
                    percent=percent,
                )
            )
        if movement := normality.movement(self._began_s, self._last_s):
            self._refuse(movement)
        if self._other_view:
            said = f"it shows another view than the camera does now: {self._other_view}"
            self._refuse(Reason(said, code="footage_view", why=self._other_view))
        normal_s = self.read_s - excluded_s
        if normal_s < wanted_s or len(normal) < MIN_SEGMENTS:
            self._refuse(
                Reason(
                    f"it holds {normal_s:.0f} s of normal footage, and {wanted_s:.0f} are asked "
                    "for: name a longer recording, or ask for less (footage_s)",
                    code="footage_short",
                    has=round(normal_s),
                    needed=round(wanted_s),
                )
            )
        sides = (self._request.width_px, self._request.height_px)
        if lack := lack_of_footage(0.0, Recorded(normal, normality, 0.0), normal, sides):
            self._refuse(lack)

    def _note_distance(self, seconds: float) -> None:
        """Take the distance of two frames that follow each other."""
        self.read_s += seconds
        if len(self._distances_s) < RATE_FRAMES:
            self._distances_s.append(seconds)
            if len(self._distances_s) == RATE_FRAMES:
                self._require_rate()

    def _require_rate(self) -> None:
        """Raise FootageError where the recording has too few frames a second."""
        fps = 1 / max(1e-3, statistics.median(self._distances_s))
        wanted = self._request.fps
        if wanted is not None and fps * SLOWER < wanted:
            self._refuse(
                Reason(
                    f"it has {fps:.3g} frames a second, and the camera is scored at {wanted:.3g}: "
                    "things would move too fast in it",
                    code="footage_rate",
                    has=float(f"{fps:.3g}"),
                    needed=float(f"{wanted:.3g}"),
                )
            )

    def _compare_view(self, pixels: Pixels) -> None:
        """Note what differs from the live picture, until a segment is like it."""
        if self._view is None:
            return
        self._other_view = view_change(self._view, SceneSignature.from_pixels(pixels)) or ""
        if not self._other_view:
            self._view = None

    def _bound_disk(self) -> None:
        """Keep the segments within their bound. Raises FootageError on a nearly full disk."""
        self._footage.shrink(self._request.limit_bytes)
        if shortage := disk_shortage(self._footage.folder, self._request.free_mb):
            self._refuse(shortage)

    def _normality(self) -> Normality:
        """Return the periods of what has been read that are not normal."""
        changes = tuple(event.at for event in self._events if event.kind == "scene_change")
        excluded = tampered_periods(self._events, self._last_s)
        excluded += [(at - BEFORE_S, at + AFTER_S) for at in changes]
        return Normality(excluded, changes)

    def _refuse(self, why: Reason) -> None:
        raise FootageError(f"{self._name}: {why}", code="job_file", file=self._name, why=why)


def covered_s(periods: Periods, begin_s: float, end_s: float) -> float:
    """Return how many of the seconds from `begin_s` to `end_s` lie in any of the periods."""
    total_s = 0.0
    until_s = begin_s
    for begin, end in sorted(periods):
        total_s += max(0.0, min(end, end_s) - max(begin, until_s))
        until_s = max(until_s, end)
    return total_s


def read(files: RecordingFiles, stop: ShouldStop, report: Print) -> TrainingReport | None:
    """Read the recording to its end; return the last report, None once `stop` says so.

    Raises one of EXPLAINED for what cannot be learned from.
    """
    request = still_there(files.request())
    path = Path(request.path)
    require_file(path)
    shutil.rmtree(files.segments, ignore_errors=True)
    files.segments.mkdir()
    duration_s = read_info(path).duration_s
    footage = FootageFolder(files.segments)
    reader = RecordingReader(request, footage, files.view(), path.stat().st_mtime)
    ends: list[str] = []
    size = Preprocess(request.height_px, request.width_px)
    frames = kept_frames(path, size, DamageCount(), ends, request.fps)
    for number, frame in enumerate(frames):
        if stop():
            return None
        reader.take(frame)
        if number % REPORT_EVERY == 0 and duration_s:
            report(TrainingReport(progress=min(1.0, frame.at_s / duration_s)))
    if ends:
        raise FootageError(f"{path.name}: {ends[0]}", code="job_file", file=path.name, why=ends[0])
    reader.finish()
    return TrainingReport(progress=1.0, left_s=0.0)


def main(folder: Path) -> int:
    """Read for the job of a folder; return the exit code: 0 for a report that is the last."""
    files = RecordingFiles(folder)
    return run_task(files.lock, lambda stop: read(files, stop, print_report), files.finish)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
