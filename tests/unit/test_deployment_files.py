"""The deployment files name only settings, commands, stages and images that exist."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from lookout import __version__
from lookout.service.cli.main import app
from lookout.service.core.errors import NoDeviceError, SettingsError, UnprotectedError
from lookout.service.core.settings import Settings
from lookout.service.core.stages import NAMES, STAGES

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = ROOT / "docker-compose.yml"
K8S = sorted((ROOT / "k8s" / "base").glob("*.yaml"))
VERSION = __version__


def targets() -> dict[str, str]:
    """Each build target and its instructions."""
    parts = re.split(r"^FROM \S+ AS (\w+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def services() -> dict[str, str]:
    """Each service of the compose file and its lines."""
    _, _, after = COMPOSE.read_text().partition("\nservices:\n")
    body = re.split(r"^\S", after, maxsplit=1, flags=re.MULTILINE)[0]
    parts = re.split(r"^  ([\w-]+):(?: &\w+)?\n", body, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def objects() -> dict[tuple[str, str], str]:
    """Each Kubernetes object, by kind and name, and its lines."""
    found = {}
    for path in K8S:
        for text in re.split(r"^---\n", path.read_text(), flags=re.MULTILINE):
            kind, name = (
                re.search(r"^kind: (\w+)", text, re.MULTILINE),
                re.search(r"^metadata: \{name: (\S+)\}", text, re.M),
            )
            if kind and name:
                found[kind[1], name[1]] = text
    return found


@pytest.mark.parametrize("path", [DOCKERFILE, COMPOSE, *K8S], ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    known = {f"LOOKOUT_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bLOOKOUT_\w+", path.read_text())) <= known


@pytest.mark.parametrize("stage", NAMES)
def test_every_stage_has_an_image_that_runs_its_command(stage: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert stage in commands
    assert f'CMD ["{stage}"]' in targets()[stage]


@pytest.mark.parametrize("stage", NAMES)
def test_every_stage_has_a_service_in_compose(stage: str) -> None:
    service = services()[stage]
    assert f"image: lookout-{stage}:{VERSION}\n" in service
    assert re.search(rf"target: {stage}\b", service)
    assert f'["CMD", "python", "/srv/health.py", "{stage}"]' in service


@pytest.mark.parametrize("stage", NAMES)
def test_every_stage_has_a_deployment(stage: str) -> None:
    deployment = objects()["Deployment", f"lookout-{stage}"]
    assert f"image: lookout-{stage}:{VERSION}\n" in deployment
    assert "readinessProbe:" in deployment


@pytest.mark.parametrize(
    ("stage", "alone"),
    [("ingest", False), ("inference", False), ("alerting", True), ("learning", True)],
)
def test_two_workers_share_a_stage_where_there_are_leases(stage: str, alone: bool) -> None:
    deployment = objects()["Deployment", f"lookout-{stage}"]
    assert "replicas: 1\n" in deployment
    assert ("strategy: {type: Recreate}" in deployment) is alone


def test_only_the_store_is_persistent_and_it_writes_before_it_answers() -> None:
    pairs = [
        (services()["bus"], services()["store"]),
        (objects()["Deployment", "lookout-bus"], objects()["StatefulSet", "lookout-store"]),
    ]
    for bus, store in pairs:
        bus_words, store_words = (re.findall(r'"([^"]*)"', text) for text in (bus, store))
        assert bus_words[bus_words.index("--appendonly") + 1] == "no"
        assert store_words[store_words.index("--appendonly") + 1] == "yes"
        assert store_words[store_words.index("--appendfsync") + 1] == "always"
        assert all(words[words.index("--save") + 1] == "" for words in (bus_words, store_words))


def test_only_pages_are_published_and_on_this_machine_alone() -> None:
    published = {
        name: line for name, text in services().items() for line in re.findall(r"ports: (.*)", text)
    }
    pages = {"api": 8000, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
    assert published == {name: f'["127.0.0.1:{port}:{port}"]' for name, port in pages.items()}


EXACT = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(-[a-z][\w.-]*)?(@sha256:[0-9a-f]{64})?")
"""An image by a tag that its owner does not move with the next release."""


def test_base_images_can_be_replaced_and_one_file_names_an_exact_version_of_each() -> None:
    python = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    named = dict(re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", COMPOSE.read_text()))
    assert python == [named["PYTHON_IMAGE"]]
    from_images = set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE))
    assert from_images - targets().keys() == {"${PYTHON_IMAGE}"}
    ours = {f"lookout-{name}:{VERSION}" for name in (*NAMES, "camera", "inference-gpu")}
    foreign = {one["image"] for one in composed().values()} - ours
    assert foreign == {f"${{{name}:-{image}}}" for name, image in named.items()} - {
        f"${{PYTHON_IMAGE:-{named['PYTHON_IMAGE']}}}"
    }
    text = (ROOT / "docker" / "images.env").read_text()
    exact = dict(re.findall(r"^(\w+_IMAGE)=(\S+)$", text, re.MULTILINE))
    assert exact.keys() == named.keys()
    assert [image for image in exact.values() if not EXACT.fullmatch(image)] == []
    names = {image.partition(":")[0] for image in named.values()}
    assert names == {image.partition(":")[0] for image in exact.values()}
    in_cluster = {one for text in objects().values() for one in re.findall(r"image: (\S+)", text)}
    assert in_cluster - ours == {exact["REDIS_IMAGE"]}


@pytest.mark.parametrize("image", ["prom/x:latest", "prom/x:v3", "prom/x", "redis:7-bookworm"])
def test_a_tag_that_moves_is_not_exact(image: str) -> None:
    assert not EXACT.fullmatch(image)


def test_only_stages_that_need_torch_carry_it_and_nothing_runs_as_root() -> None:
    built = targets()
    for extra, builder in (("engine", "engine"), ("train", "training")):
        with_extra = [stage.name for stage in STAGES if stage.extra == extra]
        assert [name for name, text in built.items() if f"-r requirements-{extra}.txt" in text] == [
            builder
        ]
        copied = [name for name, text in built.items() if f"--from={builder} " in text]
        assert copied == with_extra
        assert f"FROM {builder} " not in DOCKERFILE.read_text()
    assert {name for name, text in built.items() if "USER 10001" in text} == {"light", "camera"}
    assert not [name for name, text in built.items() if "USER root" in text or "USER 0" in text]
    from_light = set(re.findall(r"^FROM light AS (\w+)$", DOCKERFILE.read_text(), re.MULTILINE))
    assert set(NAMES) == from_light - {"clip"}


def test_tests_and_headers_leave_an_image_and_nothing_else_does(tmp_path: Path) -> None:
    packages = tmp_path / "usr/lib/python3.11/site-packages"
    keep = ("numpy/a.py", "numpy/testing/a.py", "torch/lib/a.so", "torch/bin/torch_shm_manager")
    drop = ("numpy/core/tests/test_a.py", "torch/include/a.h", "torch/test/a.so", "torch/bin/a")
    for name in (*keep, *drop):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    elsewhere = tmp_path / "srv/tests/other.py"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.touch()
    subprocess.run(["sh", str(DOCKERFILE.parent / "lean.sh"), str(tmp_path)], check=True)
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {elsewhere, *(packages / name for name in keep)}


def test_a_new_data_volume_is_for_its_owner_alone_and_stays_so() -> None:
    """Else each start of a container takes it from other users, and warns of it."""
    assert "install -d -o lookout -g lookout -m 700 /srv/data " in targets()["base"]
    (pods,) = (path.read_text() for path in K8S if path.name == "stage.yaml")
    assert "fsGroupChangePolicy: OnRootMismatch" in pods


def test_no_two_targets_repeat_an_instruction() -> None:
    lines = re.sub(r"^#.*\n|\\\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).splitlines()
    doing = [line for line in lines if line.startswith(("COPY", "RUN", "WORKDIR", "ENTRYPOINT"))]
    assert sorted(doing) == sorted(set(doing))


def test_no_file_names_a_stage_that_is_not_there() -> None:
    images = re.findall(r"image: lookout-(\w+)", COMPOSE.read_text())
    assert set(images) == {*NAMES, "camera"}
    deployments = {name for kind, name in objects() if kind == "Deployment"} - {"any"}
    assert deployments == {"lookout-bus", *(f"lookout-{name}" for name in NAMES)}
    budgets = {name for kind, name in objects() if kind == "PodDisruptionBudget"}
    assert budgets == {f"lookout-{name}" for name in NAMES} - {
        "lookout-alerting",
        "lookout-learning",
    }
    for path in (DOCKERFILE, COMPOSE, *sorted((ROOT / "k8s").rglob("*.yaml"))):
        checked = re.findall(r'"/srv/health.py", "(\w+)"', path.read_text())
        assert set(checked) <= set(NAMES), path
        targets_of = re.findall(r"--target (\w+)|target: (\w+)[,}\n]", path.read_text())
        named = {one for pair in targets_of for one in pair if one}
        assert named <= targets().keys(), path


PROFILES = {
    "scale": {"ingest-more", "inference-more"},
    "gpu": {"inference-gpu"},
    "demo": {"camera", "demo"},
}


def test_profiles_add_to_the_service_and_nothing_else_is_optional() -> None:
    found = {
        name: profile
        for name, text in services().items()
        for profile in re.findall(r"profiles: \[(\w+)\]", text)
    }
    assert found == {name: profile for profile, names in PROFILES.items() for name in names}


def test_a_gpu_is_asked_of_the_container_runtime_and_of_torch() -> None:
    gpu = services()["inference-gpu"]
    assert "devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]" in gpu
    assert "LOOKOUT_DEVICE: cuda" in gpu
    assert (
        "PIP_EXTRA_INDEX_URL" not in gpu.partition("build:")[2]
    )  # torch as it comes has CUDA's libraries


def composed() -> dict[str, dict[str, Any]]:
    """Each service of the compose file, with what it inherits."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def test_every_container_is_hardened_and_bounded() -> None:
    for name, service in composed().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
    added = {name: one["cap_add"] for name, one in composed().items() if "cap_add" in one}
    assert added.keys() == {"bus", "store"}


def test_the_servers_have_a_password_and_a_network_of_their_own() -> None:
    services = composed()
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["redis"] == {"internal": True}
    with_redis = {name for name, one in services.items() if "redis" in one["networks"]}
    workers = {"ingest-more", "inference-more", "inference-gpu"}
    assert with_redis == {"bus", "store", *NAMES, *workers}
    for name in ("bus", "store"):
        words = services[name]["command"]
        assert words[words.index("--requirepass") + 1] == "${REDIS_PASSWORD}"
        assert services[name]["networks"] == ["redis"]
    for name in with_redis - {"bus", "store"}:
        environment = services[name]["environment"]
        for role in ("bus", "store"):
            url = environment[f"LOOKOUT_{role.upper()}_URL"]
            assert url == f"redis://:${{REDIS_PASSWORD}}@{role}:6379"
        assert environment["LOOKOUT_SECRET_KEY"].startswith("${LOOKOUT_SECRET_KEY:?")


def test_the_command_at_the_top_makes_every_secret_that_is_asked_for(tmp_path: Path) -> None:
    text = COMPOSE.read_text()
    made = re.search(r"^#\s+(\(umask 077; .*)$", text, re.MULTILINE)
    assert made is not None
    assert made[1] in (ROOT / "docs" / "compose.md").read_text()
    subprocess.run(["sh", "-c", made[1]], cwd=tmp_path, check=True)
    env = tmp_path / ".env"
    assert env.stat().st_mode & 0o077 == 0
    secrets = dict(line.split("=") for line in env.read_text().splitlines())
    assert secrets.keys() == set(re.findall(r"\$\{(\w+):\?", text))
    assert len(set(secrets.values())) == len(secrets)
    grafana = composed()["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert grafana.startswith("${GRAFANA_PASSWORD:?")


def test_one_variable_names_the_index_of_torch() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))" in makefile
    assert 'TORCH_INDEX: "${TORCH_INDEX:-}"' in COMPOSE.read_text()
    assert '${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"}' in targets()["engine"]
    words = ["make", "-n", "setup", "VENV=/nowhere", "PYTHON=python3"]
    for more, expected in (([], "some 3 GB"), (["TORCH_INDEX=file:///x"], "torch from file:///x")):
        told = subprocess.run(
            [*words, *more], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert expected in told
        assert ("--extra-index-url file:///x" in told) is bool(more)
        assert told.index(expected) < told.index("pip install")


def test_the_unit_is_that_of_the_page_and_closes_what_it_writes() -> None:
    text = (ROOT / "deploy" / "systemd" / "lookout.service").read_text()
    assert f"```ini\n{text}```" in (ROOT / "docs" / "install.md").read_text()
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read_string(text)
    service = unit["Service"]
    assert service["UMask"] == "0077"
    assert int(service["LimitNOFILE"]) >= 65536
    fatal = {SettingsError.exit_code, UnprotectedError.exit_code, NoDeviceError.exit_code}
    assert {int(code) for code in service["RestartPreventExitStatus"].split()} == fatal


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With a program and a user that are here: systemd looks both up."""
    text = (ROOT / "deploy" / "systemd" / "lookout.service").read_text()
    here = text.replace("/opt/lookout/bin/lookout", sys.executable)
    here = here.replace("User=lookout", "User=daemon")
    unit = tmp_path / "lookout.service"

    def said(content: str) -> str:
        unit.write_text(content)
        words = ["systemd-analyze", "verify", "--man=no", str(unit)]
        return subprocess.run(words, check=False, capture_output=True, text=True).stderr

    assert said(here) == ""
    assert "Restrat" in said(here.replace("Restart=", "Restrat="))
