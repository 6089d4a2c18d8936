"""Uploads: streamed to the disk, whole or not at all, bounded, and taken by jobs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lookout.service.api import protocols
from lookout.service.core.errors import NoRoomError
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from lookout.service.storage.uploads import ABANDONED_S, AT_ONCE, Uploads
from tests.conftest import Urls
from tests.service.api_server import (
    Api,
    is_problem,
    running_api,
    settings_for,
    watch,
    write_checkpoint,
)
from tests.waiting import wait_until

BYTES = os.urandom(300_000)
MB = 2**20


@pytest.fixture(scope="module")
def one_api(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that takes 1 MB a recording, however full this machine's disk is."""
    folder = tmp_path_factory.mktemp("api")
    settings = settings_for(redis_urls, folder, upload_mb=1, uploads_total_mb=2, uploads_free_mb=0)
    write_checkpoint(settings, "square")
    with running_api(settings) as running:
        yield running


@pytest.fixture
def api(one_api: Api, urls: Urls) -> Api:
    for name in on_disk(one_api):
        (one_api.settings.media_dir / "uploads" / name).unlink()
    return one_api


def put(api: Api, name: str, content: bytes | Iterator[bytes] = BYTES) -> httpx.Response:
    return api.http.put(f"/api/v1/recordings/{name}", content=content)


def on_disk(api: Api) -> list[str]:
    """Names of all that lies in the folder of uploads."""
    folder = api.settings.media_dir / "uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def counted(api: Api, outcome: str) -> int:
    text = api.http.get("/metrics").text
    (line,) = [row for row in text.splitlines() if f'upload="{outcome}"' in row]
    return int(float(line.split()[-1]))


def begun(api: Api, name: str, stated_bytes: int) -> socket.socket:
    """Begin an upload whose bytes are still to come."""
    head = (
        f"PUT /api/v1/recordings/{name} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {stated_bytes}\r\n\r\n"
    )
    client = socket.create_connection(("127.0.0.1", api.port))
    client.sendall(head.encode())
    return client


def test_a_recording_is_uploaded_listed_taken_by_jobs_and_removed(
    api: Api, store: Store, bus: Bus
) -> None:
    watch(store, bus, "gate")
    stored_before = counted(api, "stored")
    stored = put(api, "monday (1).mp4", iter([BYTES[:1000], BYTES[1000:]]))
    assert stored.status_code == 201
    recording = stored.json()
    assert (recording["name"], recording["size_bytes"]) == ("uploads/monday (1).mp4", len(BYTES))
    assert (api.settings.media_dir / recording["name"]).read_bytes() == BYTES
    assert "already" in is_problem(put(api, "monday (1).mp4", b"x"), 409)
    listed = api.get("/recordings").json()
    assert (listed["items"], listed["most_bytes"]) == ([recording], MB)
    wanted = {"kind": "replay", "camera": "gate", "video": recording["name"]}
    assert api.post("/jobs", wanted).json()["video"] == recording["name"]
    learning = api.post("/cameras/gate/learn", {"recording": recording["name"]})
    assert learning.json()["recording"] == recording["name"]
    assert api.delete("/recordings/monday (1).mp4").status_code == 204
    assert "no recording" in is_problem(api.delete("/recordings/monday (1).mp4"), 404)
    assert on_disk(api) == []
    assert counted(api, "stored") == stored_before + 1


@pytest.mark.parametrize(
    ("name", "content", "status", "words"),
    [
        ("empty.mp4", b"", 422, "empty"),
        ("large.mp4", bytes(MB + 1), 413, f"larger than {MB} bytes"),
        ("large.mp4", [bytes(MB), b"x"], 413, f"larger than {MB} bytes"),
        (".hidden.mp4", BYTES, 422, "name"),
        ("früh.mp4", BYTES, 422, "name"),
        ("x" * 101, BYTES, 422, "name"),
    ],
)
def test_what_is_refused_leaves_nothing(
    api: Api, name: str, content: bytes | list[bytes], status: int, words: str
) -> None:
    sent = content if isinstance(content, bytes) else iter(content)
    assert words in is_problem(put(api, name, sent), status)
    assert on_disk(api) == []


def test_no_other_folder_can_be_named(api: Api) -> None:
    for name in ("..%2Fx.mp4", "a/b.mp4", "..", "%2e%2e"):
        assert put(api, name).status_code in (404, 405, 422), name
    assert on_disk(api) == []


def test_an_upload_goes_to_the_disk_as_it_comes_and_a_half_one_leaves_nothing(api: Api) -> None:
    broken_before = counted(api, "broken_off")
    folder = api.settings.media_dir / "uploads"
    with begun(api, "half.mp4", len(BYTES)) as client:
        client.sendall(BYTES[:200_000])
        wait_until(lambda: [one for one in on_disk(api) if one.endswith(".part")], "a part")
        (part,) = folder.iterdir()
        wait_until(lambda: part.stat().st_size >= 100_000, "its bytes")
        assert api.get("/recordings").json()["items"] == []
        assert "already" in is_problem(put(api, "half.mp4"), 409)
    wait_until(lambda: on_disk(api) == [], "nothing of it")
    wait_until(lambda: counted(api, "broken_off") == broken_before + 1, "its count")


def test_two_uploads_run_at_a_time_and_slow_ones_are_ended(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "BODY_S", 0.4)
    monkeypatch.setattr(protocols, "UPLOAD_STEP_BYTES", 1000)
    slow = [begun(api, f"{number}.mp4", 1000) for number in range(AT_ONCE)]
    wait_until(lambda: len(on_disk(api)) == AT_ONCE, "their parts")
    assert "are under way" in is_problem(put(api, "third.mp4", b"x"), 409)
    for client in slow:
        assert b"408 Request Timeout" in client.recv(1000)
        client.close()
    wait_until(lambda: on_disk(api) == [], "nothing of them")
    steady = iter_slowly([BYTES[:2000]] * 8, 0.1)
    assert put(api, "steady.mp4", steady).status_code == 201


def iter_slowly(chunks: list[bytes], pause_s: float) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        time.sleep(pause_s)  # what a slow line does


def uploads_in(folder: Path, free_mb: int = 0) -> Uploads:
    return Uploads(
        Settings(media_dir=folder, upload_mb=1, uploads_total_mb=2, uploads_free_mb=free_mb)
    )


def test_a_full_disk_is_said_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(NoRoomError, match="nearly full"):
        uploads_in(tmp_path, 2**40).begin("a.mp4", 0)
    uploads = uploads_in(tmp_path)
    upload = uploads.begin("a.mp4", 0)
    upload._file.close()
    upload._file = Path("/dev/full").open("wb")  # noqa: SIM115  it takes nothing
    with pytest.raises(NoRoomError, match="is full"):
        upload.write(BYTES)
    upload.close()
    assert list(uploads.folder.iterdir()) == []
    assert uploads.counts == {"refused": 1}
    uploads.begin("a.mp4", 0).close()


def test_old_recordings_and_the_oldest_beyond_the_room_drop(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    now = time.time()
    ages_s = {"old.mp4": 8 * 86_400, "first.mp4": 300, "second.mp4": 200, "third.mp4": 100}
    uploads.folder.mkdir()
    for name, age_s in ages_s.items():
        path = uploads.folder / name
        path.write_bytes(bytes(MB))
        os.utime(path, (now - age_s, now - age_s))
    for name, silent_s in {".killed.1.part": ABANDONED_S + 60, ".goes_on.2.part": 1.0}.items():
        (uploads.folder / name).write_bytes(b"x")
        os.utime(uploads.folder / name, (now - silent_s, now - silent_s))
    uploads.tidy()
    assert sorted(path.name for path in uploads.folder.iterdir()) == [
        ".goes_on.2.part",
        "second.mp4",
        "third.mp4",
    ]
    assert uploads.counts == {"dropped": 2}
