"""The embedded Redis: where its socket lies, which program runs, what a damaged store says."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from lookout.service.core.errors import LookoutError, SettingsError
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.redis.embedded import SOCKET_PATH_BYTES, RedisServer
from lookout.service.storage.redis.server_binary import choose_server, explain_log
from lookout.service.storage.store.store import Store
from tests.service.api_server import camera

NOWHERE = "/proc/no/such/folder"


def use_tmpdir(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is looked up once a process
    return folder


def fill(server: RedisServer) -> None:
    with closing(connect(server.url)) as client:
        store = Store(client)
        for number in range(20):
            store.add_camera(camera(f"gate{number}"))


def names_of(server: RedisServer) -> set[str]:
    with closing(connect(server.url)) as client:
        return set(Store(client).cameras())


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The data folder of a store that holds cameras, and stopped."""
    with RedisServer("store", tmp_path / "data") as server:
        fill(server)
    return tmp_path / "data"


def append_only_file(data_dir: Path) -> Path:
    """The file of the commands: of Redis 6.2, or of 7 and newer."""
    found = {path.name: path for path in (data_dir / "store").rglob("appendonly.aof*")}
    return found.get("appendonly.aof.1.incr.aof", found.get("appendonly.aof", Path()))


@pytest.mark.parametrize("name", ["l" * 100, "ü" * 60, "a b?c#d%41@e", "'\"quotes\\"])
def test_any_folder_for_temporary_files_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    folder = use_tmpdir(monkeypatch, tmp_path / name)
    with RedisServer("bus", tmp_path / "data") as server, closing(connect(server.url)) as client:
        assert client.ping()
        path = client.connection_pool.connection_kwargs["path"]
        assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES
        assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700
    assert ("TMPDIR is too long" in caplog.text) is (not path.startswith(str(folder)))
    assert not list(folder.iterdir())
    assert not Path(path).parent.exists()


def test_without_a_short_folder_the_line_names_tmpdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tmpdir(monkeypatch, tmp_path / ("l" * 100))
    monkeypatch.setenv("XDG_RUNTIME_DIR", NOWHERE)
    monkeypatch.setattr(tempfile, "mkdtemp", None)  # neither /tmp nor /var/tmp
    monkeypatch.setattr(
        "lookout.service.storage.redis.embedded.SOCKET_PATH_BYTES", len("/tmp/lookout-bus-")
    )
    with pytest.raises(SettingsError, match="TMPDIR") as refused:
        RedisServer("bus", tmp_path)
    assert "\n" not in str(refused.value)


def test_a_damaged_store_is_one_line(filled: Path) -> None:
    path = append_only_file(filled)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 40] = b"x" * 40
    path.write_bytes(content)
    with pytest.raises(LookoutError, match="is damaged: restore a backup, or repair") as refused:
        RedisServer("store", filled).__enter__()
    assert str(filled / "store") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_torn_end_is_dropped_and_said(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = append_only_file(filled)
    path.write_bytes(path.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING), RedisServer("store", filled) as server:
        assert len(names_of(server)) in (19, 20)  # adding one is two commands
    assert "ended within a write" in caplog.text


@pytest.mark.parametrize(
    ("version", "reason"), [(b"0099", "written by a newer Redis than"), (b"0009", "is damaged")]
)
def test_a_snapshot_that_is_no_snapshot_is_one_line(
    tmp_path: Path, version: bytes, reason: str
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "appendonly.aof").write_bytes(b"REDIS" + version + bytes(50))
    with pytest.raises(LookoutError, match=reason):
        RedisServer("store", tmp_path).__enter__()


def test_the_files_of_a_newer_server_are_not_passed_over(tmp_path: Path) -> None:
    """Redis 6.2 does not know the folder of 7, and would begin with an empty store."""
    old = fake_server(tmp_path / "old-server", "Redis server v=6.2.14 sha=0")
    (tmp_path / "store" / "appendonlydir").mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"newer Redis than .*old-server.*LOOKOUT_REDIS_BINARY"):
        RedisServer("store", tmp_path, old).__enter__()


def test_a_data_folder_that_cannot_be_made_is_one_line() -> None:
    with pytest.raises(SettingsError, match="LOOKOUT_DATA_DIR"):
        RedisServer("bus", Path(NOWHERE)).__enter__()


def fake_server(path: Path, version: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "version", "taken"),
    [
        ("redis-server", "Redis server v=7.2.4 sha=00000000:0 malloc=jemalloc", True),
        ("valkey-server", "Valkey server v=8.1.3 sha=00000000:0 malloc=jemalloc", True),
        ("redis-server", "Redis server v=6.2.1 sha=00000000:0", False),
        ("redis-server", "no version", False),
    ],
)
def test_a_new_server_of_the_system_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: str, taken: bool
) -> None:
    program = fake_server(tmp_path / name, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert (choose_server().path == program) is taken


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("Redis server v=5.0.7 sha=0", "is of version 5.0; 6.2 or newer"),
        ("hello", "no Redis or Valkey server"),
    ],
)
def test_a_wanted_server_that_is_none_is_refused(tmp_path: Path, version: str, reason: str) -> None:
    wanted = fake_server(tmp_path / "server", version)
    with pytest.raises(SettingsError, match=f"LOOKOUT_REDIS_BINARY: .*{reason}"):
        choose_server(wanted)
    with pytest.raises(SettingsError, match="LOOKOUT_REDIS_BINARY"):
        choose_server(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("# Can't handle RDB format version 12", "newer Redis"),
        ("# Unknown RDB encoding type 30", "newer Redis"),
        ("# Bad file format reading the append only file appendonly.aof.1.incr.aof: make", "damag"),
        ("# Fatal error loading the DB: Invalid argument. Exiting.", "damaged"),
        ("# The AOF base file appendonly.aof.1.base.rdb doesn't exist", "damaged"),
        ("# Can't open the append-only file: Permission denied", "opened: Permission denied"),
        (
            "# Can't open or create append-only dir appendonlydir: Permission denied",
            "opened: Permission denied",
        ),
        ("# Fatal error: can't open the append log file for reading: Is a directory", "directory"),
        ("# Write error: No space left on device", "is full"),
        ("# something new", "# something new"),
    ],
)
def test_what_a_server_says_last_is_explained(tmp_path: Path, line: str, meaning: str) -> None:
    said = explain_log(["12:M * Server started", line], tmp_path, choose_server())
    assert meaning in said
    assert "\n" not in said
