"""The folder of a replay's job: what is asked of its process, and the files that people get.

data_dir/learning/<camera>/replays/<number>/
    request.json  result.json  lock      of the process
    files/                               `scores.csv`, pictures, and last `report.json`
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import msgspec
from pydantic import ValidationError

from lookout.models.media.atomic_file import write_bytes
from lookout.service.core.errors import NotFoundError
from lookout.service.core.replay import CameraCopy, ReplayJob, ReplayOptions, ReplayReport
from lookout.service.core.settings import Settings

MEDIA_TYPES = {".csv": "text/csv", ".json": "application/json", ".jpg": "image/jpeg"}
FILE_NAME = re.compile(r"[a-z0-9-]{1,40}\.(csv|json|jpg)")
REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class ReplayTask:
    """The task of a replay's process, as JSON."""

    path: str  # of the recording, or of the folder of kept footage
    copy: str  # `CameraCopy` as JSON
    options: str  # `ReplayOptions` as JSON
    model_folders: list[str]
    device: str
    precision: str
    ends_at: float | None = None  # of a period, s, UTC; None: a recording
    plays: str = ""  # path of the file that the camera plays, for a period of it
    played_at: float = 0.0  # when its time was 0, s, UTC

    @classmethod
    def of(
        cls,
        settings: Settings,
        path: Path,
        copy: CameraCopy,
        options: str = "{}",
        ends_at: float | None = None,
        playing: tuple[str, float] = ("", 0.0),
    ) -> ReplayTask:
        """Return the task to score a file with a copy of a camera, as inference would here."""
        return cls(
            str(path),
            copy.model_dump_json(),
            options,
            [str(folder) for folder in settings.model_folders],
            settings.device,
            settings.precision,
            ends_at,
            *playing,
        )

    def camera_copy(self) -> CameraCopy:
        """Return the copy of the camera. Raises pydantic.ValidationError."""
        return CameraCopy.model_validate_json(self.copy)

    def replay_options(self) -> ReplayOptions:
        """Return what is changed of the camera. Raises pydantic.ValidationError."""
        return ReplayOptions.model_validate_json(self.options)


class ReplayFiles:
    """Paths of one replay. Methods may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.lock = folder / "lock"
        self.result = folder / "result.json"
        self._request = folder / "request.json"

    @classmethod
    def of(cls, data_dir: Path, job: ReplayJob) -> ReplayFiles:
        """Return the files of a job of a known camera."""
        return cls(replays_folder(data_dir, job.camera) / str(job.number))

    def ask(self, task: ReplayTask) -> None:
        """Write the task, in a new folder."""
        self.drop()
        self.files.mkdir(parents=True)
        write_bytes(self._request, msgspec.json.encode(task))

    def task(self) -> ReplayTask | None:
        """Return the task; None where it is not here."""
        try:
            return msgspec.json.decode(self._request.read_bytes(), type=ReplayTask)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def forget_task(self) -> None:
        """Remove the task of a job that is done."""
        self._request.unlink(missing_ok=True)

    def report(self) -> ReplayReport | None:
        """Return what was found; None before the end, and where it cannot be read."""
        try:
            return ReplayReport.model_validate_json((self.files / REPORT).read_bytes())
        except (OSError, ValidationError):
            return None

    def file(self, name: str) -> Path:
        """Return the path of a file of the result. Raises NotFoundError."""
        path = self.files / name
        if not FILE_NAME.fullmatch(name) or not path.is_file():
            raise NotFoundError(f"there is no file {name!r} of this job", code="no_file")
        return path

    def names(self) -> list[str]:
        """Return the names of the files of the result, in order."""
        with contextlib.suppress(OSError):
            found = (path.name for path in self.files.iterdir())
            return sorted(name for name in found if FILE_NAME.fullmatch(name))
        return []

    def drop(self) -> None:
        """Remove all of it."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)


def replays_folder(data_dir: Path, camera: str) -> Path:
    """Return the folder of a camera's replays; camera: a known one."""
    return data_dir / "learning" / camera / "replays"


def drop_former(data_dir: Path, camera: str, kept: Container[str]) -> None:
    """Remove the folders of replays whose numbers are not kept."""
    with contextlib.suppress(OSError):
        for folder in replays_folder(data_dir, camera).iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
