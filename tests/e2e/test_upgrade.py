"""An upgrade as in docs/operations.md: every stage is replaced while a camera is watched."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from lookout.service.alerting import worker as alerting
from lookout.service.alerting.camera_policy import CameraAlerts, policy_of
from lookout.service.api import worker as api
from lookout.service.core.camera import AlertSettings
from lookout.service.core.messages import Alert, FrameId
from lookout.service.core.settings import Settings
from lookout.service.inference import worker as inference
from lookout.service.ingest import worker as ingest
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests import stage
from tests.chaos.footage import MODEL, VISIT_EVERY_S, write_footage, write_model
from tests.conftest import Urls
from tests.service.api_server import camera, free_port
from tests.waiting import wait_until

FRAMES, FPS = 1200, 10
RUNS = {
    "alerting": alerting.run,
    "api": api.run,
    "inference": inference.run,
    "ingest": ingest.run,
}
"""In the order in which they are replaced."""
UNREAD = 120  # scores while nobody is at alerting
LIMIT_S = 60.0


class Line:
    """The four stages, each in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: dict[str, AbstractContextManager[object]] = {}

    def __enter__(self) -> Line:
        for name in RUNS:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for name in RUNS:
                stack.callback(self.stop, name)

    def start(self, name: str) -> None:
        self._running[name] = stage.working(RUNS[name], self._settings, stops_within_s=LIMIT_S)
        self._running[name].__enter__()

    def stop(self, name: str) -> None:
        """End a stage by SIGTERM; fail where it does not end by itself."""
        self._running.pop(name).__exit__(None, None, None)


def asked_for(bus: Bus) -> list[Alert]:
    """The alerts that the policy opens for the scores on the bus, in order, as they end."""
    found: dict[str, Alert] = {}
    alerts = CameraAlerts()
    policy = policy_of(AlertSettings(), Settings())
    for score in bus.scores_after({"gate": None}, FRAMES)["gate"]:
        alerts, events = alerts.step(policy, score)
        found |= {event.alert.id: event.alert for event in events}
    _, events = alerts.close(policy)  # at the end of the clip
    found |= {event.alert.id: event.alert for event in events}
    return list(found.values())


@pytest.mark.long
@pytest.mark.timeout(240)
def test_every_stage_is_replaced_and_no_alert_is_lost(
    urls: Urls, bus: Bus, store: Store, tmp_path: Path
) -> None:
    write_model(tmp_path)
    clip = write_footage(tmp_path / "gate.mp4", FRAMES, FPS, seed=1)
    settings = Settings(
        bus_url=urls.bus,
        store_url=urls.store,
        data_dir=tmp_path,
        media_dir=tmp_path,
        models_dir=tmp_path,
        port=free_port(),
        precision="fp32",
        threads=1,
    )
    store.add_camera(camera("gate", url=str(clip), model=MODEL, pace="fast", calibration="model"))

    def scored() -> int:
        return bus.counters("gate").get("scores", 0)

    def alerts() -> list[Alert]:
        return store.alerts("gate", before=None, limit=1000)[::-1]

    with Line(settings) as line:
        for name in RUNS:
            wait_until(lambda: scored() > 50, "scores come", LIMIT_S)
            session = store.session("gate")
            assert session is not None
            assert session.frames is None, f"the clip was over before {name} was replaced"
            line.stop(name)
            if name == "alerting":
                before = len(alerts())
                unread = scored() + UNREAD
                wait_until(
                    lambda unread=unread: scored() > unread,  # type: ignore[misc]
                    "scores that nobody reads",
                    LIMIT_S,
                )
                assert len(alerts()) == before
            line.start(name)
        assert session is not None
        last = str(FrameId(session.number, FRAMES - 1))
        wait_until(
            lambda: (store.alerting_state("gate") or {}).get("cursor") == last,
            "alerting has read all",
            LIMIT_S,
        )
        wait_until(
            lambda: all(alert.state == "closed" for alert in alerts()),
            "the end of the clip closes the last alert",
            LIMIT_S,
        )
    assert scored() == FRAMES - 4  # the first four only fill the window
    assert alerts() == asked_for(bus)
    assert len(alerts()) == FRAMES / FPS / VISIT_EVERY_S
