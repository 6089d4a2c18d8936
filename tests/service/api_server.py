"""A real API on a real port for a test: uvicorn in a thread, as the stage itself runs it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import numpy as np
import pytest
import redis
from safetensors.numpy import save_file
from starlette.requests import HTTPConnection
from websockets.sync.client import ClientConnection, connect

from lookout.models.checkpoint.header import Header
from lookout.models.input_spec import InputSpec
from lookout.models.media.preprocess import Preprocess
from lookout.models.scoring.calibration import Bounds
from lookout.service.api import worker
from lookout.service.api.auth.token import COOKIE, Authenticator
from lookout.service.api.live import asyncapi
from lookout.service.core.camera import Camera
from lookout.service.core.messages import Frame, Heat, InferenceReport, IngestReport, Score
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import connect as redis_client
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.store import Store
from tests import stage
from tests.conftest import Urls
from tests.owning import add_frames, add_scores
from tests.service.switch import Switch
from tests.waiting import wait_until

RTSP = "rtsp://user:hunter2@camera.example/stream"
TOKEN = "a-token-that-nobody-guesses-0123"  # noqa: S105
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def settings_for(urls: Urls, folder: Path, **more: Any) -> Settings:
    models = folder / "models"
    models.mkdir(exist_ok=True)
    return Settings(
        bus_url=urls.bus,
        store_url=urls.store,
        data_dir=folder,
        media_dir=folder,
        models_dir=models,
        port=0,
        **{"suppress_days": 30.0, **more},
    )


def write_checkpoint(
    settings: Settings,
    name: str,
    *,
    calibrated: bool = False,
    bounds: Bounds | None = None,
    input_spec: InputSpec | None = None,
    fps: float | None = None,
    provenance: dict[str, Any] | None = None,
) -> None:
    """A checkpoint with a header and no weights to speak of: the API reads no more of it."""
    if calibrated:
        bounds = Bounds(20.0, 40.0, 0.0, 1.0, 100)
    header = Header(
        "mnad-pred", {}, Preprocess(), bounds, provenance or {}, input_spec=input_spec, fps=fps
    )
    save_file(
        {"x": np.zeros(1, np.float32)},
        settings.model_folders[0] / f"{name}.safetensors",
        header.metadata(),
    )


class Api:
    def __init__(self, port: int, settings: Settings) -> None:
        self.port = port
        self.settings = settings
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(f"/api/v1{path}", params=params)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(f"/api/v1{path}", json=body)

    def patch(self, path: str, body: Any) -> httpx.Response:
        return self.http.patch(f"/api/v1{path}", json=body)

    def delete(self, path: str) -> httpx.Response:
        return self.http.delete(f"/api/v1{path}")

    def listen(self, query: str = "", **more: Any) -> ClientConnection:
        socket: ClientConnection = connect(
            f"ws://127.0.0.1:{self.port}/api/v1/live{query}", compression=None, **more
        )
        return socket


def refusal(auth: Authenticator, connection: HTTPConnection) -> str | None:
    """Return why a connection is refused, None if it is not."""
    found = auth.identify(connection)
    return found if isinstance(found, str) else None


def log_in(api: Api) -> dict[str, str]:
    """Return the header of a new login's cookie."""
    answer = httpx.post(f"http://127.0.0.1:{api.port}/api/v1/session", json={"token": TOKEN})
    assert answer.status_code == 204
    return {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def running_api(settings: Settings, port: int | None = None) -> Iterator[Api]:
    """Run the API stage in a thread, ended as `lookout serve` ends it.

    By its stop event, within 4 s.
    """
    port = port or free_port()
    settings = settings.model_copy(update={"port": port})
    api = Api(port, settings)
    with stage.working(worker.run, settings, stops_within_s=4), api.http:
        wait_until(lambda: answers(api), "an API that answers")
        yield api


@dataclass(frozen=True)
class Apart:
    """Two servers that a test may break, what it writes to them with, and the settings of who
    reaches them by a plug that the test can pull.
    """

    bus: Bus
    store: Store
    store_client: redis.Redis
    bus_plug: Switch
    store_plug: Switch
    settings: Settings

    @contextlib.contextmanager
    def store_hangs(self) -> Iterator[None]:
        """The store takes connections and requests, and answers none."""
        process = self.store_client.info("server")["process_id"]
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)

    def store_refuses(self, refuses: bool) -> None:
        """Writes get -NOREPLICAS, reads their answers."""
        self.store_client.config_set("min-replicas-to-write", int(refuses))


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Apart]:
    with contextlib.ExitStack() as stack:
        plugs, clients = [], []
        for role in ("bus", "store"):
            url = stack.enter_context(RedisServer(role, tmp_path)).url
            plugs.append(
                stack.enter_context(Switch(url.removeprefix("unix://"), tmp_path / f"{role}.plug"))
            )
            clients.append(redis_client(url))
            stack.callback(clients[-1].close)
        urls = Urls(*(f"unix://{plug.path}" for plug in plugs))
        settings = settings_for(urls, tmp_path)
        write_checkpoint(settings, "square")
        bus = Bus(clients[0], frames_kept=256, scores_kept=1000, heats_kept=256)
        yield Apart(bus, Store(clients[1]), clients[1], plugs[0], plugs[1], settings)


def answers(api: Api) -> bool:
    try:
        return api.http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def one_api(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    redis_urls.emptied()  # users of a former module would be asked for
    settings = settings_for(
        redis_urls, tmp_path_factory.mktemp("api"), allowed_hosts="camera-box, lookout.example"
    )
    with running_api(settings) as running:
        yield running


@pytest.fixture
def api(one_api: Api, urls: Urls) -> Api:
    """One server for a module's tests; servers and models folder are as new for each."""
    for path in one_api.settings.model_folders[0].iterdir():
        path.unlink()
    write_checkpoint(one_api.settings, "square")
    return one_api


@pytest.fixture
def fresh_api(urls: Urls, tmp_path: Path) -> Iterator[Api]:
    """A server of its own: its live hub knows of no other test."""
    settings = settings_for(urls, tmp_path)
    write_checkpoint(settings, "square")
    with running_api(settings) as running:
        yield running


def camera(name: str, **more: Any) -> Camera:
    given = {
        "id": name,
        "url": RTSP,
        "model": "square",
        "fps": None,
        "pace": "realtime",
        "calibration": "learn",
        "enabled": True,
        "created_at": time.time(),
        "revision": 1,
    }
    return Camera(**{**given, **more})


def score(
    name: str, seq: int, value: float | None = 0.3, *, session: int = 1000, at: float | None = None
) -> Score:
    captured_at = session + seq / 10 if at is None else at
    return Score(
        name,
        session,
        seq,
        captured_at,
        captured_at + 0.05,
        "square",
        34.0,
        0.003,
        0.004,
        True,
        value,
    )


def heat(name: str, seq: int, *, session: int = 1000) -> Heat:
    cells = np.zeros((64, 64), np.uint16)
    cells[20:40, 30:50] = 20_000
    return Heat(name, session, seq, cells)


def frame(name: str, seq: int, *, session: int = 1000, at: float | None = None) -> Frame:
    ramp = np.linspace(40, 200, 128, dtype=np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (96, 128, 3)).copy()
    return Frame(name, session, seq, session + seq / 10 if at is None else at, pixels)


def show(bus: Bus, name: str, seq: int, value: float | None = 0.3, *, session: int = 1000) -> Score:
    """Put a frame with its score and heatmap on the bus, as ingest and inference do."""
    made = score(name, seq, value, session=session)
    add_frames(bus, frame(name, seq, session=session))
    add_scores(bus, [(made, heat(name, seq, session=session))])
    return made


def report_online(bus: Bus, name: str, *, revision: int = 1, last_error: str | None = None) -> None:
    now = time.time()
    bus.report_ingest(
        name,
        IngestReport(
            "online",
            now,
            revision,
            last_error,
            session=1000,
            last_seq=5,
            last_captured_at=now,
            fps=10,
        ),
    )
    bus.report_inference(name, InferenceReport("online", now, revision))


def watch(store: Store, bus: Bus, name: str, **more: Any) -> Camera:
    """Put a camera in the store, and make it online."""
    made = camera(name, **more)
    store.add_camera(made)
    report_online(bus, name)
    return made


def received(socket: ClientConnection, timeout_s: float = 5.0) -> dict[str, Any]:
    """Return the next message, which the AsyncAPI document describes."""
    message = json.loads(socket.recv(timeout=timeout_s))
    assert isinstance(message, dict)
    live_validator(message["type"]).validate(message)
    return message


@functools.cache
def live_validator(kind: str) -> Any:
    """Return what holds a message of `/live` against its schema; no field may be unknown to it."""
    components = json.loads(json.dumps(asyncapi.document()))["components"]
    for schema in components["schemas"].values():
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
    named = {message["name"]: message["payload"] for message in components["messages"].values()}
    return jsonschema_rs.validator_for({**named[kind], "components": components})


def next_of(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a kind, and pass over others."""
    while (message := received(socket))["type"] != kind:
        pass
    return message


def is_problem(answer: httpx.Response, status: int) -> str:
    """Assert an RFC 9457 answer, and return its reason."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["type"]) == (status, "about:blank")
    assert body["title"]
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    return str(body["detail"])
