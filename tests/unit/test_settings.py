"""The token among the settings: its form and sources; no message shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import SHIPPED_MODELS, Settings, load_settings
from lookout.service.ingest.decoder.protocol import Job
from lookout.service.supervisor.supervisor import environment_of
from tests.service.api_server import TOKEN, camera


def read(settings: Settings) -> str | None:
    return settings.token.get_secret_value() if settings.token else None


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOOKOUT_TOKEN", "LOOKOUT_TOKEN_FILE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("token", [TOKEN, "0123456789abcdef", "A.b_c~d+e/f-0123==", "x" * 256])
def test_a_token_is_taken(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    assert read(load_settings()) is None
    monkeypatch.setenv("LOOKOUT_TOKEN", token)
    assert read(load_settings()) == token


@pytest.mark.parametrize(
    "token",
    ["", "short", "0123456789abcde", "x" * 257, f"{TOKEN} ", f"{TOKEN}\n", "ü" * 20, "=" * 20],
)
def test_a_token_that_protects_nothing_or_fits_no_header_is_refused(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """An empty one too: it is an operator's mistake, and no wish to be open."""
    monkeypatch.setenv("LOOKOUT_TOKEN", token)
    with pytest.raises(SettingsError, match=r"LOOKOUT_TOKEN: .*openssl rand -hex 32") as refused:
        load_settings()
    assert not token.strip() or token not in str(refused.value)


def test_a_token_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "token"
    monkeypatch.setenv("LOOKOUT_TOKEN_FILE", str(path))
    path.write_text(f"{TOKEN}\n")
    assert read(load_settings()) == TOKEN
    path.write_text("")
    with pytest.raises(SettingsError, match=r"LOOKOUT_TOKEN: .*openssl rand"):
        load_settings()
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(SettingsError, match=r"LOOKOUT_TOKEN_FILE: .* more than plain text"):
        load_settings()
    path.unlink()
    with pytest.raises(SettingsError, match=r"LOOKOUT_TOKEN_FILE: .*No such file"):
        load_settings()
    monkeypatch.setenv("LOOKOUT_TOKEN", TOKEN)
    with pytest.raises(SettingsError, match="both set"):
        load_settings()


def test_no_text_of_the_settings_shows_the_token() -> None:
    settings = Settings(token=TOKEN)  # type: ignore[arg-type]
    assert (
        TOKEN not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    )


def test_a_stage_gets_the_token_as_it_is_and_a_decoder_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    settings = Settings(token_file=path)
    environment = environment_of(settings)
    assert environment["LOOKOUT_TOKEN"] == TOKEN
    assert "LOOKOUT_TOKEN_FILE" not in environment
    job = Job(camera("gate"), settings, "lease").dump()
    assert TOKEN.encode() not in job
    assert read(Job.load(job).settings) is None


def test_media_and_models_lie_in_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOOKOUT_DATA_DIR", "LOOKOUT_MEDIA_DIR", "LOOKOUT_MODELS_DIR"):
        monkeypatch.delenv(variable, raising=False)
    assert (SHIPPED_MODELS / "square.safetensors").is_file()
    assert load_settings().media_dir == Path("lookout-data/media")
    assert load_settings().model_folders == (Path("lookout-data/models"), SHIPPED_MODELS)
    monkeypatch.setenv("LOOKOUT_DATA_DIR", "/srv/data")
    assert load_settings().media_dir == Path("/srv/data/media")
    assert load_settings().model_folders == (Path("/srv/data/models"), SHIPPED_MODELS)
    monkeypatch.setenv("LOOKOUT_MEDIA_DIR", "/srv/clips")
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", "/srv/models")
    assert load_settings().media_dir == Path("/srv/clips")
    assert load_settings().model_folders == (Path("/srv/models"),)


def test_stages_get_the_same_folders_as_the_parent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LOOKOUT_MODELS_DIR", raising=False)
    parent = Settings(data_dir=tmp_path)
    for name, value in environment_of(parent).items():
        monkeypatch.setenv(name, value)
    assert load_settings().model_folders == parent.model_folders
    assert load_settings().media_dir == tmp_path / "media"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_a_time_zone_that_there_is_not_is_told(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("LOOKOUT_TIMEZONE", zone)
    with pytest.raises(SettingsError, match=r"LOOKOUT_TIMEZONE: .*no time zone"):
        load_settings()
    monkeypatch.setenv("LOOKOUT_TIMEZONE", "Europe/Zurich")
    assert load_settings().timezone == "Europe/Zurich"


@pytest.mark.parametrize(
    "name", ["data_dir", "media_dir", "models_dir", "redis_binary", "secret_key_file"]
)
def test_an_empty_path_is_not_the_working_directory(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LOOKOUT_{name.upper()}", "")
    with pytest.raises(SettingsError, match=f"LOOKOUT_{name.upper()}: .*it is empty"):
        load_settings()
