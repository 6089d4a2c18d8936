"""A replay gives the scores and alerts that a live camera gives from the same snapshot."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookout.models.media.lossless_clip import write_lossless
from tests.cli import lookout
from tests.e2e.service_process import Service, running_service, wait_until
from tests.tiny import street, write_tiny

FRAMES = 90
DOOR = {
    "name": "door",
    "kind": "watch",
    "points": [[0, 0], [0.6, 0], [0.6, 0.6], [0, 0.6]],
    "alert": {"threshold": 0.05, "min_duration_s": 0.0},
}
TREE = {"name": "tree", "kind": "ignore", "points": [[0.7, 0.7], [1, 0.7], [1, 1]]}
NUMBERS = ("value", "psnr_db", "distance", "gate_error", "local_db", "place_db")


def film(path: Path) -> Path:
    """Write a street in which everything becomes noise for a while."""
    frames = np.stack([street(number) for number in range(FRAMES)])
    noise = np.random.default_rng(1).integers(0, 256, (12, *frames.shape[1:3], 3), dtype=np.uint8)
    frames[60:72, :16] = noise[:, :16]
    write_lossless(path, frames, 10)
    return path


def is_saved(service: Service) -> bool:
    """Tell whether the snapshot is of the last frame of the first session."""
    cursor = service.http.get("/cameras/gate/copy").raise_for_status().json()["cursor"]
    return cursor is not None and cursor.endswith(f"-{FRAMES - 1}")


def exact(text: str) -> float | None:
    return float(text) if text else None


def replayed(folder: Path) -> tuple[list[dict[str, str]], dict[str, Any]]:
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((folder / "report.json").read_text())


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_replay_equals_the_live_line_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_tiny(models)
    clip = film(tmp_path / "clip.mkv")
    settings = {
        "models_dir": models,
        "media_dir": tmp_path,
        "precision": "fp32",
        "device": "cpu",
        "learn_frames": 40,
        "learning_workers": 1,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"LOOKOUT_{name.upper()}", str(value))
    monkeypatch.setenv("LOOKOUT_DATA_DIR", str(tmp_path / "none"))
    with running_service(tmp_path / "data", **settings) as service:
        service.add(
            id="gate",
            url=str(clip),
            model="tiny",
            pace="fast",
            score="fused",
            zones=[DOOR, TREE],
            alert={"threshold": 0.3, "min_duration_s": 0.2, "clear_after_s": 0.5},
        )
        service.wait_for_state("gate", "ended", 60)
        service.http.patch("/cameras/gate", json={"enabled": False}).raise_for_status()
        wait_until(lambda: is_saved(service), "its state is saved", 20)
        first = service.all_scores("gate")
        out = tmp_path / "out"
        said = lookout("replay", clip, "--camera", "gate", "--out", out, "--url", service.address)
        service.http.patch("/cameras/gate", json={"enabled": True}).raise_for_status()
        wait_until(
            lambda: len(service.all_scores("gate")) == 2 * len(first), "it is played again", 60
        )
        live = [
            score for score in service.all_scores("gate") if score["session"] > first[-1]["session"]
        ]
        rows, report = replayed(out)
        assert [int(row["seq"]) for row in rows] == [score["seq"] for score in live]
        for name in NUMBERS:
            assert [exact(row[name]) for row in rows] == [score[name] for score in live], name
        zones = [score["zones"]["door"] for score in live]
        assert [exact(row["zone_door"]) for row in rows] == zones
        assert any(value is not None for value in zones)
        wait_until(
            lambda: service.camera("gate")["state"] == "ended" and not open_alerts(service),
            "its alerts are closed",
            30,
        )
        session = live[0]["session"]
        alerts = service.http.get("/alerts", params={"camera": "gate"}).json()["items"]
        ours = [alert for alert in alerts if f":{session}-" in alert["id"]]
        assert ours
        began = live[0]["captured_at"] - live[0]["seq"] / 10
        expected = sorted(
            (alert["zone"] or "", round(alert["opened_at"] - began, 2), alert["peak_value"])
            for alert in ours
        )
        found = sorted(
            (alert["zone"] or "", round(alert["opened_s"], 2), alert["peak_value"])
            for alert in report["alerts"]
        )
        assert found == expected
        assert f"alerts at 0.3: {len(ours)}" in said.out
        assert report["minutes"][0]["peak_value"] == max(s["value"] or 0 for s in live)
        for picture in [*report["alerts"], *report["minutes"]]:
            assert (out / picture["picture"]).read_bytes()[:2] == b"\xff\xd8"


def open_alerts(service: Service) -> list[Any]:
    found: list[Any] = service.http.get("/alerts", params={"state": "open"}).json()["items"]
    return found
