"""What a release is made with: the workflow, the bake file, the add-on of Home Assistant."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml
from check_jsonschema import builtin_schemas

from lookout import __version__
from lookout.service.core.settings import Settings, load_settings
from lookout.service.core.stages import NAMES
from tests.unit.test_deployment_files import targets

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
BAKE = ROOT / "docker" / "bake.json"
ADD_ON = ROOT / "deploy" / "home-assistant" / "lookout"
TOKEN = "a-token-that-nobody-guesses-0123"  # noqa: S105

ADD_ON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "version", "slug", "description", "arch"],
    "additionalProperties": False,
    "properties": {
        **{name: {"type": "string"} for name in ("name", "slug", "description", "url")},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "arch": {"items": {"enum": ["aarch64", "amd64", "armhf", "armv7", "i386"]}},
        "startup": {"enum": ["initialize", "system", "services", "application", "once"]},
        "ports": {"patternProperties": {r"^\d+/tcp$": {"type": "integer"}}},
        "ports_description": {"patternProperties": {r"^\d+/tcp$": {"type": "string"}}},
        "webui": {"pattern": r"^https?://\[HOST\]:\[PORT:\d+\]"},
        "watchdog": {"pattern": r"^(https?|tcp)://\[HOST\]:\[PORT:\d+\]"},
        "map": {
            "items": {
                "properties": {
                    "type": {"enum": ["media", "share", "ssl", "addon_config"]},
                    "read_only": {"type": "boolean"},
                }
            }
        },
        "backup": {"enum": ["hot", "cold"]},
        "options": {"type": "object"},
        "schema": {"type": "object"},
    },
}
"""An excerpt of Home Assistant's own form of `config.yaml`, with what is used of it."""


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    return found


def step(workflow: dict[str, Any], name: str) -> str:
    """Return the commands of a step."""
    steps = workflow["jobs"]["release"]["steps"]
    return str(next(one["run"] for one in steps if one.get("name") == name))


def run(commands: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run commands as the workflow's own shell does."""
    return subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env={**os.environ, **variables},
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_workflow_has_the_form_of_github(workflow: dict[Any, Any]) -> None:
    schema = builtin_schemas.get_builtin_schema("vendor.github-workflows")
    # YAML 1.1 reads `on` as true.
    given = {("on" if key is True else key): value for key, value in workflow.items()}
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(given)] == []
    del given["jobs"]["release"]["runs-on"]
    assert list(validator.iter_errors(given))


def test_a_tag_is_released_where_it_is_the_version(
    workflow: dict[str, Any], tmp_path: Path
) -> None:
    commands = step(workflow, "The tag is the version of the package")
    kept = tmp_path / "env"
    assert run(commands, ROOT, GITHUB_REF_NAME="v9.9.9", GITHUB_ENV=str(kept)).returncode != 0
    done = run(commands, ROOT, GITHUB_REF_NAME=f"v{__version__}", GITHUB_ENV=str(kept))
    assert done.returncode == 0, done.stderr
    assert kept.read_text() == f"VERSION={__version__}\n"


def test_the_notes_are_the_part_of_the_changelog(workflow: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\n- later\n\n## 1.2.3 (2026-01-02)\n\n- this\n\n"
        "### Fixed\n\n- that\n\n## 1.2.2\n\n- earlier\n"
    )
    commands = step(workflow, "Notes")
    assert run(commands, tmp_path, VERSION="1.2.3").returncode == 0
    assert (tmp_path / "notes.md").read_text().strip() == "- this\n\n### Fixed\n\n- that"
    assert run(commands, tmp_path, VERSION="1.2.4").returncode != 0  # nobody has written them


def test_every_stage_is_baked_for_both_architectures() -> None:
    bake = json.loads(BAKE.read_text())
    assert bake["variable"]["VERSION"]["default"] == __version__
    (stages,) = bake["target"].values()
    assert set(stages["matrix"]["stage"]) == set(NAMES)
    assert set(NAMES) <= targets().keys()
    assert stages["platforms"] == ["linux/amd64", "linux/arm64"]
    assert stages["tags"] == ["${REGISTRY}/lookout-${stage}:${VERSION}"]
    arguments = stages["args"]
    assert set(arguments) == {"PYTHON_IMAGE", "TORCH_INDEX"}
    assert (ROOT / stages["dockerfile"]).exists()
    # The same as `docker compose build` takes.
    (python,) = [
        line.partition("=")[2]
        for line in (ROOT / stages["dockerfile"]).read_text().splitlines()
        if line.startswith("ARG PYTHON_IMAGE=")
    ]
    assert bake["variable"]["PYTHON_IMAGE"]["default"] == python
    used = set(json.dumps(bake["target"]).split("${")[1:])
    assert {word.partition("}")[0] for word in used} == {*bake["variable"], "stage"}


@pytest.fixture(scope="module")
def add_on() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ADD_ON / "config.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def start() -> ModuleType:
    """The program that starts the add-on."""
    spec = importlib.util.spec_from_file_location("run", ADD_ON / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_add_on_has_the_form_of_home_assistant(add_on: dict[str, Any]) -> None:
    jsonschema.validate(add_on, ADD_ON_SCHEMA)
    assert add_on["version"] == __version__
    assert add_on["options"].keys() == add_on["schema"].keys()
    build = yaml.safe_load((ADD_ON / "build.yaml").read_text())["build_from"]
    assert set(build) == set(add_on["arch"])
    assert {image.rpartition("/")[2] for image in build.values()} == {
        f"lookout-learning:{__version__}"
    }
    assert yaml.safe_load((ADD_ON.parent / "repository.yaml").read_text())["url"] == add_on["url"]
    for language in ("en", "de"):
        said = yaml.safe_load((ADD_ON / "translations" / f"{language}.yaml").read_text())
        assert said["configuration"].keys() == add_on["schema"].keys()
        assert said["network"].keys() == add_on["ports"].keys()


def test_options_of_the_add_on_become_settings(
    add_on: dict[str, Any], start: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        **add_on["options"],
        "token": TOKEN,
        "timezone": "Europe/Zurich",
        "settings": [{"name": "LOOKOUT_CLIPS_DAYS", "value": "7"}],
    }
    assert start.PLAIN.keys() | {"settings"} == add_on["options"].keys()
    variables = start.settings(options, tmp_path)
    assert variables.keys() <= {f"LOOKOUT_{name.upper()}" for name in Settings.model_fields}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = load_settings()
    assert found.token is not None
    assert found.token.get_secret_value() == TOKEN
    assert (found.timezone, found.clips_days) == ("Europe/Zurich", 7.0)
    assert found.host == "0.0.0.0"  # noqa: S104
    assert (found.data_dir, str(found.media_dir)) == (tmp_path, "/media")


def start_as(user: int, folder: Path, options: dict[str, Any], words: str) -> str:
    """Run `words` of the program that starts the add-on, as it becomes this user."""
    (folder / "options.json").write_text(json.dumps(options))
    code = f"import run; run.USER = {user}; {words}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "options.json"), str(folder / "data")],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ADD_ON}:{ROOT}",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return f"{done.stdout}{done.stderr}exit code {done.returncode}"


@pytest.mark.long
def test_the_add_on_becomes_lookout(tmp_path: Path) -> None:
    said = start_as(os.getuid(), tmp_path, {"token": "tooshort", "settings": []}, "run.main()")
    assert "LOOKOUT_TOKEN: Value error, 16 to 256 letters" in said
    assert said.endswith("exit code 2")
    assert "tooshort" not in said
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
def test_the_add_on_gives_root_up(tmp_path: Path) -> None:
    words = "from pathlib import Path; import os, sys; run.own(Path(sys.argv[2]))"
    said = start_as(
        10001, tmp_path, {}, f"{words}; print(os.getuid(), os.getgid(), os.getgroups())"
    )
    assert said == "10001 10001 []\nexit code 0"
    assert (tmp_path / "data").stat().st_uid == 10001
