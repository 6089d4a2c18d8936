"""Camera passwords are encrypted in the store; a wrong key costs nobody else their camera."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from lookout.service.core.errors import RequestError, SettingsError
from lookout.service.core.settings import Settings, load_settings
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.camera_secrets import CameraSecrets, prepare_key
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import camera

KEY = "11" * 32
OTHER = base64.b64encode(bytes(32)).decode()
FERNET = base64.urlsafe_b64encode(bytes(range(224, 256))).decode()
URL = "rtsp://admin:p4ss%40w0rd@10.0.0.7:554/stream?token=t0ken"
Opener = Callable[..., Store]


@pytest.fixture
def raw(urls: Urls) -> Iterator[redis.Redis]:
    client = connect(urls.store)
    yield client
    client.close()


@pytest.fixture
def opened(urls: Urls) -> Opener:
    def store(keys: str | None = None, **more: Path) -> Store:
        return Store(connect(urls.store), secrets=CameraSecrets(keys, **more))

    return store


def stored(raw: redis.Redis, name: str = "gate") -> str:
    return raw.hget(keys.CAMERAS, name).decode()  # type: ignore[union-attr]


def test_what_is_stored_holds_no_password(opened: Opener, raw: redis.Redis) -> None:
    gate = camera("gate", url=URL)
    store = opened(KEY)
    store.add_camera(gate)
    text = stored(raw)
    for secret in ("admin", "p4ss", "w0rd", "t0ken"):
        assert secret not in text
    assert "10.0.0.7:554" in text  # readable with redis-cli
    assert store.cameras() == {"gate": gate}
    assert store.camera("gate") == gate
    assert opened(KEY.upper()).camera("gate") == gate
    store.replace_camera(gate.model_copy(update={"enabled": False}), gate)
    assert "p4ss" not in stored(raw)
    assert not store.camera("gate").enabled


def test_a_files_address_is_no_secret(opened: Opener, raw: redis.Redis) -> None:
    opened(KEY).add_camera(camera("clip", url="file:///srv/media/a.mp4"))
    assert json.loads(stored(raw, "clip"))["url"] == "file:///srv/media/a.mp4"
    assert opened(OTHER).camera("clip").unreadable is None


def test_plain_records_are_encrypted_at_the_next_start(opened: Opener, raw: redis.Redis) -> None:
    gate, clip = camera("gate", url=URL), camera("clip", url="/srv/media/a.mp4")
    before = opened()
    before.add_camera(gate)
    before.add_camera(clip)
    assert "p4ss" in stored(raw)
    assert opened().seal_cameras() == 0  # without a key
    assert opened(KEY).seal_cameras() == 1
    assert "p4ss" not in stored(raw)
    assert opened(KEY).seal_cameras() == 0
    assert opened(KEY).cameras() == {"clip": clip, "gate": gate}


def test_a_key_is_replaced(opened: Opener, raw: redis.Redis) -> None:
    gate = camera("gate", url=URL)
    opened(OTHER).add_camera(gate)
    both = opened(f"{KEY}, {OTHER}")
    assert both.camera("gate") == gate
    assert both.seal_cameras() == 1
    assert both.seal_cameras() == 0
    assert opened(KEY).camera("gate") == gate


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        (CameraSecrets(OTHER), "another key"),
        (CameraSecrets(), "there is no key"),
        (CameraSecrets(key_file=Path("/nowhere/secret.key")), "/nowhere/secret.key"),
        (CameraSecrets(key_file=Path("/proc/self/mem")), "cannot be read"),
        (CameraSecrets(key_file=Path("/etc/hostname")), "holds no key"),
    ],
)
def test_without_its_key_a_camera_is_told_and_the_others_go_on(
    urls: Urls, opened: Opener, raw: redis.Redis, secrets: CameraSecrets, reason: str
) -> None:
    gate, clip = camera("gate", url=URL), camera("clip", url="/srv/media/a.mp4")
    opened(KEY).add_camera(gate)
    opened(KEY).add_camera(clip)
    store = Store(connect(urls.store), secrets=secrets)
    unreadable = store.camera("gate")
    assert unreadable.unreadable is not None
    assert reason in unreadable.unreadable
    assert unreadable.url == "rtsp://***@10.0.0.7:554/stream?token=***"
    assert store.camera("clip") == clip
    before = stored(raw)
    with pytest.raises(RequestError, match=r"password of camera 'gate' cannot be read: .*anew"):
        store.replace_camera(unreadable.model_copy(update={"enabled": False}), unreadable)
    assert stored(raw) == before
    assert store.seal_cameras() == 0
    assert stored(raw) == before


def test_a_damaged_record_is_unreadable_and_no_more(opened: Opener, raw: redis.Redis) -> None:
    opened(KEY).add_camera(camera("gate", url=URL))
    for sealed in ("", "x", "gAAAA", 7, None):
        record = json.loads(stored(raw)) | {"sealed_url": sealed}
        raw.hset(keys.CAMERAS, "gate", json.dumps(record))
        assert list(opened(KEY).cameras()) == ["gate"]


def test_a_new_url_makes_an_unreadable_camera_whole(opened: Opener) -> None:
    opened(KEY).add_camera(camera("gate", url=URL))
    store = opened(OTHER)
    before = store.camera("gate")
    from lookout.service.core.camera import CameraChange

    after = before.changed(CameraChange(url=URL))
    store.replace_camera(after, before)
    assert store.camera("gate").url == URL


# Keys


@pytest.mark.parametrize("key", ["", "short", "zz" * 32, "11" * 31, f"{KEY},", "a" * 44, "ü" * 44])
def test_a_key_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("LOOKOUT_SECRET_KEY", key)
    with pytest.raises(SettingsError, match=r"LOOKOUT_SECRET_KEY: .*openssl rand -hex 32") as said:
        load_settings()
    assert not key or key not in str(said.value)


@pytest.mark.parametrize("key", [KEY, OTHER, FERNET, f"{KEY},{OTHER}"])
def test_a_key_is_taken_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("LOOKOUT_SECRET_KEY", key)
    settings = load_settings()
    assert settings.secret_key == SecretStr(key)
    assert key not in f"{settings} {settings!r} {settings.model_dump_json()}"


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    prepare_key(settings)
    path = tmp_path / "data" / "secret.key"
    assert path.stat().st_mode & 0o777 == 0o600
    first = path.read_bytes()
    prepare_key(settings)
    assert path.read_bytes() == first
    assert CameraSecrets.of(settings).has_key


def test_no_key_file_is_made_beside_a_store_that_others_share(tmp_path: Path) -> None:
    """Each machine would make another."""
    prepare_key(Settings(data_dir=tmp_path, store_url="redis://elsewhere"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no key", b"\xff" * 40])
def test_a_key_file_that_holds_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret.key").write_bytes(content)
    with pytest.raises(SettingsError, match=r"LOOKOUT_SECRET_KEY_FILE: .*secret\.key"):
        prepare_key(Settings(data_dir=tmp_path))


def test_a_key_file_in_a_folder_that_cannot_be_made_is_one_line() -> None:
    with pytest.raises(SettingsError, match="LOOKOUT_SECRET_KEY_FILE"):
        prepare_key(Settings(data_dir=Path("/proc/nothing")))
