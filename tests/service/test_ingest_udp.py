"""Cameras over UDP: packets that get lost, or never get through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookout.models.media.clip_reader import read_clip
from lookout.models.media.decode import TORN
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.camera import Transport
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.protocol import EXIT_CODES
from lookout.service.storage.bus.bus import Bus
from tests.clips import number_in, write_clip
from tests.conftest import Urls, with_wide_forms
from tests.hostile_rtsp import HONEST, RtspClient, encoded, headers_of, hostile_server, sdp
from tests.ingest_line import SIDE_PX, Reader, camera, play, settings_for
from tests.rtsp import rtsp_server


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, urls.bus, urls.store, connect_timeout_s=2.0, stall_timeout_s=2.0)


@pytest.mark.rtsp
def test_a_real_server_over_udp_gives_the_same_pictures(
    settings: Settings, tmp_path: Path, bus: Bus
) -> None:
    """As over TCP, see test_ingest_rtsp.py; but the good-bye may overtake the last pictures."""
    clip = write_clip(tmp_path / "clip.mp4", range(30))
    reader = Reader(bus, "a")
    with rtsp_server(clip) as url:
        code, said = play(camera("a", url, transport="udp"), settings, reader)
    assert (code, said[-1].error) == (EXIT_CODES["lost"], "the stream ended")
    same = read_clip(clip, Preprocess(SIDE_PX, SIDE_PX))
    np.testing.assert_array_equal(
        np.stack([frame.pixels for frame in reader.frames[:24]]), same[:24]
    )


def test_a_camera_whose_udp_packets_do_not_get_through_is_told_of_tcp(
    settings: Settings, bus: Bus
) -> None:
    def behind_a_firewall(client: RtspClient) -> None:
        client.play(HONEST)
        client.hold()

    quick = settings.model_copy(update={"connect_timeout_s": 1.0, "stall_timeout_s": 1.0})
    with hostile_server(behind_a_firewall) as url:
        code, said = play(camera("a", url, transport="udp"), quick, Reader(bus, "a"))
    assert (code, said[-1].error) == (
        EXIT_CODES["lost"],
        "nothing came within 2 s over UDP; try transport tcp",
    )


@pytest.mark.parametrize(
    ("transport", "other"), with_wide_forms([("tcp", "udp"), ("udp", "tcp")], {"udp"})
)
def test_a_server_that_speaks_only_the_other_transport(
    settings: Settings, bus: Bus, transport: Transport, other: str
) -> None:
    def refuses(client: RtspClient) -> None:
        while True:
            request = client.request()
            refused = request.startswith("SETUP")
            body = HONEST if request.startswith("DESCRIBE") else ""
            client.answer(
                request, body=body, status="461 Unsupported Transport" if refused else "200 OK"
            )

    with hostile_server(refuses) as url:
        _, said = play(camera("a", url, transport=transport), settings, Reader(bus, "a"))
    assert (
        said[-1].error
        == f"the server does not send over {transport.upper()}; try transport {other}"
    )


def test_what_lost_packets_spoil_is_not_scored(settings: Settings, bus: Bus) -> None:
    """Up to the next keyframe pictures are made of what is missing, and libav marks few of them."""
    whole, part, units = 13, 30, encoded(range(60), slices=4)

    def loses(client: RtspClient) -> None:
        client.play(sdp(fmtp=headers_of(units[0])))
        for index, unit in enumerate(units):
            for nal in unit:
                last = nal is unit[-1]
                lost = index == whole or (index == part and last)
                client.packet(nal, 900_000 + 9000 * index, marker=last, lost=lost)
            client.wait(0.02)
        client.wait(0.5)

    reader = Reader(bus, "a")
    with hostile_server(loses) as url:
        _, said = play(camera("a", url, transport="udp"), settings, reader)
    shown = [number_in(frame.pixels) for frame in reader.frames]
    assert shown == [number for number in range(60) if number in shown], "each is what was filmed"
    assert not {*range(whole, 20), *range(part, 40)} & set(shown)
    assert {*range(whole - TORN), *range(20, part - TORN), *range(40, 56)} <= set(shown)
    assert said[-1].damaged == bus.counters("a")["corrupt"] >= 60 - len(shown) - 5
