"""The live line gives the numbers that `lookout evaluate` gives.

From a file, with the authors' checkpoint at full width; and through a real RTSP server, with the
shipped one, of which a part with the beginning of an anomaly is shown.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lookout.models.checkpoint.file import Checkpoint, load_checkpoint, save_checkpoint
from lookout.models.evaluation.evaluate import Evaluation
from lookout.models.registry import make_config
from lookout.models.scoring.calibration import Bounds
from lookout.models.scoring.normalizer import Scheme
from lookout.service.core.settings import SHIPPED_MODELS
from tests.e2e.ped2_clip import CLIP, PED2, evaluate_clip
from tests.e2e.service_process import Service, running_service
from tests.rtsp import rtsp_server
from tests.waiting import wait_until

pytestmark = [pytest.mark.footage, pytest.mark.timeout(1500)]

FRAMES = 180  # of the clip; every fiftieth is a key frame
FIRST_ANOMALOUS = 60


def cut(folder: Path, first: int, last: int) -> Path:
    """Copy the frames from a key frame to before another one, as they are encoded."""
    path = folder / f"{CLIP}.mp4"
    with av.open(str(PED2 / "test" / path.name)) as whole, av.open(str(path), "w") as part:
        stream = part.add_stream_from_template(whole.streams.video[0])
        packets = list(islice(whole.demux(video=0), first, last))
        start = packets[0].pts
        for packet in packets:
            assert start is not None
            assert packet.pts is not None
            assert packet.dts is not None
            packet.pts -= start
            packet.dts -= start
            packet.stream = stream
            part.mux(packet)
    return path


@pytest.fixture
def compact() -> Checkpoint:
    """The shipped checkpoint, with a gate that some of these frames pass and bounds around its
    values.
    """
    shipped = load_checkpoint(SHIPPED_MODELS / "square.safetensors")
    config = make_config(shipped.name, {"width": 16, "dim": 128, "gamma": 0.0145})
    return replace(
        shipped,
        config=config,
        calibration=Bounds(30.5, 31.4, 1.9e-4, 3.6e-4, frames=116, local_db=(-25.0, -22.0)),
    )


def assert_same_series(
    scores: list[dict[str, Any]],
    expected: Evaluation,
    scheme: Scheme = "paper",
) -> None:
    clip = expected.clips[0]
    assert [score["seq"] for score in scores] == list(range(4, clip.frames))
    assert len({score["session"] for score in scores}) == 1
    assert np.abs(np.array([s["psnr_db"] for s in scores]) - clip.psnr_db).max() < 1e-3
    assert np.array([s["distance"] for s in scores]) == pytest.approx(clip.distance, rel=1e-5)
    assert np.array([s["gate_error"] for s in scores]) == pytest.approx(clip.gate_error, rel=1e-5)
    assert [s["memory_updated"] for s in scores] == clip.memory_updated.tolist()
    assert np.abs(np.array([s["local_db"] for s in scores]) - clip.local_db).max() < 1e-3
    assert np.array([s["value"] for s in scores]) == pytest.approx(
        expected.values[CLIP].live(scheme), rel=1e-4
    )


def assert_alert_with_picture(service: Service, camera: str, first_anomalous: int) -> None:
    alerts = service.http.get("/alerts", params={"camera": camera}).json()["items"]
    assert alerts, "the anomalous interval opened no alert"
    first = min(alerts, key=lambda alert: alert["opened_at"])
    opened_seq = int(first["id"].rpartition("-")[2])
    assert opened_seq >= first_anomalous
    assert first["peak_value"] >= first["threshold"]
    picture = service.http.get(f"/alerts/{first['id']}/picture")
    assert picture.status_code == 200
    assert picture.content[:2] == b"\xff\xd8"


@pytest.mark.long
@pytest.mark.alone
def test_a_file_camera(half_gated: Checkpoint, first_clip: Evaluation, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "ped2.safetensors", half_gated)
    settings = {"models_dir": tmp_path, "media_dir": PED2 / "test", "precision": "fp32"}
    with running_service(tmp_path / "data", **settings) as service:
        url = str(PED2 / "test" / f"{CLIP}.mp4")
        service.add(id="ped2", url=url, model="ped2", pace="fast", calibration="model")
        service.wait_for_state("ped2", "ended", 900)
        scores = service.all_scores("ped2")
        assert len(scores) == FRAMES - 4
        assert_same_series(scores, first_clip)
        assert_alert_with_picture(service, "ped2", FIRST_ANOMALOUS)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.rtsp
def test_an_rtsp_camera(compact: Checkpoint, tmp_path: Path) -> None:
    first = 50
    frames = FRAMES - first
    clip = cut(tmp_path, first, FRAMES)
    (tmp_path / "one").mkdir()
    expected = evaluate_clip(compact, "bf16", tmp_path / "one", clip)
    assert 0.1 < expected.clips[0].memory_updated.mean() < 0.9
    low, high = np.quantile(expected.values[CLIP].live("local"), [0.1, 0.9])
    assert low < 0.3
    assert high > 0.5
    save_checkpoint(tmp_path / "ped2.safetensors", compact)
    # However busy these two cores are: here late frames are scored too, whatever their age.
    settings = {"models_dir": tmp_path, "precision": "bf16", "live_age_s": 600}
    with running_service(tmp_path / "data", **settings) as service:
        with rtsp_server(clip) as url:
            service.add(id="ped2", url=url, model="ped2", calibration="model", score="local")
            wait_until(
                lambda: service.camera("ped2")["frames"] >= frames,
                "the clip has come",
                60,
                every_s=0.1,
            )
        # The server is gone: what it sent is scored to the end, however slow this machine is.
        wait_until(
            lambda: newest_seq(service) >= frames - 1, "one session is scored", 900, every_s=0.5
        )
        scores = service.all_scores("ped2")
        assert_same_series(
            [score for score in scores if score["session"] == scores[0]["session"]],
            expected,
            "local",
        )
        assert service.camera("ped2")["state"] == "reconnecting"
        assert_alert_with_picture(service, "ped2", FIRST_ANOMALOUS - first)


def newest_seq(service: Service) -> int:
    newest = service.http.get("/cameras/ped2/scores", params={"limit": 1}).json()["items"]
    return newest[0]["seq"] if newest else -1
