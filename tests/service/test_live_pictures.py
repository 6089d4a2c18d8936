"""Live pictures: made by a decoder while somebody looks, and sent to those who do."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from pydantic import SecretStr
from selenium.webdriver import Chrome

from lookout.models.arrays import Pixels
from lookout.models.media.decode import Picture
from lookout.models.vision.overlay import jpeg
from lookout.service.api.live import picture_streams
from lookout.service.core.messages import IngestReport
from lookout.service.ingest.decoder.live_picture import LivePictureMaker, fitted
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.store import Store
from tests import ingest_line
from tests.clips import number_in, numbered, write_clip
from tests.conftest import Urls
from tests.e2e.browser import complaints
from tests.rtsp import rtsp_server
from tests.service.api_server import (
    BEARER,
    TOKEN,
    Api,
    camera,
    fresh_api,
    is_problem,
    log_in,
    report_online,
    running_api,
    settings_for,
    show,
    write_checkpoint,
)
from tests.service.page_browser import SESSION, chrome, one, page, text, violations
from tests.waiting import wait_until

__all__ = ["chrome", "fresh_api", "page"]

PATH = "/api/v1/cameras/gate/live.mjpeg"


def sent(answer: httpx.Response) -> Iterator[Pixels]:
    """Yield the pictures of a stream, decoded."""
    data = b""
    for chunk in answer.iter_bytes():
        data += chunk
        while (head_end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:head_end].decode()
            assert head.startswith("--picture\r\nContent-Type: image/jpeg\r\nContent-Length: ")
            end = head_end + 4 + int(head.rpartition(" ")[2])
            if len(data) < end + 2:
                break
            pixels = cv2.imdecode(np.frombuffer(data[head_end + 4 : end], np.uint8), 1)
            assert pixels is not None
            yield np.asarray(pixels[..., ::-1], np.uint8)
            data = data[end + 2 :]


@contextlib.contextmanager
def looking(api: Api, name: str = "gate") -> Iterator[Iterator[Pixels]]:
    with api.http.stream("GET", f"/api/v1/cameras/{name}/live.mjpeg") as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=picture"
        yield sent(answer)


def value_of(api: Api, metric: str) -> float:
    lines = api.http.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{metric} ")))


def viewers(api: Api) -> float:
    return value_of(api, "lookout_live_picture_viewers")


@pytest.fixture
def gate(fresh_api: Api, store: Store, bus: Bus) -> Api:
    """An API with one camera whose ingest reports."""
    store.add_camera(camera("gate"))
    report_online(bus, "gate")
    return fresh_api


# From the camera to the viewer


@pytest.mark.rtsp
def test_a_viewer_sees_the_camera_move_at_its_own_aspect(
    urls: Urls, bus: Bus, store: Store, tmp_path: Path
) -> None:
    settings = ingest_line.settings_for(tmp_path, urls.bus, urls.store)
    clip = write_clip(tmp_path / "clip.mp4", range(300), size_px=(320, 180))
    with (
        rtsp_server(clip) as url,
        ingest_line.working(settings),
        running_api(settings.model_copy(update={"port": 0})) as api,
    ):
        store.add_camera(ingest_line.camera("gate", url, fps=2.0))
        wait_until(lambda: bus.ingest_report("gate"), "a report")
        ingest_line.wait_for_state(bus, "gate", "online")
        assert bus.pictures_after({"gate": None}) == {}  # nobody looks
        began = time.monotonic()
        with looking(api) as pictures:
            found = [next(pictures) for _ in range(12)]
        seconds = time.monotonic() - began
        wait_until(lambda: not bus.pictures_asked("gate"), "that nobody asks", 10)
        wait_until(lambda: bus.pictures_after({"gate": None}) == {}, "no picture", 10)
    assert {pixels.shape for pixels in found} == {(180, 320, 3)}
    numbers = [number_in(pixels) for pixels in found]
    assert numbers == sorted(set(numbers))  # it moves, and faster than the two frames a second
    assert seconds < 12 / 2.0


def test_a_picture_is_720p_at_most_and_keeps_its_aspect() -> None:
    for width, height, shown in (
        (1920, 1080, (1280, 720)),
        (3840, 1080, (1280, 360)),
        (1080, 1920, (405, 720)),
        (640, 480, (640, 480)),
        (20000, 2, (1280, 1)),
    ):
        smaller = fitted(np.zeros((height, width, 3), np.uint8))
        assert smaller.shape == (shown[1], shown[0], 3)


def test_ten_pictures_a_second_are_made_of_sixty_and_none_while_nobody_looks(bus: Bus) -> None:
    now_s = 100.0
    made_at: list[float] = []

    def convert() -> Pixels:
        made_at.append(now_s)
        return numbered(len(made_at))

    def film(seconds: float) -> Iterator[Picture]:
        nonlocal now_s
        for _ in range(round(60 * seconds)):
            now_s += 1 / 60
            yield Picture(now_s, convert)

    with LivePictureMaker("gate", bus, lambda: now_s) as maker:

        def is_made() -> bool:
            list(maker.passed_on(film(1.0)))
            return bool(made_at)

        assert not is_made()
        bus.ask_pictures(["gate"])
        wait_until(is_made, "pictures")
        made_at.clear()
        bus.ask_pictures(["gate"])
        assert len(list(maker.passed_on(film(10.0)))) == 600  # scoring has every frame
        wait_until(lambda: bus.pictures_after({"gate": None}), "one on the bus")
    assert 90 <= len(made_at) <= 100
    assert min(later - earlier for earlier, later in itertools.pairwise(made_at)) >= 0.0999


# From the bus to the viewer


def test_everybody_who_looks_has_each_camera_of_its_own(gate: Api, store: Store, bus: Bus) -> None:
    store.add_camera(camera("yard"))
    report_online(bus, "yard")
    with looking(gate) as first, looking(gate) as second, looking(gate, "yard") as other:
        wait_until(lambda: bus.pictures_asked("gate") and bus.pictures_asked("yard"), "the asking")
        bus.show_picture("yard", jpeg(numbered(7)))
        assert number_in(next(other)) == 7
        for number in range(1, 4):
            bus.show_picture("gate", jpeg(numbered(number)))
            assert [number_in(next(viewer)) for viewer in (first, second)] == [number, number]
        assert viewers(gate) == 3
    wait_until(lambda: viewers(gate) == 0, "all to leave")


def test_a_viewer_that_does_not_read_gets_the_newest_and_the_rest_is_counted(
    gate: Api, bus: Bus
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
    big = jpeg(noise, 95)
    with socket.create_connection(("127.0.0.1", gate.port)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        wait_until(lambda: viewers(gate) == 1, "the viewer")

        def is_dropping() -> bool:
            bus.show_picture("gate", big)
            return value_of(gate, "lookout_live_pictures_dropped_total") > 3

        wait_until(is_dropping, "drops")
        with looking(gate) as pictures:  # another one does not wait for it
            assert next(pictures).shape == (720, 1280, 3)
    wait_until(lambda: viewers(gate) == 0, "both to leave")


def test_a_viewer_outlives_the_bus(gate: Api, bus: Bus, urls: Urls, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(picture_streams, "SILENT_S", 0.5)
    client = connect(urls.bus)
    with looking(gate) as pictures:
        bus.show_picture("gate", jpeg(numbered(1)))
        assert number_in(next(pictures)) == 1
        client.flushdb()  # a bus that was restarted
        client.set("looked_at:{gate}", "1")
        client.lpush("live:{gate}", "no stream")  # and one that holds something else
        wait_until(lambda: client.type("live:{gate}") == b"none", "the key to be mended")
        bus.show_picture("gate", jpeg(numbered(2)))
        assert 2 in (number_in(next(pictures)) for _ in range(20))
    client.close()


# Who may look


def test_a_camera_that_is_away_is_refused_with_the_reason(
    gate: Api, store: Store, bus: Bus
) -> None:
    assert "there is no camera" in is_problem(gate.get("/cameras/nowhere/live.mjpeg"), 404)
    bus.report_ingest("gate", IngestReport("reconnecting", time.time(), 1, "connection refused"))
    reason = is_problem(gate.get("/cameras/gate/live.mjpeg"), 404)
    assert "it is reconnecting (connection refused)" in reason
    store.add_camera(camera("new"))
    assert "no ingest worker" in is_problem(gate.get("/cameras/new/live.mjpeg"), 404)
    assert viewers(gate) == 0


def test_a_head_request_ends_and_one_viewer_too_many_is_refused(
    gate: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = gate.http.head(PATH)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("multipart/x-mixed-replace")
    monkeypatch.setattr(picture_streams, "MOST_VIEWERS", 1)
    with looking(gate):
        refused = gate.get("/cameras/gate/live.mjpeg")
        assert "as many as may be" in is_problem(refused, 503)
        assert refused.headers["Retry-After"]
    wait_until(lambda: viewers(gate) == 0, "room")
    with looking(gate):
        pass


def test_a_login_that_ends_ends_its_pictures(
    urls: Urls, tmp_path: Path, store: Store, bus: Bus
) -> None:
    settings = settings_for(urls, tmp_path, token=SecretStr(TOKEN))
    write_checkpoint(settings, "square")
    store.add_camera(camera("gate"))
    report_online(bus, "gate")
    with running_api(settings) as api:
        assert is_problem(api.get("/cameras/gate/live.mjpeg"), 401)
        cookie = log_in(api)
        with api.http.stream("GET", PATH, headers=cookie) as answer:
            pictures = sent(answer)
            bus.show_picture("gate", jpeg(numbered(1)))
            assert number_in(next(pictures)) == 1
            ended = httpx.delete(f"{api.http.base_url}/api/v1/logins", headers=BEARER)
            assert ended.status_code == 204

            def has_ended() -> bool:
                bus.show_picture("gate", jpeg(numbered(2)))
                return next(pictures, None) is None

            wait_until(has_ended, "the end")


# On the page


@pytest.mark.wide
@pytest.mark.browser
def test_the_page_shows_it_with_the_heatmap_as_a_layer(page: Chrome, bus: Bus) -> None:
    one(page, "#camera-gate .live").click()
    wait_until(lambda: bus.pictures_asked("gate"), "the asking")

    def size() -> object:
        bus.show_picture("gate", jpeg(numbered(1, 320, 180)))
        picture = one(page, "#camera-gate .live-picture")
        return picture.is_displayed() and picture.get_property("naturalWidth")

    wait_until(lambda: size() == 320, "the live picture")
    box = one(page, "#camera-gate .screen").rect
    assert box["width"] / box["height"] == pytest.approx(320 / 180, rel=0.02)
    show(bus, "gate", 60, 0.9, session=SESSION)
    wait_until(lambda: one(page, "#camera-gate .heat-layer").is_displayed(), "the layer")
    assert one(page, "#camera-gate .heat-layer").rect == box
    assert violations(page) == []
    one(page, "#camera-gate .heat").click()
    wait_until(lambda: not one(page, "#camera-gate .heat-layer").is_displayed(), "no layer")
    one(page, "#camera-gate .heat").click()
    one(page, "#camera-gate .live").click()
    wait_until(lambda: not bus.pictures_asked("gate"), "that nobody asks", 10)
    assert not one(page, "#camera-gate .live-picture").is_displayed()
    assert complaints(page) == []


@pytest.mark.browser
def test_the_page_says_why_there_is_no_live_picture(page: Chrome, bus: Bus) -> None:
    bus.report_ingest("gate", IngestReport("reconnecting", time.time(), 1, "no route to host"))
    one(page, "#camera-gate .live").click()
    wait_until(lambda: "it is reconnecting" in text(page, "#camera-gate .error"), "the reason")
    assert one(page, "#camera-gate .live").get_attribute("aria-pressed") == "false"
    assert complaints(page, "404") == []
