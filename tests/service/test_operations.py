"""Run the backup commands of docs/operations.md against real servers, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lookout.service.core.errors import LookoutError
from lookout.service.core.messages import Alert, AlertEvent, FrameId
from lookout.service.storage.pictures import keep, picture_path
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.redis.server_binary import SYSTEM_LEAST, choose_server
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store
from tests.service.api_server import camera

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
ALERT = Alert("gate:1000-8", "gate", "open", 1000.8, None, 0.5, 0.9, 1001.0)
LEARNED = Snapshot(FrameId(1000, 42), {"bounds": [20.5, 34.25], "items": [0.1, 0.2]})


def commands(heading: str) -> str:
    """The shell commands below a heading."""
    _, _, text = PAGE.partition(f"## {heading}\n")
    found = re.search(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def run(text: str, folder: Path, **variables: str) -> str:
    path = f"{choose_server().path.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    words = ["bash", "-euc", text]
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer("store", tmp_path / "data") as running:
        yield running


def test_a_store_comes_back_from_its_backup(server: RedisServer, tmp_path: Path) -> None:
    client = connect(server.url)
    store, gate = Store(client), camera("gate")
    store.add_camera(gate)
    epoch, _ = store.begin_ownership("gate")
    assert store.save_snapshot("gate", epoch, LEARNED)
    store.save_alerting("gate", 0, {"cursor": "1000-42"}, [AlertEvent("new", ALERT)])
    keep(picture_path(tmp_path / "data", ALERT.id), b"picture")
    run(
        commands("Back up"), tmp_path, STORE=f"-s {server.url.removeprefix('unix://')}", DATA="data"
    )

    store.remove_camera("gate")  # what happened since is not in the backup
    client.close()
    server.__exit__()
    run(commands("Restore"), tmp_path)
    with RedisServer("store", tmp_path / "restored") as again:
        client = connect(again.url)
        back = Store(client)
        assert back.cameras() == {"gate": gate}
        assert back.snapshot("gate") == LEARNED
        assert back.alerts("gate", before=None, limit=9) == [ALERT]
        assert back.alerting_state("gate") == {"cursor": "1000-42"}
        client.close()
    assert picture_path(tmp_path / "restored", ALERT.id).read_bytes() == b"picture"


def test_a_damaged_store_is_cut_at_the_damage(tmp_path: Path) -> None:
    program = choose_server()
    if program.version >= SYSTEM_LEAST:
        pytest.skip("the commands are those of Redis 6.2")
    data = tmp_path / "data"
    with RedisServer("store", data) as server, closing(connect(server.url)) as client:
        store = Store(client)
        for number in range(20):
            store.add_camera(camera(f"gate{number}"))
    path = data / "store" / "appendonly.aof"
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 40] = b"x" * 40
    path.write_bytes(content)
    with pytest.raises(LookoutError, match=str(program.path)):
        RedisServer("store", data).__enter__()
    run(commands("A damaged store"), tmp_path, DATA=str(data), SERVER=str(program.path))
    with RedisServer("store", data) as server, closing(connect(server.url)) as client:
        assert 5 < len(Store(client).cameras()) < 15
    assert (data / "store.damaged" / "appendonly.aof").read_bytes() == content
