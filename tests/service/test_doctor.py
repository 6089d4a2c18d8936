"""`lookout doctor` on machines that are fit for Lookout, and on others."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from lookout.service.cli.doctor import check_clock
from lookout.service.core.settings import SHIPPED_MODELS
from tests.cli import Said, lookout
from tests.conftest import Urls
from tests.service.api_server import Api, api, one_api

__all__ = ["api", "one_api"]

GIB = 2**30


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def fit(monkeypatch: pytest.MonkeyPatch, urls: Urls, tmp_path: Path) -> None:
    """Both servers, an empty data folder with room, and no API."""
    for name, value in (
        ("BUS_URL", urls.bus),
        ("STORE_URL", urls.store),
        ("DATA_DIR", str(tmp_path / "data")),
        ("DEVICE", "cpu"),
        ("PORT", "9"),
    ):
        monkeypatch.setenv(f"LOOKOUT_{name}", value)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 50 * GIB, 50 * GIB))


def found(said: Said, subject: str) -> list[str]:
    """The lines of one subject, without the subject's name."""
    lines = [line.split(maxsplit=2) for line in said.out.splitlines()]
    return [f"{level} {text}" for level, name, text in lines if name == f"{subject}:"]


def test_a_fit_machine_has_nothing_wrong() -> None:
    said = lookout("doctor")
    (bus,) = found(said, "bus")
    (store,) = found(said, "store")
    assert bus.startswith("ok ")
    assert store.startswith("ok ")
    assert found(said, "engine") == ["ok models run on cpu"]
    (data,) = found(said, "data")
    assert data.endswith("53.7 GB free (50 %)")
    (service,) = found(said, "service")
    assert service.startswith("look there is no API at http://127.0.0.1:9")
    assert not [line for line in said.out.splitlines() if line.startswith("wrong")]


def test_without_addresses_a_redis_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOKOUT_BUS_URL")
    monkeypatch.delenv("LOOKOUT_STORE_URL")
    (line,) = found(lookout("doctor"), "redis")
    assert line.startswith("ok `lookout serve` starts ")
    monkeypatch.setenv("LOOKOUT_REDIS_BINARY", "/bin/false")
    (line,) = found(lookout("doctor", expect=1), "redis")
    assert line.startswith("wrong LOOKOUT_REDIS_BINARY: /bin/false is no Redis")


def test_a_server_that_is_away_is_wrong_and_its_password_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOOKOUT_BUS_URL", "redis://:hunter2@127.0.0.1:9/0")
    monkeypatch.delenv("LOOKOUT_STORE_URL")
    said = lookout("doctor", expect=1)
    (bus,) = found(said, "bus")
    assert bus.startswith("wrong 127.0.0.1:9")
    assert "hunter2" not in said.out + said.err
    (store,) = found(said, "store")
    assert store.startswith("wrong LOOKOUT_STORE_URL is not set")


def test_another_programs_data_is_told(urls: Urls) -> None:
    with contextlib.closing(redis.Redis.from_url(urls.bus)) as client:
        client.set("cameras", "of another program")
    (line,) = found(lookout("doctor", expect=1), "bus")
    assert "holds other data" in line


def test_a_store_that_forgets_is_worth_a_look(monkeypatch: pytest.MonkeyPatch, urls: Urls) -> None:
    monkeypatch.setenv("LOOKOUT_STORE_URL", urls.bus)  # the bus has no append-only file
    lines = found(lookout("doctor"), "store")
    assert "look" in lines[1]
    assert "append-only file" in lines[1]


def test_clocks_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert not list(check_clock("bus", 1000.9))
    assert not list(check_clock("bus", None))
    (ahead,) = check_clock("bus", 1031.0)
    (behind,) = check_clock("store", 969.0)
    assert ahead.text.startswith("that of the bus is 31.0 s ahead")
    assert behind.text.startswith("that of the store is 31.0 s behind")


@pytest.mark.parametrize(("free_gib", "level"), [(9, "look"), (2, "wrong")])
def test_a_disk_that_fills_is_told(
    monkeypatch: pytest.MonkeyPatch, free_gib: int, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 0, free_gib * GIB))
    (line,) = found(lookout("doctor", expect=int(level == "wrong")), "data")
    assert line.startswith(level)
    assert "make room" in line


def test_folders_and_checkpoints_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LOOKOUT_DATA_DIR", str(tmp_path / "file" / "data"))
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(SHIPPED_MODELS / "square.safetensors", models / "good.safetensors")
    (models / "cut.safetensors").write_bytes((models / "good.safetensors").read_bytes()[:100])
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", str(models))
    said = lookout("doctor", expect=1)
    (data,) = found(said, "data")
    assert data.startswith("wrong")
    assert any(line.startswith("look cut cannot be used") for line in found(said, "models"))
    monkeypatch.setenv("LOOKOUT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", str(tmp_path / "nowhere"))
    missing = found(lookout("doctor", expect=1), "models")[0]
    assert missing.startswith("wrong LOOKOUT_MODELS_DIR: there is no folder")


def test_a_device_that_is_not_there_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKOUT_DEVICE", "cuda:63")
    (line,) = found(lookout("doctor", expect=1), "engine")
    assert line.startswith("wrong LOOKOUT_DEVICE: torch cannot use")


def test_a_service_without_a_stage_is_wrong(api: Api) -> None:
    said = lookout("doctor", "--url", f"http://127.0.0.1:{api.port}", expect=1)
    (line,) = found(said, "service")
    assert line.startswith("wrong not ready, missing: ")


def test_another_program_on_the_port_is_told() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        said = lookout("doctor", "--url", f"http://127.0.0.1:{other.server_port}", expect=1)
        other.shutdown()
    (line,) = found(said, "service")
    assert line.startswith("wrong what answers at")
    assert line.endswith("is no Lookout")
