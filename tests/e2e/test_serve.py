"""`lookout serve` as a process.

Real signals, dead stages, and its messages when it cannot start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from lookout.service.core.messages import FrameId
from tests.clips import write_clip
from tests.conftest import with_long_forms, with_wide_forms
from tests.e2e.service_process import Service, SharedService, command, running_service, wait_until
from tests.tiny import write_tiny
from tests.unit.test_private_files import reachable, read_as_nobody

STOP_LIMIT_S = 10.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a tiny model, and a media folder with a clip of a minute."""
    folder = reachable(tmp_path_factory.mktemp("home") / "open")
    for name in ("models", "media", "tmp", "data/store"):
        (folder / name).mkdir(parents=True)
    write_tiny(folder / "models")
    write_clip(folder / "media" / "walk.mp4", range(600), size_px=(64, 48))
    return folder


@contextlib.contextmanager
def started(home: Path) -> Iterator[Service]:
    """Run the service with a file that an earlier version left open, and a proxy to avoid.

    Its temporary folder is empty.
    """
    old = home / "data" / "store" / "old.rdb"
    old.write_text("old")
    old.chmod(0o644)
    settings = {
        "models_dir": home / "models",
        "media_dir": home / "media",
        "precision": "fp32",
        "threads": 1,
        "alert_threshold": 0.02,  # so low that alerts open
        "alert_hysteresis": 0.01,
        "alert_min_duration_s": 0,
    }
    shutil.rmtree(home / "tmp")
    (home / "tmp").mkdir()
    with contextlib.ExitStack() as running:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(home / "tmp"))
            patch.setenv("http_proxy", "http://127.0.0.1:9")
            service = running.enter_context(running_service(home / "data", **settings))
        yield service


@pytest.fixture(scope="module")
def shared(home: Path) -> Iterator[SharedService]:
    service = SharedService(lambda: started(home))
    yield service
    service.end()


@pytest.fixture
def service(shared: SharedService) -> Service:
    return shared.running()


def tree(service: Service) -> list[psutil.Process]:
    main = psutil.Process(service.process.pid)
    return [main, *main.children(recursive=True)]


def stage(service: Service, name: str) -> psutil.Process | None:
    return next((p for p in tree(service) if words(p)[-2:] == ["lookout", name]), None)


def words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.ZombieProcess, psutil.NoSuchProcess):
        return []


def ready(service: Service) -> bool:
    try:
        return service.http.get(f"{service.address}/readyz").status_code == 200
    except httpx.TransportError:  # the API itself is the one being started
        return False


def scored(service: Service) -> int:
    return int(service.camera("walk")["scores"])


def watch_the_clip(service: Service, home: Path) -> None:
    """Add the camera, also where an earlier test has: as another, from the first frame on."""
    service.http.delete("/cameras/walk")
    service.add(id="walk", url=str(home / "media" / "walk.mp4"), calibration="model")
    wait_until(lambda: scored(service) > 3, "scores come")


def ctrl_c(service: Service) -> None:
    os.killpg(service.process.pid, signal.SIGINT)


def terminate(service: Service) -> None:
    service.process.terminate()


def close_the_terminal(service: Service) -> None:
    os.killpg(service.process.pid, signal.SIGHUP)


def test_ctrl_c_while_the_stages_start_prints_no_stack_trace(tmp_path: Path) -> None:
    """An interpreter that is just starting has no handler of its own."""
    with command(["serve", "--port", "0"], data_dir=tmp_path / "data") as (process, output):
        main = psutil.Process(process.pid)
        wait_until(
            lambda: any("lookout" in words(child) for child in main.children()),
            "the first stage is being started",
            every_s=0.005,
        )
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(STOP_LIMIT_S) == 0, output.lines
    assert [line for line in output.lines if "Traceback" in line or "Fatal" in line] == []


def test_ctrl_c_while_the_redis_server_is_chosen_is_no_failure(tmp_path: Path) -> None:
    """Ctrl-C reaches the server too, which ends before it has told its version."""
    binary = tmp_path / "redis-server"
    binary.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexec sleep 60\n")
    binary.chmod(0o755)
    words = ["serve", "--port", "0"]
    with command(words, data_dir=tmp_path / "data", redis_binary=binary) as (process, output):
        wait_until((tmp_path / "asked").exists, "the server is asked for its version")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(STOP_LIMIT_S) == 0, output.lines
    assert output.lines == []


@pytest.mark.parametrize(
    "name", with_long_forms(["ingest", "inference", "alerting", "api"], {"ingest"})
)
def test_a_dead_stage_is_started_again_and_scores_go_on(
    service: Service, home: Path, name: str
) -> None:
    watch_the_clip(service, home)
    old = stage(service, name)
    assert old is not None
    old.kill()
    wait_until(
        lambda: (new := stage(service, name)) is not None and new.pid != old.pid,
        "another is there",
    )
    wait_until(lambda: ready(service), "ready again", 30)
    before = scored(service)
    wait_until(lambda: scored(service) > before, "scores go on", 30)
    assert any(f"stage {name} ended (exit code -9)" in line for line in service.output.lines)


@pytest.mark.parametrize("role", with_long_forms(["bus", "store"], {"bus"}))
def test_a_dead_redis_is_started_again_and_scores_go_on(
    service: Service, home: Path, role: str
) -> None:
    watch_the_clip(service, home)
    server = next(p for p in tree(service) if any(f"lookout-{role}-" in word for word in words(p)))
    server.kill()
    wait_until(
        lambda: any(f"redis ({role}) ended" in line for line in service.output.lines),
        "it is noticed",
    )
    wait_until(lambda: ready(service), "ready again", 30)
    before = newest_id(service)
    wait_until(lambda: newest_id(service) not in ("", before), "scores go on", 30)
    assert service.camera("walk")["state"] == "online"
    assert not any("Traceback" in line for line in service.output.lines)


def newest_id(service: Service) -> str:
    answer = service.http.get("/cameras/walk/scores", params={"limit": 1})
    items = answer.json()["items"] if answer.status_code == 200 else []
    return str(items[0]["id"]) if items else ""


def alerts(service: Service) -> set[str]:
    items = service.http.get("/alerts", params={"camera": "walk", "kind": "anomaly"}).json()[
        "items"
    ]
    return {alert["id"] for alert in items}


def test_a_proxy_in_the_environment_is_not_asked_for_our_own_address(service: Service) -> None:
    assert psutil.Process(service.process.pid).environ()["http_proxy"] == "http://127.0.0.1:9"
    assert service.address.startswith("http://127.0.0.1:")


def test_another_user_reads_nothing_and_the_store_holds_no_password(
    service: Service, home: Path
) -> None:
    """Also what an earlier version left open."""
    service.add(id="gate", url="rtsp://admin:p4ssw0rd@127.0.0.1:1/x", calibration="model")
    service.wait_for_state("gate", "reconnecting", 30)
    data = home / "data"
    texts = []
    for path in data.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # of another camera's alert, done meanwhile
            if path.is_file() and path.name != "lock":
                texts.append(path.read_bytes())
    assert len(texts) >= 3  # store, key, old.rdb
    assert read_as_nobody(data) == ""
    assert not any(b"p4ssw0rd" in text for text in texts)
    assert any("by their owner alone" in line for line in service.output.lines)
    assert service.http.delete("/cameras/gate").status_code == 204


def end_cleanly(service: Service) -> None:
    """End it by Ctrl-C."""
    ctrl_c(service)
    assert service.process.wait(STOP_LIMIT_S) == 0


def kill_9(service: Service) -> None:
    """Kill the parent; its children must end by themselves."""
    processes = tree(service)
    service.process.kill()
    _, alive = psutil.wait_procs(processes, timeout=STOP_LIMIT_S)
    assert [process.as_dict(["cmdline"]) for process in alive] == []


@pytest.mark.parametrize("end", with_long_forms([end_cleanly, kill_9], {kill_9}))
def test_cameras_and_alerts_are_there_after_a_restart(
    shared: SharedService, home: Path, end: Callable[[Service], None]
) -> None:
    service = shared.running()
    watch_the_clip(service, home)
    wait_until(lambda: alerts(service), "an alert opens")
    session = wait_until(lambda: service.camera("walk")["session"], "ingest reports the session")
    reached = newest_id(service)
    before = alerts(service)
    end(service)
    service = shared.running()
    wait_until(lambda: scored(service) > 3, "the camera is watched again", 30)
    assert service.camera("walk")["session"] == session, "the file goes on where it was"
    assert FrameId.parse(newest_id(service)) > FrameId.parse(reached)
    assert before <= alerts(service)
    picture = service.http.get(f"/alerts/{min(before)}/picture")
    assert picture.headers["content-type"] == "image/jpeg"


def refused(expect: int, *words: str, **environment: object) -> str:
    """Run the command; it must end with one line on standard error."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("LOOKOUT_")}
    given = {f"LOOKOUT_{key.upper()}": str(value) for key, value in environment.items()}
    command = [sys.executable, "-P", "-m", "lookout", *words]
    done = subprocess.run(
        command, env=others | given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == expect, done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def test_a_data_folder_in_use_is_one_line(service: Service, home: Path) -> None:
    assert service.process.poll() is None
    assert "another Lookout" in refused(1, "serve", "--port", "0", data_dir=home / "data")


@pytest.mark.parametrize(
    "end", with_long_forms([ctrl_c, terminate, close_the_terminal], {terminate})
)
def test_a_signal_ends_every_process_in_time(
    service: Service, home: Path, end: Callable[[Service], None]
) -> None:
    watch_the_clip(service, home)
    processes = tree(service)
    assert len(processes) >= 1 + 2 + 5 + 1  # serve, two Redis, five stages, a decoder
    began = time.monotonic()
    end(service)
    assert service.process.wait(STOP_LIMIT_S) == 0
    _, alive = psutil.wait_procs(processes, timeout=STOP_LIMIT_S - (time.monotonic() - began))
    assert [process.as_dict(["cmdline"]) for process in alive] == []
    assert not any("Traceback" in line for line in service.output.lines)
    assert list((home / "tmp").iterdir()) == []  # no folder of a Redis socket is left


@pytest.mark.long  # the restart above is behind a kill -9 too
def test_kill_9_leaves_no_process_behind(service: Service, home: Path) -> None:
    watch_the_clip(service, home)
    kill_9(service)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refused(4, "serve", "--port", port, data_dir=tmp_path)
    assert port in line
    assert "--port" in line


@pytest.mark.parametrize(
    ("environment", "named"),
    with_wide_forms(
        [
            ({"precision": "fp64"}, "LOOKOUT_PRECISION"),
            ({"scores_kept": "many"}, "LOOKOUT_SCORES_KEPT"),
            ({"alert_threshold": "1.5"}, "LOOKOUT_ALERT_THRESHOLD"),
            ({"data_dir": "/proc/nothing"}, "/proc/nothing"),
        ],
        [{"precision": "fp64"}, {"data_dir": "/proc/nothing"}],
    ),
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    tmp_path: Path, environment: dict[str, str], named: str
) -> None:
    assert named in refused(2, "serve", "--port", "0", **({"data_dir": tmp_path} | environment))


def test_an_open_address_without_a_token_is_one_line_and_exit_code_3(tmp_path: Path) -> None:
    line = refused(3, "serve", "--host", "0.0.0.0", data_dir=tmp_path)  # noqa: S104
    assert "LOOKOUT_TOKEN" in line
    assert "openssl rand -hex 32" in line


@pytest.mark.parametrize(
    "name", with_wide_forms(["ingest", "inference", "alerting", "api"], {"inference"})
)
def test_a_stage_alone_needs_both_redis_urls(tmp_path: Path, name: str) -> None:
    assert "LOOKOUT_BUS_URL" in refused(2, name, data_dir=tmp_path)


@pytest.mark.wide
def test_a_gpu_that_is_not_there_ends_the_service_with_one_reason(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    urls = {"bus_url": "redis://127.0.0.1:1", "store_url": "redis://127.0.0.1:1"}
    assert "LOOKOUT_DEVICE" in refused(5, "inference", device="cuda", data_dir=tmp_path, **urls)
