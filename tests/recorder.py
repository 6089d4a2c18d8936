"""An observer of a training run that keeps what it is given."""

from __future__ import annotations

from lookout.models.training.progress import LogEntry, RunProgress


class Recorder:
    """Messages, progress and log entries in their order."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.progress: list[RunProgress] = []
        self.entries: list[LogEntry] = []

    def on_message(self, text: str) -> None:
        self.messages.append(text)

    def on_progress(self, progress: RunProgress) -> None:
        self.progress.append(progress)

    def on_log_entry(self, entry: LogEntry) -> None:
        self.entries.append(entry)
