"""The inference worker: owns cameras, scores their frames, reports them, hands them over."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from itertools import islice

import torch

from lookout.models.device import Precision, choose_device, choose_precision
from lookout.models.errors import DeviceError
from lookout.service.core.errors import NoDeviceError, Reason
from lookout.service.core.settings import Settings
from lookout.service.core.throttle import OutageLog
from lookout.service.inference.batch import ReadyFrame, groups, repeat_still, score_batch
from lookout.service.inference.camera_line import CameraLine
from lookout.service.inference.camera_lines import CameraLines, first_line
from lookout.service.inference.ownership import STAGE, Ownership
from lookout.service.inference.reports import StageCounters, report
from lookout.service.inference.scorers import Scorers
from lookout.service.inference.store_link import SaveAnswer, StoreLink, TakeoverAnswer
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import FENCED, LOST, UNOWNED, Bus
from lookout.service.storage.bus.outcomes import OutcomeWrite
from lookout.service.storage.connections import open_bus, open_store, wait_until_up
from lookout.service.storage.redis.connect import UNAVAILABLE

log = logging.getLogger(__name__)

ROUND_EVERY_S = 0.5  # of following and reporting
IDLE_S = 0.005
AWAY_S = 0.2
HAND_OVER_S = 3.0
FILES_EVERY = 4
"""Files get at least one round in so many, however busy the live cameras are."""


def run(settings: Settings, stop: threading.Event) -> None:
    """Score until `stop`, then hand over. Raises NoDeviceError where the device is not there."""
    try:
        device = choose_device(settings.device)
    except DeviceError as error:
        raise NoDeviceError(f"LOOKOUT_DEVICE: {error}") from None
    precision = choose_precision(settings.precision, device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    bus = open_bus(settings)
    store = open_store(settings)
    if not wait_until_up(bus, store, stop):
        return
    with open_leases(settings, STAGE) as leases, StoreLink(store) as link:
        worker = InferenceWorker(
            settings, bus, Ownership(Assignment(STAGE, bus, leases), link), link, device, precision
        )
        log.info("inference on %s in %s, batches of up to %d", device, precision, worker.max_batch)
        worker.work(stop)
        worker.hand_over()


class InferenceWorker:
    """All cameras of one worker. A failure of one camera is reported and stops no other."""

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        ownership: Ownership,
        link: StoreLink,
        device: str,
        precision: Precision,
    ) -> None:
        self.settings = settings
        self.bus = bus
        self.ownership = ownership
        self.link = link
        on_gpu = device.startswith("cuda")
        self.max_batch = settings.max_batch or (32 if on_gpu else 1)
        batch_wait_ms = settings.batch_wait_ms
        if batch_wait_ms is None:
            batch_wait_ms = 5 * on_gpu
        self.batch_wait_s = batch_wait_ms / 1000
        self.lines = CameraLines(settings, bus, Scorers(settings.model_folders, device, precision))
        self.counters = StageCounters(STAGE)
        self._next_round = 0.0
        self._rounds = 0
        self._outage = OutageLog(calm_s=1.0)

    def work(self, stop: threading.Event) -> None:
        """Follow, fetch, score and send until `stop`; wait while the bus is away."""
        while not stop.is_set():
            try:
                busy = self.turn(stop)
            except UNAVAILABLE as error:
                if self._outage.failed():
                    log.warning("the bus does not answer (%s); waiting", type(error).__name__)
                stop.wait(AWAY_S)
            else:
                if self._outage.worked():
                    log.info("the bus is back")
                if not busy:
                    stop.wait(IDLE_S)

    def turn(self, stop: threading.Event) -> bool:
        """Score at most one frame of each camera; return False where there was none."""
        if time.monotonic() >= self._next_round:
            self.follow()
            self._next_round = time.monotonic() + ROUND_EVERY_S
        self.apply_store_answers()
        self.send()
        waiting = self.waiting(stop)
        for group in groups(waiting, self.max_batch):
            self.score(repeat_still(self.lines.ready(group)))
            self.send()
        self.forward_events()
        self.save_due()
        return bool(waiting)

    def hand_over(self) -> None:
        """Save everything, so that the next owner loses nothing. Leases are released later."""
        with contextlib.suppress(*UNAVAILABLE):
            self.send()
            self.counters.flush(self.bus)
            self.ownership.assignment.leave_stage()
        for name in list(self.lines.running):
            self.save(name)
        if not self.link.flush(HAND_OVER_S):
            log.warning(
                "the store did not take the last snapshots; "
                "the next owner replays from the ones before"
            )

    # Cameras come and go

    def follow(self) -> None:
        """Follow the list of cameras: start, stop and share lines; report them."""
        cameras = self.link.cameras()
        if cameras is None:
            return
        self.follow_leases()
        wanted = {name: camera for name, camera in cameras.items() if camera.enabled}
        for name in self.ownership.leases.owned() - wanted.keys():
            self.retire(name, removed=name not in cameras)
        for name in self.ownership.overdue() & wanted.keys():
            self.keep(name)
        for name in self.ownership.settled:
            if self.lines.is_outdated(wanted[name]):
                self.save(name)
                self.lines.stop(name)
                self.ownership.take_over(name)
        surplus = self.ownership.share(wanted)
        if surplus is not None:
            log.info("camera %s: given to another worker", surplus, extra={"camera": surplus})
            self.give_up(surplus)
        self.lines.keep_checkpoints({camera.model for camera in cameras.values()})
        self.lines.end_sessions()
        report(self.bus, self.lines, self.ownership)
        self.counters.set_store_failures(self.link.failures)
        self.counters.flush(self.bus)

    def follow_leases(self) -> None:
        """Drop the cameras whose leases are lost; note a restart of the bus."""
        lost, bus_is_new = self.ownership.leases.poll()
        for name in lost:
            log.warning("camera %s: its lease is lost", name, extra={"camera": name})
            self.drop(name)
        if bus_is_new:
            for line in self.lines.running.values():
                line.resume_after_bus_restart()

    def retire(self, name: str, *, removed: bool) -> None:
        """Stop a camera that was removed or disabled."""
        if not removed:
            if name not in self.ownership.handing_over:
                self.give_up(name)
            return
        self.lines.stop(name)
        self.bus.forget(name)  # what this worker wrote after the removal
        self.drop(name)

    def apply_store_answers(self) -> None:
        """Apply the store's answers to snapshots and take-overs."""
        taken, saved = self.link.answers()
        for answer in saved:
            self.apply_save(answer)
        for takeover in taken:
            self.apply_takeover(takeover)

    def apply_takeover(self, answer: TakeoverAnswer) -> None:
        """Start the camera's line, unless it is no longer wanted."""
        camera = (self.link.cameras() or {}).get(answer.camera)
        if not self.ownership.complete_takeover(answer.camera):
            return
        if camera is None or not camera.enabled:
            return
        if answer.error:
            self.lines.fail(camera, self.lines.signature(camera.model), answer.error)
            return
        try:
            self.lines.start(camera, answer.epoch, answer.snapshot)
        except UNAVAILABLE:
            pass  # the bus failed: the camera is asked for again
        except Exception as error:  # of one camera: the others' answers count
            log.exception("camera %s cannot be started", camera.id, extra={"camera": camera.id})
            why = first_line(error)
            reason = Reason(f"it cannot be started: {why}", code="scoring_start", why=why)
            self.lines.fail(camera, self.lines.signature(camera.model), reason)

    def apply_save(self, answer: SaveAnswer) -> None:
        """Note a saved snapshot; release the lease of a camera that is being handed over."""
        if answer.camera in self.ownership.handing_over:
            if not self.link.is_saving(answer.camera):  # else its last one is still on its way
                self.drop(answer.camera)
            return
        line = self.lines.running.get(answer.camera)
        if answer.result == "refused":
            self.restart(answer.camera, answer.epoch)
        elif line is not None and answer.result == "failed":
            line.snapshots.fail(answer.error)
        elif line is not None:
            line.snapshots.confirm(answer.cursor)

    def restart(self, name: str, epoch: int) -> None:
        """Continue from the stored snapshot: the store has later frames or a later owner."""
        line = self.lines.running.get(name)
        if line is not None and line.epoch == epoch:
            reason = "its snapshot was refused; starting again from the stored one"
            log.warning("camera %s: %s", name, reason, extra={"camera": name})
            self.lines.stop(name)
            self.ownership.take_over(name)

    def give_up(self, name: str) -> None:
        """Release the lease when the snapshot is saved, or now where there is nothing to save."""
        if self.save(name) or self.link.is_saving(name):
            self.lines.pause(name)
            self.ownership.hand_over(name)
        else:
            self.drop(name)

    def keep(self, name: str) -> None:
        """Score a camera again whose hand-over the store keeps waiting: nobody else could take it.

        The snapshot stays on its way; the store takes it, or a later one, when it can.
        """
        log.warning(
            "camera %s: kept, since the store does not take its snapshot",
            name,
            extra={"camera": name},
        )
        self.lines.resume(name)
        self.ownership.keep(name)

    def drop(self, name: str) -> None:
        """Stop the camera's line and release its lease now."""
        self.lines.stop(name)
        self.ownership.drop(name)

    # Scoring

    def waiting(self, stop: threading.Event) -> list[CameraLine]:
        """Return the lines that have frames; files give way to live cameras in most rounds."""
        self._rounds += 1
        running = self.lines.running.values()
        live = [line for line in running if line.camera.live]
        waiting = self.lines.fetch(live)
        if self.batch_wait_s and 0 < len(waiting) < min(self.max_batch, len(live)):
            stop.wait(self.batch_wait_s)
            waiting = self.lines.fetch(live)
        if not waiting or self._rounds % FILES_EVERY == 0:
            waiting += self.lines.fetch(line for line in running if not line.camera.live)
        return waiting

    def score(self, batch: Sequence[ReadyFrame]) -> None:
        """Run one forward pass; where it fails, one for each camera, so that one fails alone."""
        if not batch:
            return
        began = time.perf_counter()
        try:
            failed = score_batch(batch)
        except Exception as error:  # no line has changed
            if len(batch) > 1:
                for item in batch:
                    self.score([item])
                return
            failed = [(batch[0][0], error)]
        else:
            self.counters.add_step(len(batch), time.perf_counter() - began)
        for line, cause in failed:
            why = first_line(cause)
            reason = Reason(f"the model cannot score it: {why}", code="scoring_fails", why=why)
            self.lines.fail(line.camera, line.signature, reason)

    def send(self) -> None:
        """Send all outboxes. What is not acknowledged is sent again; the bus ignores repeats."""
        self.restore_outcomes()
        pending = [
            (line, line.outbox.unsent)
            for line in self.lines.running.values()
            if line.outbox.unsent and not line.outbox.must_restore
        ]
        if not pending:
            return
        writes: list[OutcomeWrite] = []
        for line, unsent in pending:
            token = self.ownership.leases.token(line.camera.id)
            writes += [OutcomeWrite(token, outcome, line.outbox.behind_id) for outcome in unsent]
        answers = iter(self.bus.add_outcomes(writes))
        for line, unsent in pending:
            received = list(islice(answers, len(unsent)))
            if FENCED in received or UNOWNED in received:
                self.check_lease(line.camera.id)
            elif LOST in received:
                line.resume_after_bus_restart()
            else:
                line.outbox.acknowledge()

    def restore_outcomes(self) -> None:
        """Write the newest outcomes again to a bus that has lost them: not all were read."""
        for name, line in list(self.lines.running.items()):
            if not line.outbox.must_restore:
                continue
            token = self.ownership.leases.token(name)
            received = self.bus.restore_outcomes(token, line.outbox.acked)
            if FENCED in received or UNOWNED in received:
                self.check_lease(name)
            else:
                self.bus.restore_cursors(name, token, line.outbox.acked_id, None)
                line.outbox.note_restored()

    def check_lease(self, name: str) -> None:
        """Drop the camera if another worker owns it; else the bus had only lost the lease."""
        standing = self.ownership.leases.renew(name)
        if standing == "lost":
            reason = "its lease is lost; what was scored since is thrown away"
            log.warning("camera %s: %s", name, reason, extra={"camera": name})
            self.drop(name)

    def forward_events(self) -> None:
        """Log the events of all lines and send them to the store."""
        for line in self.lines.running.values():
            for event in line.take_events():
                log.warning(
                    "camera %s: %s (%s)",
                    event.camera,
                    event.kind.replace("_", " "),
                    event.detail,
                    extra={"camera": event.camera, "session": event.session, "seq": event.seq},
                )
                self.link.add_event(event)

    # Snapshots

    def save_due(self) -> None:
        """Request the snapshots that are due by age or, of a file, by frames."""
        now = time.monotonic()
        for name, line in self.lines.running.items():
            behind = line.snapshots.unsaved_frames(line.frames.accounted_id)
            is_far_behind = not line.camera.live and behind >= self.settings.backlog_frames // 4
            if is_far_behind or line.snapshots.age_s(now) >= self.settings.snapshot_every_s:
                self.save(name)

    def save(self, name: str) -> bool:
        """Request that the line's state is saved; return False where there is nothing new."""
        line = self.lines.running.get(name)
        snapshot = None if line is None else line.snapshot()
        if line is None or snapshot is None or not line.snapshots.request(snapshot.cursor):
            return False
        self.link.save(name, line.epoch, snapshot)
        return True
