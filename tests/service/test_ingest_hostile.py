"""Servers that misbehave: each is given up in time, with a reason in plain words.

No other camera notices.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from lookout.models.media.decode import Picture
from lookout.service.core.errors import SourceLostError
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.protocol import DecoderMessage
from lookout.service.ingest.decoder.source import STALL_ADVICE, translate_errors
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.clips import write_clip
from tests.conftest import Urls, with_long_forms, with_wide_forms
from tests.hostile_rtsp import HONEST, PASSWORD, PICTURES, RtspClient, Script, hostile_server, sdp
from tests.ingest_line import Reader, camera, settings_for, start_decoder, working
from tests.waiting import wait_until

SHORT = {
    "connect_timeout_s": 2.0,
    "stall_timeout_s": 2.0,
    "retry_first_s": 5.0,
    "retry_most_s": 10.0,
}


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, urls.bus, urls.store, **SHORT)


# The servers


def says_nothing(client: RtspClient) -> None:
    client.hold()


def says_nothing_after_play(client: RtspClient) -> None:
    client.play(HONEST)
    client.hold()


def falls_silent(client: RtspClient) -> None:
    client.play(HONEST)
    client.show_all(PICTURES[:10], itertools.count(0, 0.1))
    client.hold()


def is_no_rtsp_server(client: RtspClient) -> None:
    client.request()
    client.say(b"220 smtp.example.org ESMTP\r\n" * 100)
    client.hold()


def sends_garbage_after_play(client: RtspClient) -> None:
    client.play(HONEST)
    while True:
        client.say(b"\0" + os.urandom(4096).replace(b"$", b"\0").replace(b"R", b"\0"))
        client.wait(0.02)


def sends_packets_of_garbage(client: RtspClient) -> None:
    client.play(HONEST)
    for index in itertools.count():
        client.packet(b"\x41" + os.urandom(300), 9000 * (index + 1))
        client.wait(0.05)


def never_sends_a_keyframe(client: RtspClient) -> None:
    client.play(HONEST)
    while True:
        client.show_all(PICTURES[1:10], itertools.count(0, 0.1), every_s=0.05)


def drips_its_answer(client: RtspClient) -> None:
    client.request()
    while True:
        client.say(b"R")
        client.wait(0.2)


def drips_a_packet(client: RtspClient) -> None:
    client.play(HONEST)
    client.show_all(PICTURES[:10], itertools.count(0, 0.1))
    client.say(struct.pack(">cBH", b"$", 0, 60_000))
    while True:
        client.say(b"\0")
        client.wait(0.2)


def has_a_codec_of_its_own(client: RtspClient) -> None:
    client.play(sdp(codec="X-OWN"))
    client.hold()


def has_only_sound(client: RtspClient) -> None:
    client.play(sdp(media="audio", codec="PCMU"))
    client.hold()


def has_only_data(client: RtspClient) -> None:
    client.play(sdp(media="application", codec="vnd.onvif.metadata"))
    client.hold()


def does_not_play_its_sound(client: RtspClient) -> None:
    """As GStreamer's server: nothing was set up, so there is nothing to play."""
    while True:
        request = client.request()
        if request.startswith("DESCRIBE"):
            client.answer(request, body=sdp(media="audio", codec="PCMA"))
        elif request.startswith("PLAY"):
            client.answer(request, status="454 Session Not Found")
        else:
            client.answer(request, "Public: DESCRIBE, SETUP, PLAY")


def redirects_for_ever(client: RtspClient) -> None:
    here = f"rtsp://admin:{PASSWORD}@127.0.0.1:{client.connection.getsockname()[1]}/x"
    client.answer(client.request(), f"Location: {here}", status="302 Moved")


def describes_itself_for_ever(client: RtspClient) -> None:
    client.answer(client.request())
    client.request()
    client.say(b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 50000000\r\n\r\n")
    while True:
        client.say(b"a=x:" + b"y" * 4000 + b"\r\n")
        client.wait(0.02)


def has_no_room(client: RtspClient) -> None:
    client.answer(client.request(), status="503 Service Unavailable")


def hangs_up(client: RtspClient) -> None:
    client.request()


EXPECTED: list[tuple[Script, str, str]] = [
    (says_nothing, "reconnecting", "no answer within 2 s"),
    (says_nothing_after_play, "stalled", f"silent for 2 s; {STALL_ADVICE}"),
    (falls_silent, "stalled", f"silent for 2 s; {STALL_ADVICE}"),
    (is_no_rtsp_server, "reconnecting", "the answer is no RTSP stream that can be read"),
    (sends_garbage_after_play, "stalled", f"silent for 2 s; {STALL_ADVICE}"),
    (
        sends_packets_of_garbage,
        "stalled",
        f"packets come, but no whole picture for 2 s; {STALL_ADVICE}",
    ),
    (
        never_sends_a_keyframe,
        "stalled",
        f"packets come, but no whole picture for 2 s; {STALL_ADVICE}",
    ),
    (drips_its_answer, "reconnecting", "no answer within 2 s"),
    (drips_a_packet, "stalled", f"silent for 2 s; {STALL_ADVICE}"),
    (
        has_a_codec_of_its_own,
        "failed",
        "its video is of a kind that cannot be decoded here (X-OWN)",
    ),
    (has_only_sound, "failed", "there is no video in it, only audio PCMU"),
    (has_only_data, "failed", "there is no video in it, only application vnd.onvif.metadata"),
    (does_not_play_its_sound, "failed", "there is no video in it, only audio PCMA"),
    (
        redirects_for_ever,
        "reconnecting",
        "the server redirects to another address, which is not followed: name that one instead",
    ),
    (describes_itself_for_ever, "reconnecting", "no answer within 2 s"),
    (has_no_room, "reconnecting", "the server has failed, or has too many viewers (a 5xx answer)"),
    (hangs_up, "reconnecting", "the server hung up without an answer"),
]


@pytest.mark.parametrize(
    ("_share", "hostile"),
    [
        *with_wide_forms([("quarter", EXPECTED[::4]), ("half", EXPECTED[::2])], {"quarter"}),
        *with_long_forms([("all", EXPECTED)], {}),
    ],
    ids=["quarter", "half", "all"],
)
def test_every_one_is_given_up_in_time_with_a_reason_and_the_good_camera_does_not_notice(
    settings: Settings,
    bus: Bus,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    _share: str,
    hostile: list[tuple[Script, str, str]],
) -> None:
    """All at once: 2 s for an answer, 2 s for a picture. None is tried a second time."""
    patient = settings.model_copy(update={"retry_first_s": 60.0, "retry_most_s": 60.0})
    clip = write_clip(settings.media_dir / "endless.mp4", range(600))
    expected = {script.__name__: (state, error) for script, state, error in hostile}
    found: dict[str, tuple[str, str | None]] = {}
    stalls: dict[str, int] = {}
    good = Reader(bus, "good")

    def all_given_up() -> bool:
        good.read()
        for name in expected.keys() - found.keys():
            report = bus.ingest_report(name)
            if report and report.retry_at:
                found[name], stalls[name] = (
                    (report.state, report.last_error),
                    report.stalls_last_hour,
                )
        return len(found) == len(expected)

    with contextlib.ExitStack() as stack:
        stack.enter_context(working(patient))
        store.add_camera(camera("good", clip, pace="realtime"))
        good.read_until(1)
        for script, _, _ in hostile:
            store.add_camera(camera(script.__name__, stack.enter_context(hostile_server(script))))
        wait_until(all_given_up, "every one is given up", limit_s=40)
    assert found == expected
    assert stalls == {name: int(state == "stalled") for name, (state, _) in expected.items()}
    assert good.misses_nothing
    assert PASSWORD not in caplog.text + str(found)


def sends_a_picture_without_end(client: RtspClient) -> None:
    client.play(HONEST)
    client.show_all(PICTURES[:10], itertools.count(0, 0.1))
    while True:
        client.packet(
            b"\x7c\x05" + bytes(60_000), 2_000_000, marker=False
        )  # the middle of a keyframe


@pytest.mark.long
def test_a_decoder_takes_no_more_memory_than_it_may(settings: Settings, bus: Bus) -> None:
    small, said, taken_mb = (
        settings.model_copy(update={"decoder_memory_mb": 64}),
        list[DecoderMessage](),
        list[int](),
    )
    with hostile_server(sends_a_picture_without_end) as url:
        decoder = start_decoder(bus, camera("a", url), small)
        process = psutil.Process(wait_until(lambda: decoder.pid, "its process"))

        def ended() -> bool:
            said.extend(decoder.read_messages())
            with contextlib.suppress(psutil.Error):
                if said:  # its libraries are loaded
                    taken_mb.append(process.memory_info().rss // 2**20)
            return decoder.exit_code() is not None

        try:
            wait_until(ended, "the decoder's end", every_s=0.01)
        finally:
            decoder.kill()
            decoder.close()
    assert said[-1].kind in ("stalled", "lost")
    assert max(taken_mb) - taken_mb[0] < 64 + 32


def test_a_stream_that_needs_more_memory_says_so(settings: Settings) -> None:
    class TooLarge:
        def __iter__(self) -> Iterator[Picture]:
            return self

        def __next__(self) -> Picture:
            raise MemoryError

    with pytest.raises(SourceLostError, match="more memory than a decoder may take"):
        list(translate_errors(TooLarge(), camera("a", "rtsp://h/1"), settings))
