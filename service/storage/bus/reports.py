"""Reports of the stages on their cameras, and heartbeats of their workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import FrameId, InferenceReport, IngestReport
from lookout.service.storage.bus.counters import parse_counters
from lookout.service.storage.bus.mending import Mending
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.redis.cluster import get_many

Report = TypeVar("Report", IngestReport, InferenceReport)

PRESENT_S = 10.0
"""A worker is present for so long after its last heartbeat."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The bus's data on one camera; a report that cannot be read counts as none."""

    ingest: IngestReport | None
    inference: InferenceReport | None
    cursor: FrameId | None
    counters: dict[str, int]


class Reports(Mending):
    """Reports and heartbeats. Every method may raise one of UNAVAILABLE."""

    def report_ingest(self, camera: str, report: IngestReport) -> None:
        """Replace the report of the camera's ingest worker."""
        self.report_ingests({camera: report})

    def report_ingests(self, reports: Mapping[str, IngestReport]) -> None:
        """Replace the reports of many cameras' ingest worker in one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for camera, report in reports.items():
            pipe.set(keys.ingest_report(camera), codec.dump(report))
        pipe.execute()

    def report_inference(self, camera: str, report: InferenceReport) -> None:
        """Replace the report of the camera's inference worker."""
        self._redis.set(keys.inference_report(camera), codec.dump(report))

    def ingest_report(self, camera: str) -> IngestReport | None:
        """Return the last report. Raises BrokenMessageError."""
        with self.mending([camera]):
            text = cast(bytes | None, self._redis.get(keys.ingest_report(camera)))
        return codec.load(IngestReport, text) if text else None

    def inference_report(self, camera: str) -> InferenceReport | None:
        """Return the last report. Raises BrokenMessageError."""
        with self.mending([camera]):
            text = cast(bytes | None, self._redis.get(keys.inference_report(camera)))
        return codec.load(InferenceReport, text) if text else None

    def forget_reports(self, camera: str) -> None:
        """Drop the reports on a camera's former configuration; its frames and scores stay."""
        self._redis.delete(keys.ingest_report(camera), keys.inference_report(camera))

    def overview(self, cameras: Iterable[str]) -> dict[str, Overview]:
        """Return reports, cursor and counters of many cameras in two round trips."""
        names = list(cameras)
        kinds = (keys.ingest_report, keys.inference_report, keys.cursor)
        texts = iter(get_many(self._redis, [key(camera) for camera in names for key in kinds]))
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.hgetall(keys.counters(camera))
        with self.mending(names):
            counted = pipe.execute()
        overviews = {}
        for camera, counters in zip(names, counted, strict=True):
            ingest = readable_report(IngestReport, next(texts))
            inference = readable_report(InferenceReport, next(texts))
            cursor = codec.frame_id(next(texts))
            overviews[camera] = Overview(ingest, inference, cursor, parse_counters(counters))
        return overviews

    def heartbeat(
        self, stage: str, worker: str, load: float = 0.0, present_s: float = PRESENT_S
    ) -> dict[str, float]:
        """Record that a worker is present with `load`; return all present: worker → load."""
        words = (worker, repr(load), str(int(present_s * 1000)))
        names = (keys.workers(stage), keys.loads(stage))
        with self.mending([]):
            present = self._redis.eval(scripts.HEARTBEAT, len(names), *names, *words)
        return parse_loads(present)

    def workers(self, stage: str) -> dict[str, float]:
        """Return the workers present at a stage: worker → load."""
        names = (keys.workers(stage), keys.loads(stage))
        present_ms = str(int(PRESENT_S * 1000))
        with self.mending([]):
            present = self._redis.eval(scripts.PRESENT_WORKERS, len(names), *names, present_ms)
        return parse_loads(present)

    def has_workers(self, stage: str) -> bool:
        """Tell whether any worker is present at a stage."""
        return bool(self.workers(stage))

    def is_owned(self, stage: str, camera: str) -> bool:
        """Tell whether any worker holds the camera's lease at a stage."""
        return bool(self._redis.exists(keys.lease(stage, camera)))

    def remove_worker(self, stage: str, worker: str) -> None:
        """Record that a worker has stopped, and its load with it."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.zrem(keys.workers(stage), worker)
        pipe.hdel(keys.loads(stage), worker)
        pipe.execute()


def readable_report(kind: type[Report], text: bytes | None) -> Report | None:
    """Return a report, or None where there is none that can be read."""
    try:
        return codec.load(kind, text) if text else None
    except BrokenMessageError:
        return None


def parse_loads(answer: object) -> dict[str, float]:
    """Return names and loads that a script lists in turn as worker → load."""
    words = cast(Sequence[bytes], answer)
    return {
        name.decode(errors="replace"): codec.float_or_zero(load)
        for name, load in zip(words[::2], words[1::2], strict=True)
    }
