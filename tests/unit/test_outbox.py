"""The outbox keeps what a restarted bus is sent again, and nothing that another owner recorded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.service.core.messages import FrameId, Gap
from lookout.service.inference.outbox import Outbox, last_id, new_part


def gap(first_seq: int, frames: int, session: int = 5) -> Gap:
    return Gap("gate", session, first_seq, frames, "takeover")


@pytest.mark.parametrize(
    ("recorded_id", "added"),
    [
        (None, [gap(10, 57)]),
        (FrameId(4, 900), [gap(10, 57)]),
        (FrameId(5, 9), [gap(10, 57)]),
        (FrameId(5, 53), [gap(54, 13)]),
        (FrameId(5, 66), []),
        (FrameId(6, 0), []),
    ],
)
def test_a_new_owners_gap_is_sent_and_restored_without_what_the_former_owner_recorded(
    recorded_id: FrameId | None, added: list[Gap]
) -> None:
    """The bus clips such a gap; an empty bus could not."""
    outbox = Outbox(FrameId(5, 9), recorded_id)
    outbox.add(gap(10, 57))
    assert list(outbox.unsent) == added
    if added:
        outbox.acknowledge()
    assert outbox.acked == added
    assert outbox.acked_id == max(FrameId(5, 66), recorded_id or FrameId(0, 0))


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 60))
def test_the_part_that_is_sent_holds_the_later_frames_and_no_other(
    first_seq: int, frames: int, recorded: int
) -> None:
    whole = gap(first_seq, frames)
    wanted = [seq for seq in range(first_seq, first_seq + frames) if seq > recorded]
    part = new_part(whole, FrameId(5, recorded))
    if part is None:
        assert wanted == []
    else:
        assert isinstance(part, Gap)
        assert list(range(part.first_seq, last_id(part).seq + 1)) == wanted
