"""Clips: normal ones to train and calibrate on, labelled ones to evaluate on.

A data folder looks like Ped2's (`train/`, `test/`, `labels.json`), or as Ped2, Avenue and
ShanghaiTech are distributed, or is itself a folder of clips. A clip is a video file or a folder of
frame images; one alone will do, as a recording.
"""

from __future__ import annotations

import os
import statistics
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lookout.models.arrays import Pixels
from lookout.models.data.image_folder import (
    holds_images,
    is_image,
    natural,
    read_folder_info,
    read_images,
)
from lookout.models.errors import DataError, VideoError
from lookout.models.media.clip_reader import (
    ClipInfo,
    OnFrame,
    Recording,
    read_clip,
    read_info,
    read_parts,
)
from lookout.models.media.container import NAMED, TAKEN, open_video, video_stream
from lookout.models.media.preprocess import Preprocess

TRAIN = ("train", "Train", "training/frames", "training/videos", "training_videos", "training")
TEST = ("test", "Test", "testing/frames", "testing/videos", "testing_videos", "testing")
"""Folders in which the sets keep their clips; the first one that exists counts."""

MASKS = "_gt"
"""Ending of Ped2's folders of masks, which lie among the test clips."""

LABELS = ("labels.json",)
LABEL_SUFFIXES = (".mat", ".npy", ".npz")
"""Files that belong to a set and are no clips."""

MOST_NAMED = 5  # of what is left out

SAME_RATE = 1.1
"""Frame rates count as one up to this ratio."""

MEMORY_SHARE = 0.5
"""Of the machine's memory that footage may take."""

SMALLEST = Preprocess(height_px=1, width_px=1)


OnLeftOut = Callable[[str], None]
"""Gets a line that names what is in a folder of clips and is none."""


UNUSABLE_NAME = "a name with a line end or bytes that are no UTF-8: rename it"


def ignore(_: str) -> None:
    """Do nothing."""


def train_clips(data: Path, on_left_out: OnLeftOut = ignore) -> list[Path]:
    """Return the normal clips: of a folder in TRAIN, else of `data`. Raises DataError for none."""
    folder = next((data / name for name in TRAIN if (data / name).is_dir()), data)
    return clips_in(folder, on_left_out)


def evaluation_clips(data: Path, on_left_out: OnLeftOut = ignore) -> list[Path]:
    """Return the test clips: of a folder in TEST, else of `data`. Raises DataError for none."""
    folder = next((data / name for name in TEST if (data / name).is_dir()), data)
    return clips_in(folder, on_left_out)


def clips_in(data: Path, on_left_out: OnLeftOut = ignore) -> list[Path]:
    """Return video files and folders of images in natural order, or `data` itself if it is one.

    Raises DataError where there is none, or two have the same name.
    """
    if data.is_file():
        if shown_name(data) != data.name:
            raise DataError(f"{shown_name(data)} has {UNUSABLE_NAME}")
        return [data]
    if not data.is_dir():
        raise DataError(f"there is no folder {data}")
    shown = [path for path in data.iterdir() if not path.name.startswith(".")]
    reasons = {path: left_out_reason(path) for path in sorted(shown, key=natural)}
    clips = [path for path, reason in reasons.items() if reason is None]
    if not clips and holds_images(data):
        return [data]
    named = [f"{shown_name(path)} ({reason})" for path, reason in reasons.items() if reason]
    left_out = ", ".join(named[:MOST_NAMED])
    if len(named) > MOST_NAMED:
        left_out += f" and {len(named) - MOST_NAMED} more"
    if not clips:
        found = f"; in it: {left_out}" if named else ""
        raise DataError(f"{data} holds no video clip ({TAKEN}) and no folder of images{found}")
    stems: set[str] = set()
    for path in clips:
        if path.stem in stems:
            raise DataError(f"{data} holds two clips named {path.stem}")
        stems.add(path.stem)
    if named:
        on_left_out(f"left out of {data}: {left_out}")
    return clips


def left_out_reason(path: Path) -> str | None:
    """Return why a path is no clip: empty where that is as it should be; None for a clip."""
    if shown_name(path) != path.name:
        return UNUSABLE_NAME
    if path.is_dir():
        if path.name.endswith(MASKS) or not any(path.iterdir()):
            return ""
        return None if holds_images(path) else "a folder without images"
    if path.name in LABELS or path.suffix.lower() in LABEL_SUFFIXES:
        return ""
    if not path.is_file():  # a pipe would be waited for, a link that leads nowhere cannot be read
        return "no file"
    return None if NAMED.fullmatch(path.name) else no_recording_reason(path)


def shown_name(path: Path) -> str:
    """Return a path's name as it can be printed and stored, with ? for what cannot.

    A file system takes line ends, and bytes that are no UTF-8.
    """
    return "".join("?" if unicodedata.category(one) in ("Cc", "Cs") else one for one in path.name)


def no_recording_reason(path: Path) -> str | None:
    """Return why a file is no recording, by its content; None for a recording."""
    if is_image(path):
        return "one image"
    try:
        with open_video(path) as container:
            video_stream(container)
    except VideoError as error:
        reason = str(error).removeprefix(f"{path.name} cannot be opened as a video: ")
        return "no recording" if reason.startswith("Invalid data") else reason
    return None


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for reading normal clips."""

    sample_fps: float | None = None  # frames a second that are kept, as a camera's are; None: all
    on_damage: Callable[[str], None] | None = None  # gets a line for each; None: it is refused
    on_frame: Callable[[], None] = lambda: None  # called for each frame; what it raises ends it


STRICT = Reading()
"""Every frame, and no damage."""


def clip_info(path: Path) -> ClipInfo:
    """Return what a clip announces before it is decoded; a folder of images says no frame rate.

    Raises VideoError, DataError.
    """
    return read_folder_info(path) if path.is_dir() else read_info(path)


def common_fps(
    paths: list[Path], sample_fps: float | None = None, unstated_fps: float | None = None
) -> float | None:
    """Return the frame rate of clips, at most `sample_fps`; None where they do not have one.

    unstated_fps: of clips that do not say theirs. Raises VideoError, DataError.
    """
    rates = []
    for path in paths:
        fps = clip_info(path).fps or unstated_fps or sample_fps
        if fps is None:
            return None
        rates.append(min(fps, sample_fps or fps))
    if max(rates) > SAME_RATE * min(rates):
        return None
    return round(statistics.median(rates), 3)


def frames_expected(path: Path, sample_fps: float | None = None) -> int:
    """Return about how many frames a clip will have at `sample_fps`; 0 where it says nothing.

    Raises VideoError, DataError.
    """
    return clip_info(path).expected_frames(sample_fps)


def count_frames(path: Path, expected: int) -> int:
    """Return the number of frames of a clip.

    Where a video announces another number than `expected`, it is decoded to count them: a header
    alone refuses nothing. An mp4 that was cut without encoding it again announces the frames
    before the cut too, an avi those that repeat the one before, a Matroska file none.

    Raises VideoError, DataError.
    """
    announced = clip_info(path).frames
    if path.is_dir() or announced == expected:
        return announced
    return len(read_clip(path, SMALLEST))


def memory_bytes() -> int:
    """Return the size of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class MemoryLimit:
    """Memory for clips that are held together. What they announce may be wrong, or nothing."""

    def __init__(
        self, paths: list[Path], preprocess: Preprocess, sample_fps: float | None = None
    ) -> None:
        """Check what the clips announce, before hours of decoding end in a kill.

        Raises DataError where they are too large, or images are to be sampled, which have no time;
        VideoError where one cannot be opened.
        """
        folder = next(filter(Path.is_dir, paths), None)
        if sample_fps is not None and folder is not None:
            raise DataError(
                f"{folder.name}: images do not say how fast they follow each other, "
                "as --sample-fps needs"
            )
        self._size = f"{preprocess.width_px}x{preprocess.height_px}"
        self._frame_bytes = preprocess.height_px * preprocess.width_px * 3
        self._limit_bytes = MEMORY_SHARE * memory_bytes()
        self._frames = 0
        self.require(sum(frames_expected(path, sample_fps) for path in paths), "about ")

    def add(self, _frame: Pixels) -> None:
        """Count a frame. Raises DataError where it is one too many."""
        self._frames += 1
        self.require(self._frames, "the first ")

    def require(self, frames: int, which: str) -> None:
        """Raise DataError where so many frames do not fit."""
        needed = frames * self._frame_bytes
        if needed > self._limit_bytes:
            raise DataError(
                f"{which}{frames} frames of {self._size} are {needed / 1e9:.1f} GB; "
                f"{self._limit_bytes / 1e9:.1f} GB of this machine's memory are for them: "
                "take fewer clips or shorter ones, or a smaller --size"
            )


def whole_clip(path: Path, preprocess: Preprocess, t_length: int) -> Pixels:
    """Return every frame of a clip, (N, height_px, width_px, 3) uint8 RGB.

    Raises VideoError where it cannot be read or is damaged; DataError where it has less than
    `t_length` frames, or more than memory holds.
    """
    read: Callable[[Path, Preprocess, OnFrame], Pixels]
    read = read_images if path.is_dir() else read_clip
    clip = read(path, preprocess, MemoryLimit([path], preprocess).add)
    require_length(path.name, [clip], t_length)
    return clip


def clip_parts(
    path: Path,
    preprocess: Preprocess,
    t_length: int,
    reading: Reading = STRICT,
    memory: MemoryLimit | None = None,
) -> list[Pixels]:
    """Return a clip in parts of at least `t_length` frames.

    It is one part, unless frames are missing in it, which no window may reach across. `memory` is
    shared with other clips; None: the clip has its own.

    Raises VideoError where it cannot be read, DataError where no `t_length` frames are together,
    or memory does not hold it.
    """
    memory = memory or MemoryLimit([path], preprocess, reading.sample_fps)

    def on_frame(frame: Pixels) -> None:
        memory.add(frame)
        reading.on_frame()

    if path.is_dir():
        parts = [read_images(path, preprocess, on_frame)]
    else:
        recording = read_parts(path, preprocess, on_frame, reading.sample_fps)
        if reading.on_damage is None:
            recording.require_undamaged(path.name)
        elif line := damage_line(path.name, recording, t_length):
            reading.on_damage(line)
        parts = recording.parts
    require_length(path.name, parts, t_length)
    return [part for part in parts if len(part) >= t_length]


def damage_line(name: str, recording: Recording, t_length: int) -> str | None:
    """Return a line about what is left of a recording; None where nothing is missing or left."""
    lengths = [len(part) for part in recording.parts]
    used = [length for length in lengths if length >= t_length]
    if not used or not (recording.damaged or recording.cut_off or used != lengths):
        return None
    line = f"{name}: {recording.lost} frames passed over for damage"
    if recording.cut_off:
        line += f", and {recording.cut_off}"
    if used != lengths:
        line += f", {sum(lengths) - sum(used)} more in pieces of less than {t_length}"
    return f"{line}; {sum(used)} used, in {len(used)} piece{'s' * (len(used) > 1)}"


def require_length(name: str, parts: list[Pixels], t_length: int) -> None:
    """Raise DataError where no part has `t_length` frames."""
    longest = max(map(len, parts))
    if longest < t_length:
        together = " together" * (len(parts) > 1)
        raise DataError(f"{name} has {longest} frames{together}; the model needs {t_length}")
