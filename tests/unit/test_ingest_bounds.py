"""The frames kept on the bus: enough for a take-over, and no more than there is room for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.main import (
    LEAST_BACKLOG,
    MOST_KEPT,
    backlog_frames,
    frames_to_keep,
)
from lookout.service.ingest.decoder.resume import REPLAY_FRAMES


@pytest.mark.parametrize(
    ("fps", "frames"),
    [
        (10.0, 384),  # as set: 14 s of it and a window are fewer
        (25.0, 384),
        (60.0, 60 * (5 + 3 * 3) + REPLAY_FRAMES),
        (1000.0, MOST_KEPT),  # what a stream says of itself may be nonsense
    ],
)
def test_a_snapshot_interval_three_leases_and_a_window_are_kept(fps: float, frames: int) -> None:
    assert frames_to_keep(Settings(), fps) == frames


def test_longer_leases_and_rarer_snapshots_keep_more() -> None:
    assert (
        frames_to_keep(Settings(lease_s=10, snapshot_every_s=30), 10.0)
        == 10 * (30 + 3 * 10) + REPLAY_FRAMES
    )


@given(st.integers(1, 5000), st.integers(16, 5000))
def test_a_file_never_runs_so_far_ahead_that_a_replay_would_miss_frames(
    backlog: int, kept: int
) -> None:
    settings = Settings.model_construct(backlog_frames=backlog, frames_kept=kept)
    assert (
        backlog_frames(settings) + REPLAY_FRAMES <= kept
        or backlog_frames(settings) == LEAST_BACKLOG
    )
