"""The OpenAPI document, and a client that a public generator makes of it, against a running API."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.service.api_server import RTSP, Api, api, one_api, show, watch

__all__ = ["api", "one_api"]

GENERATOR = Path(sys.executable).parent / "openapi-generator-cli"
TYPESCRIPT = Path(__file__).resolve().parents[1] / "typescript"
TSC = TYPESCRIPT / "node_modules" / ".bin" / "tsc"
NO_JAVA = pytest.mark.skipif(
    shutil.which("java") is None, reason="no Java: package default-jre-headless"
)


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [found for path in document["paths"].values() for found in path.values()]


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operation in operations(document):
        errors = {code: found for code, found in operation["responses"].items() if code >= "4"}
        assert {"400", "405"} <= errors.keys()
        assert [found["content"] for found in errors.values()] == [problem] * len(errors)


def test_ids_are_short_and_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert {"create_camera", "list_cameras", "get_frame", "get_alert_picture"} <= set(ids)
    assert max(map(len, ids)) < 20


def test_nothing_is_only_null_and_pictures_are_binary(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, property_ in schema.get("properties", {}).items():
            assert property_.get("type") != "null", (name, field)
    for operation in operations(document):
        for media, content in operation["responses"].get("200", {}).get("content", {}).items():
            if media.startswith("image/"):
                assert content["schema"] == {"type": "string", "format": "binary"}


def generate(api: Api, folder: Path, language: str, *options: str) -> None:
    """Have openapi-generator make a client in a folder."""
    document = folder / "openapi.json"
    document.write_text(json.dumps(api.get("/openapi.json").json()))
    words = [str(GENERATOR), "generate", "-g", language, "-i", str(document), *options]
    subprocess.run(words, check=True, capture_output=True, timeout=100)


@pytest.fixture(scope="module")
def client(one_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package that openapi-generator makes."""
    folder = tmp_path_factory.mktemp("client")
    generate(one_api, folder, "python", "-o", str(folder), "--package-name", "lookout_client")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        yield importlib.import_module("lookout_client")


@pytest.mark.long
@NO_JAVA
@pytest.mark.filterwarnings("default")
def test_a_generated_client_works(client: ModuleType, api: Api, store: Store, bus: Bus) -> None:
    configuration = client.Configuration(host=f"http://127.0.0.1:{api.port}")
    with client.ApiClient(configuration) as connection:
        cameras = client.CamerasApi(connection)
        spec = client.CameraSpec(id="gate", url=RTSP, fps=10)
        assert cameras.create_camera(spec).id == "gate"
        listed = cameras.list_cameras()
        assert ([camera.id for camera in listed.items], listed.next) == (["gate"], None)
        assert cameras.update_camera("gate", client.CameraChange(enabled=False)).enabled is False
        with pytest.raises(client.ApiException) as refused:
            cameras.create_camera(spec)
        problem = client.Problem.from_json(refused.value.body)
        assert (problem.status, problem.title) == (409, "Conflict")
        with pytest.raises(client.ApiException) as missing:
            cameras.get_camera("nobody")
        assert missing.value.status == 404
        watch(store, bus, "yard")
        show(bus, "yard", 0)
        scores = client.ScoresApi(connection)
        assert [score.id for score in scores.list_scores("yard").items] == ["1000-0"]
        assert bytes(scores.get_frame("yard")).startswith(b"\x89PNG")
        jobs = client.JobsApi(connection)
        assert jobs.put_recording("a.mp4", b"footage").name == "uploads/a.mp4"
        assert [one.size_bytes for one in jobs.list_recordings().items] == [7]
        period = client.ReplayRequest.from_dict(
            {"kind": "replay", "camera": "yard", "from": 1000.0, "to": 2000.0}
        )
        assert jobs.replay_recording(period).until == 2000.0
        assert client.AlertsApi(connection).list_alerts().items == []
        assert client.HealthApi(connection).healthz().status == "ok"
        assert cameras.delete_camera("gate") is None


@pytest.mark.long
@NO_JAVA
@pytest.mark.skipif(not TSC.exists(), reason="no TypeScript: sh tests/debian-packages.sh")
def test_a_generated_typescript_client_works(
    api: Api, store: Store, bus: Bus, tmp_path: Path
) -> None:
    """It is compiled without an error by the strict rules, and run by node."""
    for name in ("main.ts", "tsconfig.json", "package.json"):
        shutil.copy(TYPESCRIPT / name, tmp_path)
    options = "importFileExtension=.js,prefixParameterInterfaces=true"
    folder = str(tmp_path / "client")
    generate(api, tmp_path, "typescript-fetch", "-o", folder, f"--additional-properties={options}")
    compiled = subprocess.run(
        [TSC, "-p", tmp_path], check=False, capture_output=True, text=True, timeout=100
    )
    assert compiled.returncode == 0, compiled.stdout
    watch(store, bus, "yard")
    show(bus, "yard", 0)
    words = ["node", "built/main.js", f"http://127.0.0.1:{api.port}", RTSP]
    done = subprocess.run(
        words, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "made": "gate",
        "listed": ["gate", "yard"],
        "next": None,
        "enabled": False,
        "again": [409, "Conflict"],
        "missing": [404, "Not Found"],
        "scores": ["1000-0"],
        "frame": "PNG",
        "uploaded": ["uploads/b.mp4", 7],
        "until": 2000,
        "alerts": [],
        "health": "ok",
    }
