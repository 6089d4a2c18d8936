"""Numbers of frames, and who may write a camera's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from service.bus import Bus, connect
from service.errors import SourceLostError
from service.ingest.talk import Talk
from service.ingest.writer import Writer
from service.messages import Frame
from service.store import Store

PIXELS = np.zeros((4, 4, 3), np.uint8)


def writer_for(bus: Bus, store: Store, *, patient: bool = True) -> Writer:
    return Writer("a", bus, store, Talk(io.StringIO()), patient)


def test_frames_are_numbered_from_zero_in_each_session(bus: Bus, store: Store) -> None:
    writer = writer_for(bus, store)
    for _ in range(2):
        assert writer.begin(wait=True)
        for _ in range(3):
            writer.write(PIXELS, 1.0)
    ids = [frame.id for frame in bus.frames_after({"a": None}, 10)["a"]]
    assert [frame_id.seq for frame_id in ids] == [0, 1, 2, 0, 1, 2]
    assert ids == sorted(ids)


def test_a_frame_that_the_bus_took_without_saying_so_is_no_trouble(bus: Bus, store: Store) -> None:
    writer = writer_for(bus, store)
    writer.begin(wait=True)
    assert writer.next_id is not None
    bus.add_frame(Frame("a", *writer.next_id, 1.0, PIXELS))
    writer.write(PIXELS, 1.0)
    writer.write(PIXELS, 1.1)
    assert [frame.seq for frame in bus.frames_after({"a": None}, 10)["a"]] == [0, 1]


def test_a_decoder_that_was_replaced_writes_no_more(bus: Bus, store: Store) -> None:
    old, new = writer_for(bus, store), writer_for(bus, store)
    for writer in (old, new):
        writer.begin(wait=True)
    new.write(PIXELS, 1.0)
    with pytest.raises(SourceLostError, match="another decoder writes"):
        old.write(PIXELS, 1.0)


def test_without_a_bus_a_live_frame_is_dropped_and_its_number_is_missing(store: Store, tmp_path: Path) -> None:
    client = connect(f"unix://{tmp_path / 'nobody.sock'}")
    away = Bus(client, frames_kept=16, scores_kept=16, heats_kept=16)
    writer = writer_for(away, store, patient=False)
    writer.begin(wait=True)
    for _ in range(20):
        writer.write(PIXELS, 1.0)
    assert writer.talk.now.dropped == 20
    assert writer.next_id is not None
    assert writer.next_id.seq == 20


def test_without_a_store_a_live_camera_does_not_wait(bus: Bus, tmp_path: Path) -> None:
    writer = writer_for(bus, Store(connect(f"unix://{tmp_path / 'nobody.sock'}")), patient=False)
    assert not writer.begin(wait=False)
