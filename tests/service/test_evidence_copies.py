"""Copies of evidence in a bucket: a real server of S3 in a process of its own, which is killed."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from lookout.service.alerting import evidence_copies
from lookout.service.alerting.evidence_copies import EvidenceCopies, open_copies
from lookout.service.alerting.s3_bucket import S3Bucket
from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import Settings, load_settings
from lookout.service.core.sinks import EVIDENCE, SinkState
from lookout.service.ownership.leases import open_leases
from lookout.service.storage import clips
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.pictures import WHICH, drop_evidence, keep, picture_path
from lookout.service.storage.store.store import Store
from lookout.service.supervisor.supervisor import stage_spawner
from tests.conftest import Urls
from tests.receiver import receiver
from tests.service.api_server import Api, api, camera, free_port, one_api, settings_for
from tests.waiting import wait_until

__all__ = ["api", "one_api"]

BUCKET = "evidence"
KILLS = 4
SECRET = "the-secret-that-no-log-shows"  # noqa: S105


@dataclass(slots=True)
class S3Server:
    """moto's server of S3, which forgets everything when it ends."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Any:
        config = Config(retries={"total_max_attempts": 1})
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", config=config)

    def start(self) -> None:
        """Start it with an empty bucket."""
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "moto.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        wait_until(self.answers, f"the server listens, see {self.folder}/moto.log", 60.0)
        self.client.create_bucket(Bucket=BUCKET)

    def answers(self) -> bool:
        """Tell whether it takes requests."""
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "moto.log").read_text()
        try:
            return httpx.get(f"{self.url}/moto-api/", timeout=5).is_success
        except httpx.TransportError:
            return False

    def empty(self) -> None:
        """Forget every object."""
        httpx.post(f"{self.url}/moto-api/reset", timeout=5).raise_for_status()
        self.client.create_bucket(Bucket=BUCKET)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def has(self, least: int) -> bool:
        """Tell whether there are so many objects (at most 1000)."""
        count: int = self.client.list_objects_v2(Bucket=BUCKET)["KeyCount"]
        return count >= least

    def objects(self) -> dict[str, bytes]:
        """Return the content of every object by its name."""
        client = self.client
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        names = [row["Key"] for page in pages for row in page.get("Contents", [])]
        return {name: client.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}


@pytest.fixture(scope="module", autouse=True)
def credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "lookout")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(one_server: S3Server) -> S3Server:
    one_server.empty()
    return one_server


@pytest.fixture
def settings(urls: Urls, tmp_path: Path, server: S3Server) -> Settings:
    return settings_for(
        urls, tmp_path, evidence_bucket=BUCKET, evidence_s3_url=server.url, lease_s=0.5
    )


@pytest.fixture
def copies(settings: Settings, bus: Bus, store: Store) -> Iterator[EvidenceCopies]:
    """A worker that a test steps; its thread does not run."""
    with open_leases(settings, evidence_copies.LEASES) as leases:
        yield EvidenceCopies(settings, bus, store, leases, S3Bucket(settings))


def write(settings: Settings, seq: int, name: str = "gate") -> dict[str, bytes]:
    """Write the evidence of an alert as ingest and alerting do; return it by name in the bucket."""
    alert = f"{name}:1000-{seq}"
    written = {}
    for which in WHICH:
        path = picture_path(settings.data_dir, alert, which)
        keep(path, f"{which} of {alert}".encode())
        written[f"lookout/pictures/{name}/{path.name}"] = path.read_bytes()
    clip = clips.clip_path(settings.data_dir, alert)
    clips.keep_clip(clip, os.urandom(20_000))
    written[f"lookout/clips/{name}/{clip.name}"] = clip.read_bytes()
    return written


def test_pictures_and_clips_arrive_with_their_hash(
    settings: Settings, server: S3Server, copies: EvidenceCopies, bus: Bus, store: Store
) -> None:
    written = write(settings, 5) | write(settings, 6, "yard")
    copies.step()
    assert server.objects() == written
    for name, content in written.items():
        digest = hashlib.sha256(content).hexdigest()
        head = server.client.head_object(Bucket=BUCKET, Key=name)
        assert head["Metadata"] == {"sha256": digest}
        assert head["ContentType"] == ("video/mp4" if name.endswith("mp4") else "image/jpeg")
    (clip,) = [name for name in written if "clips/gate" in name]
    noted = clips.hash_path(settings.data_dir / clip.removeprefix("lookout/")).read_text()
    assert noted.split()[0] == hashlib.sha256(written[clip]).hexdigest()
    assert bus.counters("gate")["evidence_copied"] == 4
    assert set(store.evidence_copies("gate")) == {
        name.removeprefix("lookout/") for name in written if "/gate/" in name
    }


def test_what_is_new_arrives_by_itself_and_a_changed_picture_under_its_name(
    settings: Settings, server: S3Server, bus: Bus, store: Store
) -> None:
    with open_copies(settings, bus, store):
        written = write(settings, 5)
        wait_until(lambda: server.objects() == written, "the evidence arrives")
        peak = picture_path(settings.data_dir, "gate:1000-5", "peak")
        keep(peak, b"a higher peak")
        written[f"lookout/pictures/gate/{peak.name}"] = b"a higher peak"
        wait_until(lambda: server.objects() == written, "the new picture is in the old one's place")


def test_a_server_that_is_away_is_said_once_and_gets_what_is_left(
    settings: Settings,
    one_server: S3Server,
    copies: EvidenceCopies,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evidence_copies, "FIRST_WAIT_S", 0.0)
    caplog.set_level(logging.DEBUG, "lookout")
    write(settings, 5)
    copies.step()
    one_server.kill()
    try:
        left = write(settings, 6)
        copies.step()
        state = store.sink_states()[EVIDENCE]
        assert state.failing_since is not None
        assert "Could not connect" in state.last_error
        for _ in range(3):
            copies.step()
    finally:
        one_server.start()
    copies.step()
    assert one_server.objects() == left  # what it forgot is not sent again
    assert store.sink_states()[EVIDENCE].failing_since is None
    assert [text for text in caplog.messages if "evidence" in text] == [
        f"evidence is not copied to the bucket {BUCKET}: {state.last_error}",
        "evidence is copied to the bucket again",
    ]
    assert SECRET not in caplog.text


def test_what_was_removed_before_it_was_copied_is_counted_once(
    settings: Settings,
    server: S3Server,
    copies: EvidenceCopies,
    bus: Bus,
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.client.delete_bucket(Bucket=BUCKET)
    write(settings, 5)
    copies.step()
    assert "NoSuchBucket (404)" in store.sink_states()[EVIDENCE].last_error
    drop_evidence(settings.data_dir, "gate:1000-5")
    copies.start_over()  # as a worker that is killed, whose successor finds the files gone
    for _ in range(2):
        copies.step()
    assert bus.counters("gate")["evidence_lost"] == 4
    assert "4 pictures and clips were removed before they were copied" in caplog.text
    assert not store.evidence_copies("gate")
    assert store.sink_states()[EVIDENCE].failing_since is None  # nothing is left that could fail


def test_a_file_that_is_copied_may_go_and_leaves_nothing_behind(
    settings: Settings, server: S3Server, copies: EvidenceCopies, bus: Bus, store: Store
) -> None:
    written = write(settings, 5)
    copies.step()
    drop_evidence(settings.data_dir, "gate:1000-5")
    copies.step()
    assert not store.evidence_copies("gate")
    assert "evidence_lost" not in bus.counters("gate")
    assert server.objects() == written


@pytest.mark.wide
def test_a_backlog_goes_out_in_parts_the_newest_first(
    settings: Settings,
    server: S3Server,
    copies: EvidenceCopies,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evidence_copies, "MOST_WAITING", 8)
    monkeypatch.setattr(evidence_copies, "AT_ONCE", 4)
    written: dict[str, bytes] = {}
    for seq in range(6):
        written |= write(settings, seq)
        for name in written:
            path = settings.data_dir / name.removeprefix("lookout/")
            if f"-{seq}." in name:
                os.utime(path, (1000.0 + seq, 1000.0 + seq))
    copies.step()
    assert {name for name in written if "1000-5." in name} == server.objects().keys()
    for _ in range(5):
        copies.step()
    assert server.objects() == written


def test_a_file_that_is_refused_holds_up_no_other(
    urls: Urls, tmp_path: Path, bus: Bus, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with receiver() as bucket:
        url = f"http://127.0.0.1:{bucket.port}"
        settings = settings_for(urls, tmp_path, evidence_bucket=BUCKET, evidence_s3_url=url)
        bucket.statuses = [400, 200]
        keep(picture_path(tmp_path, "gate:1000-5"), b"refused")
        keep(picture_path(tmp_path, "gate:1000-5", "open"), b"taken")
        with open_leases(settings, evidence_copies.LEASES) as leases:
            one = EvidenceCopies(settings, bus, store, leases, S3Bucket(settings))
            for _ in range(2):
                one.step()
    assert len(bucket.requests) == 2
    assert "is refused, and tried again in an hour: 400 (400)" in caplog.text
    assert sorted(store.evidence_copies("gate").values())[0] == ""
    assert SECRET not in caplog.text + str([one.headers for one in bucket.requests])


@pytest.mark.wide
def test_one_worker_copies_and_another_goes_on(
    settings: Settings, server: S3Server, copies: EvidenceCopies, bus: Bus, store: Store
) -> None:
    with open_leases(settings, evidence_copies.LEASES) as leases:
        other = EvidenceCopies(settings, bus, store, leases, S3Bucket(settings))
        other.step()
        written = write(settings, 5)
        copies.step()
        assert not server.objects()
        other.step()
        assert server.objects() == written
    written |= write(settings, 6)
    copies.step()
    assert server.objects() == written


def test_without_the_extra_copies_fail_until_no_bucket_is_named(
    settings: Settings, bus: Bus, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    for _ in range(2):
        with open_copies(settings, bus, store):
            failing = store.sink_states()[EVIDENCE]
    assert failing.failing_since is not None
    assert "lookout[s3]" in failing.last_error
    with open_copies(settings.model_copy(update={"evidence_bucket": None}), bus, store):
        assert store.sink_states()[EVIDENCE] == SinkState()


def test_the_failing_is_a_metric(api: Api, store: Store) -> None:
    name = "lookout_evidence_failing_seconds"
    assert f"{name} 0.0" in api.http.get("/metrics").text
    store.save_sink_state(EVIDENCE, SinkState(time.time() - 90.0, "away"))
    (line,) = (x for x in api.http.get("/metrics").text.splitlines() if x.startswith(name))
    assert 90.0 <= float(line.split()[1]) < 150.0


@pytest.mark.wide
def test_kills_of_alerting_lose_nothing_and_double_nothing(
    settings: Settings, server: S3Server, store: Store
) -> None:
    store.add_camera(camera("gate"))
    given = {
        f"LOOKOUT_{name.upper()}": str(getattr(settings, name))
        for name in ("bus_url", "store_url", "data_dir", "evidence_bucket", "evidence_s3_url")
    }
    environment = {**os.environ, **given, "LOOKOUT_LEASE_S": "0.5"}
    written: dict[str, bytes] = {}
    log = settings.data_dir / "alerting.log"
    for kill in range(KILLS + 1):
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "lookout", "alerting"], env=environment, stderr=file
            )
        for seq in range(10):
            written |= write(settings, 10 * kill + seq)
        least = 40 * kill + 7  # the stage dies within the others
        if kill == KILLS:
            least = len(written)
        wait_until(partial(server.has, least), "the evidence arrives", 60)
        process.kill()
        process.wait(10)
    assert server.objects() == written
    assert SECRET not in log.read_text()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"evidence_bucket": "No Bucket"}, "small letters"),
        ({"evidence_s3_url": "ftp://minio.example"}, "http:// or https://"),
        ({"evidence_s3_url": "https://me:hunter2@minio.example"}, "AWS_ACCESS_KEY_ID"),
        ({"evidence_prefix": "../up/"}, "words such as"),
    ],
)
def test_settings_that_name_no_bucket_are_refused_without_a_secret(
    given: dict[str, str], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason) as refused:
        load_settings(**given)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(("stage", "has_them"), [("alerting", True), ("ingest", False)])
def test_alerting_alone_has_the_credentials(
    stage: str, has_them: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *_, env, **__: given.append(env))
    stage_spawner(stage, {"AWS_SECRET_ACCESS_KEY": SECRET, "PATH": "/bin"})()
    assert ("AWS_SECRET_ACCESS_KEY" in given[0]) == has_them
