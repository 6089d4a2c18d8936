"""The fixtures of all tests.

Real Redis servers, the real footage where it is there, and switches. The process that hands tests
to parallel workers reads this file first, and torch would take it seconds.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.store import Store

SHARED = Path(__file__).resolve().parents[2] / "shared"
ALL_EXAMPLES = 100  # of a property
EXAMPLES_A_FEW = 5  # of these make one in `make test`


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the long forms too")
    parser.addoption(
        "--compose", help="run docker-compose.yml by this command, for instance 'docker compose'"
    )
    parser.addoption(
        "--engine", default="docker", help="the command of its containers, for instance 'podman'"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Register the profiles `all` and, for `make test`, `few`; load `all`.

    An example may take its time: a busy machine is no failure.
    """
    hypothesis.settings.register_profile("all", deadline=None, max_examples=ALL_EXAMPLES)
    hypothesis.settings.register_profile(
        "few", deadline=None, max_examples=ALL_EXAMPLES // EXAMPLES_A_FEW
    )
    hypothesis.settings.load_profile("all")


def examples(count: int, **more: Any) -> hypothesis.settings:
    """Return the settings of a property that needs another number of examples than the others.

    `make test` tries a fifth of them.
    """
    if hypothesis.settings.get_current_profile_name() == "few":
        count = math.ceil(count / EXAMPLES_A_FEW)
    return hypothesis.settings(max_examples=count, **more)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = reasons_to_skip(config)
    for item in items:
        for marker in item.iter_markers():
            if marker.name in reasons:
                item.add_marker(pytest.mark.skip(reason=reasons[marker.name]))
                break


def reasons_to_skip(config: pytest.Config) -> dict[str, str]:
    """Return why tests with a marker cannot run, for each marker whose needs are not met."""
    there = {
        "slow": (bool(config.getoption("--slow")), "long form: run with --slow"),
        "containers": (
            bool(config.getoption("--compose")),
            "real containers: name --compose and --engine",
        ),
        "footage": ((SHARED / "data").is_dir(), "no real footage: ../shared/data is absent"),
        "rtsp": (
            _has_rtsp_server(),
            "no RTSP server: "
            "Debian packages gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-*",
        ),
        "browser": (
            _are_there("chromium", "chromedriver"),
            "no browser: Debian packages chromium chromium-driver",
        ),
        "prometheus": (
            _are_there("prometheus", "promtool"),
            "no Prometheus: Debian package prometheus",
        ),
        "broker": (
            _are_there("mosquitto", "mosquitto_passwd", "openssl"),
            "no MQTT broker: Debian packages mosquitto openssl",
        ),
        "ffprobe": (_are_there("ffprobe"), "no ffprobe: Debian package ffmpeg"),
        "proxy": (_are_there("nginx", "openssl"), "no proxy: Debian packages nginx-light openssl"),
    }
    return {marker: why for marker, (is_there, why) in there.items() if not is_there}


def _are_there(*programs: str) -> bool:
    return all(map(shutil.which, programs))


def _has_rtsp_server() -> bool:
    folders = Path("/usr/lib").glob("*/girepository-1.0/GstRtspServer-1.0.typelib")
    return any(folders) and Path("/usr/bin/python3").exists()


def with_long_forms(
    cases: Iterable[Any], short: Container[Any], mark: pytest.MarkDecorator = pytest.mark.long
) -> list[Any]:
    """Return cases for `parametrize`, of which `make test` runs those that `short` names.

    short: first values of cases. The others are long forms, or what `mark` says.
    """
    return [
        pytest.param(*values, marks=[] if values[0] in short else [mark])
        for values in (case if isinstance(case, tuple) else (case,) for case in cases)
    ]


def with_wide_forms(cases: Iterable[Any], short: Container[Any]) -> list[Any]:
    """Return the same with wide forms, which `make test-all` runs in parallel."""
    return with_long_forms(cases, short, pytest.mark.wide)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Restore the number of threads after each test: it decides the last bits of a sum."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Urls:
    bus: str
    store: str

    def emptied(self) -> Urls:
        """Return the same servers, emptied of other tests' data."""
        for url in (self.bus, self.store):
            with contextlib.closing(connect(url)) as client:
                client.flushall()
        return self


@pytest.fixture(scope="session")
def redis_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    """The two embedded servers, one pair for the whole run.

    Tests use `bus` and `store`, which start empty.
    """
    folder = tmp_path_factory.mktemp("redis")
    with RedisServer("bus", folder) as bus, RedisServer("store", folder) as store:
        yield Urls(bus.url, store.url)


@pytest.fixture
def urls(redis_urls: Urls) -> Urls:
    return redis_urls.emptied()


@pytest.fixture
def bus(urls: Urls) -> Iterator[Bus]:
    client = connect(urls.bus)
    yield Bus(client, frames_kept=256, scores_kept=1000, heats_kept=256)
    client.close()


@pytest.fixture
def store(urls: Urls) -> Iterator[Store]:
    client = connect(urls.store)
    yield Store(client)
    client.close()
