"""The stages of Lookout, each named once.

A stage is one process with one `run(settings, stop)`. Its name is the sub-command of the command
line, the process that the supervisor starts, the word in log lines, metric labels and /readyz, the
build target and image (`lookout-<name>`), the Compose service and the Kubernetes Deployment. Tests
hold the deployment files against this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Stage:
    """One process of the service.

    name: as it stands in commands, labels and images.
    module: imported only when the stage runs; it has `run(settings, stop)`.
    summary: one line for the command's help.
    extra: of the package, that it needs: `engine` is torch, `train` is what training needs too.
    is_optional: scores and alerts go on without it, so that /readyz does not ask for it.
    reports_on_bus: its workers send heartbeats to the bus. The API answers for itself over HTTP.
    shares_cameras: its workers divide the cameras among themselves, so there may be several.
    """

    name: str
    module: str
    summary: str
    extra: Literal["engine", "train"] | None = None
    is_optional: bool = False
    reports_on_bus: bool = True
    shares_cameras: bool = True

    @property
    def workers_setting(self) -> str | None:
        """The setting that says how many workers `lookout serve` starts; None: always one."""
        return f"{self.name}_workers" if self.shares_cameras else None


INGEST = Stage("ingest", "lookout.service.ingest.worker", "Decode the cameras into the bus.")
INFERENCE = Stage(
    "inference",
    "lookout.service.inference.worker",
    "Score the frames on the bus.",
    extra="engine",
)
ALERTING = Stage("alerting", "lookout.service.alerting.worker", "Turn scores into alerts.")
LEARNING = Stage(
    "learning",
    "lookout.service.learning.worker",
    "Record normal footage of the cameras, and train on it.",
    extra="train",
    is_optional=True,
)
API = Stage(
    "api",
    "lookout.service.api.worker",
    "Serve REST, WebSocket and the page.",
    reports_on_bus=False,
    shares_cameras=False,
)

STAGES = (INGEST, INFERENCE, ALERTING, LEARNING, API)
"""In the order of a frame's path; `learning` follows beside it."""

NAMES = tuple(stage.name for stage in STAGES)
REPORTING_NAMES = tuple(stage.name for stage in STAGES if stage.reports_on_bus)
"""The stages that have heartbeats, worker metrics and counters on the bus."""
REQUIRED_NAMES = tuple(
    stage.name for stage in STAGES if stage.reports_on_bus and not stage.is_optional
)
"""Those of them without which the service is not ready."""
OPTIONAL_NAMES = tuple(stage.name for stage in STAGES if stage.is_optional)
"""Stages that `lookout serve` starts once it is ready."""

RENAMED_COMMANDS = {"infer": INFERENCE, "alert": ALERTING}
"""Commands of version 0.1 and their stage. They work for one more release."""
