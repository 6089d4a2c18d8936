"""The live line gives the numbers that `lookout evaluate` gives: from a file, and through a real RTSP server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.checkpoint import load_checkpoint, save_checkpoint
from models.device import Precision
from models.registry import make_config
from models.scorer import Scorer
from models.training.calibrate import calibrate
from models.training.evaluate import Evaluation, evaluate
from models.training.import_mnad import import_mnad
from tests.conftest import SHARED
from tests.e2e.service_process import Service, running_service
from tests.rtsp import rtsp_server
from tests.waiting import wait_until

pytestmark = [pytest.mark.footage, pytest.mark.timeout(600)]

PED2 = SHARED / "data" / "ped2"
CLIP, FRAMES = "01", 180  # a cyclist from frame 60 to the end
FIRST_ANOMALOUS = 60


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' checkpoint, calibrated on one normal clip (a short form; on all of them it takes minutes)."""
    folder, normal = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("normal")
    (normal / "01.mp4").symlink_to(PED2 / "train" / "01.mp4")
    checkpoint = import_mnad(SHARED / "reference" / "ped2_mnad_pred" / "authors.safetensors")
    # A gate that half of the frames pass, so that the memory's path counts too.
    checkpoint = replace(checkpoint, config=make_config(checkpoint.name, {"gamma": 0.0175}))
    save_checkpoint(folder / "ped2.safetensors", calibrate(checkpoint, normal, precision="bf16"))
    return folder


def evaluated(models_dir: Path, folder: Path, precision: Precision) -> Evaluation:
    (folder / f"{CLIP}.mp4").symlink_to(PED2 / "test" / f"{CLIP}.mp4")
    scorer = Scorer(load_checkpoint(models_dir / "ped2.safetensors"), precision=precision)
    return evaluate(scorer, folder, carry_memory=False)


def assert_same_series(scores: list[dict[str, Any]], expected: Evaluation, first_frame: int = 4) -> None:
    clip, values = expected.clips[0], expected.values[CLIP]
    assert [score["seq"] for score in scores] == list(range(first_frame, clip.frames))
    assert len({score["session"] for score in scores}) == 1
    offset = first_frame - 4
    assert np.abs(np.array([s["psnr_db"] for s in scores]) - clip.psnr_db[offset:]).max() < 1e-3
    assert np.array([s["distance"] for s in scores]) == pytest.approx(clip.distance[offset:], rel=1e-5)
    assert np.array([s["gate_error"] for s in scores]) == pytest.approx(clip.gate_error[offset:], rel=1e-5)
    assert [s["memory_updated"] for s in scores] == clip.memory_updated[offset:].tolist()
    assert np.array([s["value"] for s in scores]) == pytest.approx(values.causal[offset:], rel=1e-5)


def assert_alert_with_picture(service: Service, camera: str) -> None:
    alerts = service.http.get("/alerts", params={"camera": camera}).json()["items"]
    assert alerts, "the anomalous interval opened no alert"
    first = min(alerts, key=lambda alert: alert["opened_at"])
    opened_seq = int(first["id"].rpartition("-")[2])
    assert opened_seq >= FIRST_ANOMALOUS
    assert first["peak_value"] >= first["threshold"]
    picture = service.http.get(f"/alerts/{first['id']}/picture")
    assert picture.status_code == 200
    assert picture.content[:2] == b"\xff\xd8"


def test_a_file_camera(models_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    expected = evaluated(models_dir, tmp_path / "one", "fp32")
    settings = {"models_dir": models_dir, "media_dir": PED2 / "test", "precision": "fp32"}
    with running_service(tmp_path / "data", **settings) as service:
        url = str(PED2 / "test" / f"{CLIP}.mp4")
        service.add(id="ped2", url=url, model="ped2", pace="fast", calibration="model")
        service.wait_for_state("ped2", "ended", 300)
        assert_same_series(service.all_scores("ped2"), expected)
        assert_alert_with_picture(service, "ped2")


@pytest.mark.rtsp
def test_an_rtsp_camera(models_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    expected = evaluated(models_dir, tmp_path / "one", "bf16")
    # At full width two busy cores do not hold 10 frames/s: here late frames are scored too, however old they are.
    settings = {"models_dir": models_dir, "precision": "bf16", "live_age_s": 600}
    with running_service(tmp_path / "data", **settings) as service:
        with rtsp_server(PED2 / "test" / f"{CLIP}.mp4") as url:
            service.add(id="ped2", url=url, model="ped2", calibration="model")
            wait_until(lambda: service.camera("ped2")["frames"] >= FRAMES, "the clip has come", 60, every_s=0.1)
        # The server is gone: what it sent is scored to the end, however slow this machine is.
        wait_until(lambda: newest_seq(service) >= FRAMES - 1, "one session is scored", 240, every_s=0.5)
        scores = service.all_scores("ped2")
        assert_same_series([score for score in scores if score["session"] == scores[0]["session"]], expected)
        assert_alert_with_picture(service, "ped2")
        assert service.camera("ped2")["state"] == "reconnecting"


def newest_seq(service: Service) -> int:
    newest = service.http.get("/cameras/ped2/scores", params={"limit": 1}).json()["items"]
    return newest[0]["seq"] if newest else -1
