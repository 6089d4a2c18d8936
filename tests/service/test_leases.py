"""A camera has one owner at a time, whatever dies, stops or restarts. Against real Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from lookout.service.ownership.leases import RENEWALS, Leases
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import connect
from tests.conftest import Urls, examples
from tests.waiting import wait_until

LONG_S, SHORT_S = 60.0, 0.5


@pytest.fixture
def client(urls: Urls) -> Iterator[redis.Redis]:
    made = connect(urls.bus)
    yield made
    made.close()


@pytest.fixture
def worker(client: redis.Redis) -> Callable[[], Leases]:
    """A worker whose renewals come only when it is asked to `check`."""
    return lambda: Leases(client, "inference", LONG_S)


def run_out(client: redis.Redis, camera: str) -> None:
    client.delete(keys.lease("inference", camera))


def lose_everything(client: redis.Redis) -> None:
    client.flushall()


def test_a_camera_has_one_owner_and_is_free_when_it_is_given_back(
    worker: Callable[[], Leases],
) -> None:
    one, two = worker(), worker()
    assert one.take("a")
    assert not two.take("a")
    assert one.token("a")
    assert not two.token("a")
    assert two.taken(["a", "b"]) == {"a"}
    one.release("a")
    assert two.take("a")
    assert (one.owned(), two.owned()) == (set(), {"a"})


def test_stages_do_not_meet(client: redis.Redis) -> None:
    assert Leases(client, "ingest", LONG_S).take("a")
    assert Leases(client, "inference", LONG_S).take("a")


def test_a_lease_is_renewed_for_as_long_as_its_worker_works(client: redis.Redis) -> None:
    with Leases(client, "inference", SHORT_S) as one:
        one.take("a")
        token = one.token("a")
        seen = set[int]()

        def renewed_often() -> bool:
            seen.add(client.pttl(keys.lease("inference", "a")))
            return len({left // 50 for left in seen}) > 3 and one.renew("a") == "held"

        wait_until(lambda: renewed_often() and min(seen) > 0, "it is renewed")
        assert client.get(keys.lease("inference", "a")) == token.encode()
    assert not client.exists(keys.lease("inference", "a"))


def test_who_was_stopped_for_longer_than_its_lease_has_lost_it_to_another(
    client: redis.Redis, worker: Callable[[], Leases]
) -> None:
    stopped, other = worker(), worker()
    stopped.take("a")
    run_out(client, "a")
    assert other.take("a")
    assert stopped.renew("a") == "lost"
    assert stopped.poll() == ({"a"}, False)
    assert not stopped.token("a")
    assert other.renew("a") == "held"


def test_what_another_had_in_between_is_not_taken_back(
    client: redis.Redis, worker: Callable[[], Leases]
) -> None:
    """The lease is free again, but the worker's knowledge of it is old."""
    stopped, other = worker(), worker()
    stopped.take("a")
    run_out(client, "a")
    other.take("a")
    other.release("a")
    assert stopped.renew("a") == "lost"
    assert stopped.take("a")
    assert stopped.poll() == (set(), False)


def test_who_was_stopped_and_missed_by_nobody_goes_on(
    client: redis.Redis, worker: Callable[[], Leases]
) -> None:
    stopped = worker()
    stopped.take("a")
    token = stopped.token("a")
    run_out(client, "a")
    assert stopped.renew("a") == "regained"
    assert stopped.token("a") == token
    assert stopped.poll() == (set(), False)


def test_after_a_restart_of_the_bus_every_camera_stays_where_it_was(
    client: redis.Redis, worker: Callable[[], Leases]
) -> None:
    one, two = worker(), worker()
    for leases in (one, two):
        leases.poll()
    one.take("a")
    lose_everything(client)
    assert two.poll() == (set(), True)
    assert not two.take("a"), "those who had a camera come first"
    assert one.renew("a") == "regained"
    assert not two.take("a")


class MeetsAtOwner(redis.Redis):
    """A client whose threads wait for each other, for a moment, at their first look at an owner."""

    barrier: threading.Barrier
    waited: threading.local

    def get(self, name: Any) -> Any:
        if name == keys.owner("inference", "a") and not hasattr(self.waited, "once"):
            self.waited.once = True
            with suppress(threading.BrokenBarrierError):
                self.barrier.wait(0.3)
        return super().get(name)


@pytest.mark.parametrize("named_again", [False, True])
def test_on_a_bus_that_was_emptied_since_the_last_look_no_camera_is_free(
    client: redis.Redis, worker: Callable[[], Leases], named_again: bool
) -> None:
    """Nor is it taken and given back: its owner would find it lost."""
    owner, other = worker(), worker()
    owner.poll()
    other.poll()
    assert owner.take("a")
    lose_everything(client)
    if named_again:
        owner.poll()
    assert not other.take("a")
    assert not client.exists(keys.lease("inference", "a"))
    assert owner.renew("a") == "regained"
    assert other.poll().bus_restarted
    assert not other.take("b"), "before the life of a lease is over"


def test_worker_and_renewing_thread_may_both_take_a_lease_back(urls: Urls) -> None:
    """The second of the two must not give up what the first has regained."""
    client = MeetsAtOwner(unix_socket_path=urls.bus.removeprefix("unix://"), protocol=2)
    client.barrier = threading.Barrier(2)
    client.waited = threading.local()
    one = Leases(client, "inference", LONG_S)
    one.take("a")
    token = one.token("a")
    client.flushall()
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(one.renew("a"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["regained", "regained"]
    assert (one.owned(), one.token("a")) == ({"a"}, token)
    assert client.get(keys.lease("inference", "a")) == token.encode()
    assert one.poll().lost == set()
    client.close()


def test_a_new_bus_is_soon_open_to_all(client: redis.Redis) -> None:
    one = Leases(client, "inference", SHORT_S)
    one.poll()
    lose_everything(client)
    one.poll()
    assert not one.take("a")
    wait_until(lambda: one.take("a"), "it may be taken by anybody now")


def test_a_worker_whose_work_is_stuck_loses_its_cameras(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookout.service.ownership.leases.STUCK_AFTER_S", 0.2)
    with Leases(client, "inference", SHORT_S) as stuck:
        stuck.take("a")
        other = Leases(client, "inference", LONG_S)
        wait_until(lambda: other.take("a"), "another takes it")


def test_a_bus_that_is_away_keeps_nobody_from_stopping(worker: Callable[[], Leases]) -> None:
    nowhere = redis.Redis(unix_socket_path="/nowhere/redis.sock")
    with Leases(nowhere, "inference", SHORT_S) as leases:
        with pytest.raises(redis.RedisError):
            leases.take("a")
        assert leases.owned() == set()


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "check", "release", "run_out", "bus"]), st.integers(0, 2)),
    max_size=30,
)


@examples(150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_nobody_goes_on_with_a_camera_that_another_had_since(
    client: redis.Redis, steps: list[tuple[str, int]]
) -> None:
    """Three workers, one camera; leases run out and the bus is started anew at any time."""
    client.flushall()
    with ExitStack():
        workers = [Leases(client, "inference", LONG_S) for _ in range(3)]
        last: Leases | None = None  # who took it last
        restarted = False  # since then
        for what, index in steps:
            one = workers[index]
            if what == "take" and not one.owned() and one.take("a"):
                last, restarted = one, False
            elif what == "check" and one.owned():
                standing = one.renew("a")
                assert standing == "lost" or one is last or restarted
                last = one if standing == "regained" else last
            elif what == "release":
                one.release("a")
            elif what == "run_out":
                run_out(client, "a")
            elif what == "bus":
                lose_everything(client)
                restarted = True
            holders = [
                one
                for one in workers
                if one.token("a").encode() == client.get(keys.lease("inference", "a"))
            ]
            assert len(holders) <= 1


def test_renewals_leave_room_for_two_that_fail() -> None:
    assert RENEWALS >= 3
