"""Alerts and pictures are kept for `alerts_kept_days`, those of a removed camera too."""

from __future__ import annotations

import os
from pathlib import Path

from lookout.service.core.camera import Camera
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.storage import pictures
from lookout.service.storage.pictures import DAY_S, drop_expired
from lookout.service.storage.redis import keys
from lookout.service.storage.store.store import Store

NOW = 1_000 * DAY_S


def an_alert(age_days: float, camera: str = "gate", *, is_open: bool = False) -> Alert:
    at = NOW - age_days * DAY_S
    alert_id = f"{camera}:{int(at * 1000)}-5"
    if is_open:
        return Alert(alert_id, camera, "open", at, None, 0.5, 0.9, at)
    return Alert(alert_id, camera, "closed", at, at + 1, 0.5, 0.9, at)


def save(store: Store, data_dir: Path, alert: Alert) -> Path:
    epoch = store.begin_alerting(alert.camera)
    store.save_alerting(alert.camera, epoch, {}, [AlertEvent("new", alert)])
    path = pictures.picture_path(data_dir, alert.id)
    pictures.keep(path, b"jpeg")
    os.utime(path, (alert.opened_at, alert.opened_at))
    return path


def add_camera(store: Store, name: str) -> None:
    store.add_camera(
        Camera(
            id=name,
            url="/x.mp4",
            model="square",
            fps=None,
            pace="fast",
            calibration="learn",
            enabled=True,
            created_at=1.0,
            revision=1,
        )
    )


def test_old_alerts_go_with_their_pictures(store: Store, tmp_path: Path) -> None:
    add_camera(store, "gate")
    old = save(store, tmp_path, an_alert(91))
    young = save(store, tmp_path, an_alert(89))
    assert drop_expired(store, tmp_path, 90, NOW) == 1
    assert (old.exists(), young.exists()) == (False, True)
    assert [alert.opened_at for alert in store.alerts("gate", before=None, limit=9)] == [
        NOW - 89 * DAY_S
    ]
    assert drop_expired(store, tmp_path, 90, NOW) == 0


def test_an_open_alert_stays(store: Store, tmp_path: Path) -> None:
    add_camera(store, "gate")
    save(store, tmp_path, an_alert(91, is_open=True))
    assert drop_expired(store, tmp_path, 90, NOW) == 0
    assert len(store.open_alerts("gate")) == 1


def test_a_removed_camera_is_forgotten_with_its_last_alert(store: Store, tmp_path: Path) -> None:
    add_camera(store, "gate")
    path = save(store, tmp_path, an_alert(10))
    store.remove_camera("gate")
    drop_expired(store, tmp_path, 90, NOW)
    assert path.exists()
    assert store.alerted_cameras() == ["gate"]
    drop_expired(store, tmp_path, 90, NOW + 81 * DAY_S)
    assert not path.parent.exists()
    assert store.alerted_cameras() == []
    epochs = {keys.snapshot("gate").encode(), keys.alerting_epoch("gate").encode()}
    left = set(store._redis.scan_iter()) - epochs
    assert left == set()


def test_a_picture_without_an_alert_goes_too(store: Store, tmp_path: Path) -> None:
    path = pictures.picture_path(tmp_path, "gate:1000-5")
    pictures.keep(path, b"jpeg")
    os.utime(path, (NOW - 91 * DAY_S, NOW - 91 * DAY_S))
    drop_expired(store, tmp_path, 90, NOW)
    assert not path.exists()


def test_no_pictures_folder_is_no_trouble(store: Store, tmp_path: Path) -> None:
    assert drop_expired(store, tmp_path, 90, NOW) == 0
