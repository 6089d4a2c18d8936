"""Files for their owner alone: a real second user reads none of them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lookout.service.core.private_files import (
    private_umask,
    tighten,
    tighten_data,
    write_new_private,
)
from lookout.service.core.settings import Settings
from tests.conftest import with_wide_forms
from tests.waiting import wait_until

NOBODY = 65534
READ = """
import os, sys
from pathlib import Path
os.setgid({user}); os.setuid({user})
for parent, folders, files in os.walk("/" + sys.argv[1].lstrip("/")):
    for name in files:
        try:
            print(name, Path(parent, name).read_bytes()[:20])
        except PermissionError:
            pass
"""


def read_as_nobody(folder: Path) -> str:
    """Return what another user can read below a folder."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    words = [sys.executable, "-c", READ.format(user=NOBODY), str(folder)]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout


def reachable(folder: Path) -> Path:
    """Open the way to a folder: pytest's own are closed."""
    for parent in folder.parents:
        if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o755)
    return folder


@pytest.fixture
def old_data(tmp_path: Path) -> Path:
    """A data folder as earlier versions wrote it."""
    data = reachable(tmp_path / "data")
    for folder in ("store", "pictures/gate", "media", "models", "elsewhere"):
        (data / folder).mkdir(parents=True)
        (data / folder / "file").write_text("secret")
        (data / folder / "file").chmod(0o644)
    (data / "elsewhere" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").write_text("other")
    (tmp_path / "outside").chmod(0o644)
    return data


def test_old_files_are_taken_from_everybody_else(old_data: Path) -> None:
    assert "secret" in read_as_nobody(old_data)
    assert tighten(old_data) > 0
    assert read_as_nobody(old_data) == ""
    assert tighten(old_data) == 0
    assert stat.S_IMODE((old_data.parent / "outside").stat().st_mode) == 0o644


def test_a_users_own_folders_stay_as_they_are(old_data: Path) -> None:
    tighten(old_data, [old_data / "media", old_data / "models", Path("/nowhere")])
    assert read_as_nobody(old_data / "media") == "file b'secret'\n"
    assert read_as_nobody(old_data / "store") == ""
    assert tighten(old_data, [old_data / "media", old_data / "models"]) == 0


def test_a_data_folder_that_holds_more_than_ours_keeps_the_rest_as_it_is(old_data: Path) -> None:
    """Somebody may name their home, or a checkout, as the data folder."""
    (old_data / "notes.txt").write_text("own")
    (old_data / "learning").symlink_to(old_data / "elsewhere")
    for path in (old_data, old_data / "notes.txt"):
        path.chmod(path.stat().st_mode | 0o044)
    before = {
        path: path.stat().st_mode
        for path in (old_data, *old_data.glob("[men]*"), *old_data.glob("[me]*/*"))
    }
    tighten_data(Settings(data_dir=old_data))
    assert {path: path.stat().st_mode for path in before} == before
    assert read_as_nobody(old_data / "store") == ""
    assert read_as_nobody(old_data / "pictures") == ""
    shutil.rmtree(old_data / "elsewhere")
    (old_data / "learning").unlink()
    (old_data / "notes.txt").unlink()
    tighten_data(Settings(data_dir=old_data))
    assert not old_data.stat().st_mode & 0o066


@pytest.mark.parametrize("stage", with_wide_forms(["ingest", "alerting", "api"], {"ingest"}))
def test_a_stage_that_is_started_alone_takes_them_too(
    old_data: Path, tmp_path: Path, stage: str
) -> None:
    nowhere = f"unix://{tmp_path}/nowhere"
    words = {"DATA_DIR": str(old_data), "BUS_URL": nowhere, "STORE_URL": nowhere, "PORT": "0"}
    secret = old_data / "store" / "file"
    env = os.environ | {f"LOOKOUT_{name}": word for name, word in words.items()}
    with subprocess.Popen([sys.executable, "-m", "lookout", stage], env=env) as process:
        try:
            wait_until(lambda: not secret.stat().st_mode & 0o077, "it is its own", 60)
        finally:
            process.kill()


def test_new_files_are_their_owners(tmp_path: Path) -> None:
    with private_umask():
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_text("x")
        assert write_new_private(tmp_path / "key", b"key")
    assert not write_new_private(tmp_path / "key", b"another")
    assert (tmp_path / "key").read_bytes() == b"key"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert all(mode & 0o077 == 0 for mode in modes.values()), modes
