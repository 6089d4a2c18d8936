"""Numbers of frames, and who may write a camera's."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from lookout.service.core.clock import Moment
from lookout.service.core.errors import SourceLostError
from lookout.service.core.messages import Frame
from lookout.service.ingest.decoder.frame_writer import FrameWriter
from lookout.service.ingest.decoder.pacing import Capture
from lookout.service.ingest.decoder.reporter import Reporter
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import connect
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.ingest_line import camera
from tests.owning import add_frames, own
from tests.refusing import REFUSALS, LosesAnswers, Refusing, refusing_redis
from tests.waiting import wait_until

PIXELS = np.zeros((4, 4, 3), np.uint8)


def writer_for(bus: Bus, store: Store, *, patient: bool = True) -> FrameWriter:
    return FrameWriter(
        camera("a", "x"),
        own(bus, "a", "ingest"),
        bus,
        store,
        Reporter(io.StringIO()),
        patient,
        kept=256,
    )


def test_frames_are_numbered_from_zero_in_each_session(bus: Bus, store: Store) -> None:
    writer = writer_for(bus, store)
    for _ in range(2):
        assert writer.begin(wait=True)
        for _ in range(3):
            writer.write(PIXELS, Capture(Moment(1.0)))
    ids = [frame.id for frame in bus.frames_after({"a": None}, 10)["a"]]
    assert [frame_id.seq for frame_id in ids] == [0, 1, 2, 0, 1, 2]
    assert ids == sorted(ids)


def test_a_frame_that_the_bus_took_without_saying_so_is_no_trouble(bus: Bus, store: Store) -> None:
    writer = writer_for(bus, store)
    writer.begin(wait=True)
    assert writer.next_id is not None
    add_frames(bus, Frame("a", *writer.next_id, 1.0, PIXELS))
    writer.write(PIXELS, Capture(Moment(1.0)))
    writer.write(PIXELS, Capture(Moment(1.1)))
    assert [frame.seq for frame in bus.frames_after({"a": None}, 10)["a"]] == [0, 1]


def test_a_decoder_that_was_replaced_writes_no_more(bus: Bus, store: Store) -> None:
    old, new = writer_for(bus, store, patient=False), writer_for(bus, store, patient=False)
    for writer in (old, new):
        writer.begin(wait=True)
    new.write(PIXELS, Capture(Moment(1.0)))
    with pytest.raises(SourceLostError, match="another worker writes"):
        old.write(PIXELS, Capture(Moment(1.0)))


def test_without_a_bus_a_live_frame_is_dropped_and_its_number_is_missing(
    store: Store, tmp_path: Path
) -> None:
    client = connect(f"unix://{tmp_path / 'nobody.sock'}")
    away = Bus(client, frames_kept=16, scores_kept=16, heats_kept=16)
    writer = FrameWriter(
        camera("a", "x"), "token", away, store, Reporter(io.StringIO()), patient=False, kept=256
    )
    writer.begin(wait=True)
    for _ in range(20):
        writer.write(PIXELS, Capture(Moment(1.0)))
    assert (writer._skipped, writer._skipped_for) == (20, "bus_restart")
    assert writer.next_id is not None
    assert writer.next_id.seq == 20


def test_without_a_store_a_live_camera_does_not_wait(bus: Bus, tmp_path: Path) -> None:
    writer = writer_for(bus, Store(connect(f"unix://{tmp_path / 'nobody.sock'}")), patient=False)
    assert not writer.begin(wait=False)
    writer.count("dropped_store")
    assert bus.counters("a") == {
        "dropped_store": 1
    }  # by the bus, which is there: not when the store is back


def test_what_no_later_frame_can_tell_is_counted_all_the_same(bus: Bus, store: Store) -> None:
    writer = writer_for(bus, store, patient=False)
    for _ in range(2):  # a cut: the next frame is another session's
        assert writer.begin(wait=False)
        writer.write(PIXELS, Capture(Moment(1.0)))
        writer.skip("size")
        writer.skip("size")
    assert bus.counters("a")["dropped_size"] == 2
    writer.close()
    assert bus.counters("a")["dropped_size"] == 4


# A Redis that answers, and refuses


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[Refusing]:
    with refusing_redis(tmp_path) as server:
        yield server


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_bus_that_refuses_costs_a_live_camera_its_frames_and_the_next_one_says_so(
    refusing: Refusing, store: Store, kind: str
) -> None:
    with closing(connect(refusing.url)) as client:
        bus = Bus(client, frames_kept=16, scores_kept=16, heats_kept=16)
        writer = writer_for(bus, store, patient=False)
        assert writer.begin(wait=False)
        writer.write(PIXELS, Capture(Moment(1.0)))
        refusing.refuse(kind)
        for _ in range(3):
            writer.write(PIXELS, Capture(Moment(1.0)))
        refusing.mend()

        def goes_on() -> bool:
            writer.write(PIXELS, Capture(Moment(1.0)))
            return bus.counters("a")["frames"] > 1

        wait_until(goes_on, "it goes on")
        kept = bus.frames_after({"a": None}, 100)["a"]
        assert writer.next_id is not None
        assert sum(frame.skipped for frame in kept) == writer.next_id.seq - len(kept) >= 3
        assert {frame.skipped_for for frame in kept if frame.skipped} == {"bus_restart"}
        assert bus.counters("a")["frames"] == len(kept)


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_store_that_refuses_a_session_is_waited_for_by_a_file_alone(
    refusing: Refusing, bus: Bus, kind: str
) -> None:
    with closing(connect(refusing.url)) as client:
        refusing.refuse(kind)
        assert not writer_for(bus, Store(client), patient=False).begin(wait=False)
        writer = writer_for(bus, Store(client))
        began = list[bool]()
        waiting = threading.Thread(target=lambda: began.append(writer.begin(wait=True)))
        waiting.start()
        wait_until(lambda: writer._store_not_before_s > 0, "it has tried in vain")
        assert not began
        refusing.mend()
        waiting.join(10)
        assert began == [True]


def test_a_frame_whose_answer_was_lost_is_written_and_counted_once(
    urls: Urls, bus: Bus, store: Store, tmp_path: Path
) -> None:
    with LosesAnswers(urls.bus, tmp_path / "lossy.sock") as wire:
        through = Bus(wire.client(), frames_kept=16, scores_kept=16, heats_kept=16)
        writer = writer_for(through, store)
        writer.begin(wait=True)
        wire.lose_answer()
        for _ in range(3):
            writer.write(PIXELS, Capture(Moment(1.0)))
    assert wire.lost == 1
    assert [frame.seq for frame in bus.frames_after({"a": None}, 10)["a"]] == [0, 1, 2]
    assert bus.counters("a") == {"frames": 3}
