"""The stages of Lookout, each named once.

A stage is one process with one `run(settings, stop)`. Its name is the sub-command of the command
line, the process that the supervisor starts, the word in log lines, metric labels and /readyz, the
build target and image (`lookout-<name>`), the Compose service and the Kubernetes Deployment. Tests
hold the deployment files against this list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """One process of the service.

    name: as it stands in commands, labels and images.
    module: imported only when the stage runs; it has `run(settings, stop)`.
    summary: one line for the command's help.
    needs_engine: it imports torch (the package's extra `engine`).
    reports_on_bus: its workers send heartbeats to the bus. The API answers for itself over HTTP.
    shares_cameras: its workers divide the cameras among themselves, so there may be several.
    """

    name: str
    module: str
    summary: str
    needs_engine: bool = False
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
    needs_engine=True,
)
ALERTING = Stage("alerting", "lookout.service.alerting.worker", "Turn scores into alerts.")
API = Stage(
    "api",
    "lookout.service.api.worker",
    "Serve REST, WebSocket and the page.",
    reports_on_bus=False,
    shares_cameras=False,
)

STAGES = (INGEST, INFERENCE, ALERTING, API)
"""In the order of a frame's path."""

NAMES = tuple(stage.name for stage in STAGES)
REPORTING_NAMES = tuple(stage.name for stage in STAGES if stage.reports_on_bus)
"""The stages that have heartbeats, worker metrics and counters on the bus."""

RENAMED_COMMANDS = {"infer": INFERENCE, "alert": ALERTING}
"""Commands of version 0.1 and their stage. They work for one more release."""
