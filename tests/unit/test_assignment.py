"""Cameras are shared by load: none stays without an owner, none goes back and forth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lookout.service.core.camera import Camera, Pace
from lookout.service.ownership.assignment import (
    FAST_FPS,
    USUAL_FPS,
    camera_to_give,
    cameras_to_take,
    load_of,
)
from tests.conftest import examples

Shares = list[dict[str, float]]


def camera(url: str, pace: Pace = "realtime", fps: float | None = None) -> Camera:
    return Camera(
        id="a",
        url=url,
        model="m",
        fps=fps,
        pace=pace,
        calibration="learn",
        enabled=True,
        created_at=0.0,
        revision=1,
    )


def test_a_cameras_load_is_its_frame_rate_as_far_as_it_is_known() -> None:
    assert load_of(camera("rtsp://x", fps=4.0)) == 4.0
    assert load_of(camera("rtsp://x")) == USUAL_FPS
    assert load_of(camera("rtsp://x", pace="fast")) == USUAL_FPS
    assert load_of(camera("/x.mp4", pace="fast")) == FAST_FPS


def test_a_worker_alone_takes_everything() -> None:
    free = {"a": 10.0, "b": 25.0, "c": 5.0}
    assert sorted(cameras_to_take({}, free, {}, 40.0)) == ["a", "b", "c"]


def test_a_worker_that_joins_is_given_its_share() -> None:
    mine = dict.fromkeys("abcd", 10.0)
    assert camera_to_give(mine, {"new": 0.0}, 40.0) == "a"
    assert camera_to_give({"a": 10.0, "b": 10.0}, {"new": 20.0}, 40.0) is None


def test_nothing_is_given_for_half_a_camera() -> None:
    assert camera_to_give({"a": 10.0, "b": 10.0}, {"new": 10.0}, 30.0) is None


def settled(shares: Shares, free: dict[str, float], rounds: int) -> int:
    """Let the workers look around in turn; return the number of rounds until nothing moves."""
    total = sum(free.values()) + sum(sum(mine.values()) for mine in shares)
    for number in range(rounds):
        moved = False
        for me, mine in enumerate(shares):
            others = {str(i): sum(share.values()) for i, share in enumerate(shares) if i != me}
            for name in cameras_to_take(mine, free, others, total):
                mine[name], moved = free.pop(name), True
            given_up = camera_to_give(mine, others, total)
            if given_up is not None:
                free[given_up], moved = mine.pop(given_up), True
        if not moved:
            return number
    return rounds


@examples(300)
@given(st.lists(st.integers(1, 60), max_size=24), st.integers(1, 5), st.integers(0, 4))
def test_cameras_come_to_rest_with_every_worker_near_its_share(
    loads: list[int], workers: int, joined: int
) -> None:
    weights = {f"c{i}": float(load) for i, load in enumerate(loads)}
    shares: Shares = [{} for _ in range(workers)]
    free = dict(weights)
    assert settled(shares, free, 60) < 60
    shares += [{} for _ in range(joined)]
    assert settled(shares, free, 200) < 200
    assert free == {}
    fair = sum(weights.values()) / len(shares)
    heaviest = max(weights.values(), default=0.0)
    assert all(sum(mine.values()) <= fair + heaviest for mine in shares)
    assert sorted(name for mine in shares for name in mine) == sorted(weights)
