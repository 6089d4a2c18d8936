"""The wheel: one package, with its data files, which takes no module from the working directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import psutil  # type: ignore[import-untyped]
import pytest

from lookout import __version__
from lookout.service.demo.scene import write_demo_video
from tests.e2e.service_process import command

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "lookout", "models", "service")
HOSTILE = ("models", "service", "redis", "json", "logging", "numpy", "torch", "typer", "uvicorn")
"""Modules that a user may have in the working directory: ours of earlier versions, the
standard library's and those of dependencies."""
FIRST_SCORE_LIMIT_S = 240.0
STOP_LIMIT_S = 10.0

pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Installed:
    """A virtual environment that holds the wheel, and dependencies from this environment."""

    wheel: Path
    folder: Path
    added: set[str]  # names in its site-packages that came with the wheel

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def script(self) -> Path:
        return self.folder / "bin" / "lookout"


def run(*words: str | Path, cwd: Path, expect: int = 0) -> str:
    """Run a command without PYTHONPATH; return what it printed on standard output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel from a copy of the sources and install it outside of the checkout."""
    home = tmp_path_factory.mktemp("wheel")
    sources = home / "sources"
    sources.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, sources / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(path, sources / name)
    pip = (sys.executable, "-P", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", home / "dist", sources, cwd=home)
    (wheel,) = (home / "dist").glob("*.whl")

    folder = home / "environment"
    run(sys.executable, "-P", "-m", "venv", "--without-pip", folder, cwd=home)
    (packages,) = folder.glob("lib/python*/site-packages")
    before = {path.name for path in packages.iterdir()}
    python = folder / "bin" / "python"
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    added = {path.name for path in packages.iterdir()} - before
    # The dependencies come after the wheel. A path in a .pth file is added as it is: the editable
    # install of this environment stays out.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return Installed(wheel, folder, added)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A working directory whose modules leave a file `executed` behind and fail."""
    folder = tmp_path / "working-directory"
    folder.mkdir()
    marker = folder / "executed"
    code = f"open({str(marker)!r}, 'a').write(__name__ + ' ')\nraise SystemExit('hostile')\n"
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(code)
    return folder


def executed(hostile: Path) -> str:
    marker = hostile / "executed"
    return marker.read_text() if marker.exists() else ""


def test_the_wheel_adds_one_package(installed: Installed, tmp_path: Path) -> None:
    assert installed.added == {"lookout", f"lookout-{__version__}.dist-info"}
    place = run(installed.python, "-c", "import lookout; print(lookout.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed.folder)


def test_the_wheel_holds_checkpoints_the_page_and_the_report(installed: Installed) -> None:
    with ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    for path in (
        *sorted((ROOT / "models" / "checkpoints").rglob("*.safetensors")),
        *sorted((ROOT / "service" / "api" / "static").iterdir()),
        ROOT / "models" / "evaluation" / "report" / "report.html.j2",
        *sorted((ROOT / "service").rglob("*.py")),
        *sorted((ROOT / "models").rglob("*.py")),
    ):
        assert f"lookout/{path.relative_to(ROOT)}" in names


@pytest.mark.wide
def test_the_module_takes_nothing_from_the_working_directory(
    installed: Installed, hostile: Path
) -> None:
    assert "LOOKOUT_DATA_DIR" in run(installed.python, "-m", "lookout", "settings", cwd=hostile)
    assert "square" in run(installed.script, "models", cwd=hostile)
    assert executed(hostile) == ""


@pytest.mark.long
def test_the_demo_scores_beside_hostile_modules_and_ends(
    installed: Installed, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(hostile)
    write_demo_video(hostile / "data" / "demo" / "media" / "square.mp4", seconds=10)
    with command(["demo"], program=[str(installed.script)], data_dir="data") as (process, output):
        output.wait_for("The first score came after ", FIRST_SCORE_LIMIT_S)
        output.wait_for(" scores, the newest: ", FIRST_SCORE_LIMIT_S)
        main = psutil.Process(process.pid)
        processes = [main, *main.children(recursive=True)]
        ours = [one.cmdline() for one in processes if "lookout" in one.cmdline()]
        assert len(ours) == 5  # the stages
        assert {words[0] for words in ours} == {str(installed.python)}
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(STOP_LIMIT_S) == 0
        _, alive = psutil.wait_procs(processes, timeout=STOP_LIMIT_S)
        assert alive == []
        assert not any("Traceback" in line for line in output.lines)
    assert executed(hostile) == ""
    assert (hostile / "data" / "demo").is_dir()
