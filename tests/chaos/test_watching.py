"""The observers see on real servers what the harness judges by."""

from __future__ import annotations

import time

from lookout.service.ownership.leases import Leases
from lookout.service.storage.redis.connect import connect
from tests.chaos.fleet import Member
from tests.chaos.takeovers import take_over
from tests.chaos.watching import BusWatch
from tests.conftest import Urls
from tests.waiting import wait_until

LEASE_S = 0.6


def test_a_take_over_is_seen_in_the_lease(urls: Urls) -> None:
    gate = Member("gate", "rtsp://127.0.0.1/clip", "rtsp", 0)
    with BusWatch(urls.bus.removeprefix("unix://")) as watch, connect(urls.bus) as client:
        watch.follow("gate")
        victim, heir = (
            Leases(client, "ingest", LEASE_S),
            Leases(client, "ingest", LEASE_S),
        )  # nobody renews
        assert victim.take("gate")
        wait_until(lambda: _token(watch) == victim.token("gate"), "the owner is seen")
        struck_at = time.time()
        assert take_over("ingest", watch.seen["gate"], gate, struck_at).owned_s is None
        wait_until(lambda: heir.take("gate"), "the lease is over")
        wait_until(lambda: _token(watch) == heir.token("gate"), "the next owner is seen")
    one = take_over("ingest", watch.seen["gate"], gate, struck_at)
    assert one.owned_s is not None
    assert 0 < one.owned_s < 2 * LEASE_S
    assert (one.resumed_s, one.ended) == (None, False)
    assert watch.seen["gate"].leases["inference"] == [
        (watch.seen["gate"].leases["inference"][0][0], None)
    ]


def _token(watch: BusWatch) -> str | None:
    return watch.seen["gate"].leases.get("ingest", [(0.0, None)])[-1][1]
