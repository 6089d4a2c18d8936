"""Kills of the receivers, beside alerting, bus and store: each alert is told once, or is a letter.

Scores are put on the bus as inference does; everything else is real: two alerting workers, a
webhook's receiver and mosquitto, each a process of its own, and both Redis servers. What should
have been told is read from the log in the store at the end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lookout.service.core.settings import Settings
from lookout.service.core.sinks import SinkRecord
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.store import Store
from tests.conftest import with_long_forms
from tests.mosquitto import Counter, Mosquitto, counting, mosquitto
from tests.service.api_server import camera, free_port, show
from tests.waiting import wait_until

pytestmark = pytest.mark.broker

CAMERAS = ("gate", "hall", "yard")
BURST = [0.2] * 3 + [0.9] * 10 + [0.1] * 25
"""Values of the scores that open and close one alert."""

BURST_EVERY_S = 0.3
LIMIT_S = 60.0
UNLIMITED = "max_inflight_messages 0\n"  # else the broker holds back what a kill loses


@dataclass(slots=True)
class Program:
    """A process that is killed and started again."""

    words: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.words, *more],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)


@dataclass(slots=True)
class Arena:
    """What runs, and what came."""

    servers: dict[str, RedisServer]
    bus: Bus
    store: Store
    workers: list[Program]
    hook: Program
    taken: Path  # one line for each event that the webhook's receiver took
    broker: Mosquitto
    counter: Counter
    rng: random.Random

    def logged(self) -> dict[str, tuple[str, str]]:
        """Return (event, alert) of each event to tell, by its id; of no camera more than kept."""
        found: dict[str, tuple[str, str]] = {}
        after = dict.fromkeys(self.store.alerted_cameras())
        for events in self.store.alert_events_after(after, 1000).values():
            assert len(events) < 1000
            for _, event in events:
                if event.event != "update":
                    found[event.id] = (event.event, event.alert.id)
        return found

    def hooked(self) -> list[tuple[str, tuple[str, str]]]:
        """Return id, event and alert of everything that the webhook's receiver took."""
        rows = [line.split(" ") for line in self.taken.read_text().splitlines()]
        return [(name, (event, alert)) for name, event, alert in rows]

    def letters(self) -> set[str]:
        """Return the ids of the events that the webhook's receiver refused."""
        return {letter.id for letter in self.store.letters("pager")}

    def wait_for_events(self, more: int) -> None:
        """Wait until so many more events are to be told."""
        least = len(self.logged()) + more
        wait_until(lambda: len(self.logged()) >= least, f"{more} more events", LIMIT_S)

    def wait_for_open_alert(self) -> None:
        """Wait until an alert is open: its end is not told yet."""
        wait_until(
            lambda: any(self.store.open_alerts(name) for name in CAMERAS),
            "an alert is open",
            LIMIT_S,
            every_s=0.002,
        )

    def hear_all(self) -> None:
        """Wait until the subscriber has what the broker has: else a kill of the broker loses it."""
        client = self.counter.client
        assert client is not None
        mark = f"mark/{uuid.uuid4().hex}"
        wait_until(client.is_connected, "the subscriber is there", LIMIT_S)
        client.publish(mark, b"x", qos=1)
        wait_until(lambda: mark in self.counter.kept, "everything before the mark came", LIMIT_S)

    # What is done to it

    def kill_alerting(self) -> None:
        worker = self.rng.choice(self.workers)
        worker.kill()
        worker.start()

    def freeze_alerting(self) -> None:
        """Have a worker stand still until the other one has taken over, and go on."""
        worker = self.rng.choice(self.workers)
        worker.send(signal.SIGSTOP)
        try:
            self.wait_for_events(2 * len(CAMERAS))
        finally:
            worker.send(signal.SIGCONT)

    def kill_hook(self) -> None:
        self.hook.kill()
        self.wait_for_events(2)
        self.hook.start("200")

    def have_hook_refuse(self) -> None:
        """Have the receiver refuse for good what comes, until there is a letter more."""
        before = self.letters()
        self.hook.kill()
        self.hook.start("410")
        wait_until(lambda: self.letters() - before, "a letter", LIMIT_S)
        self.hook.kill()
        self.hook.start("200")

    def kill_broker(self) -> None:
        self.hear_all()
        self.broker.kill()
        self.wait_for_events(2)
        self.broker.start()
        self.hear_all()

    def kill_bus(self) -> None:
        self.restart("bus")

    def kill_store(self) -> None:
        self.restart("store")

    def restart(self, role: str) -> None:
        server = self.servers[role]
        assert server.process is not None
        server.process.kill()
        server.process.wait(10)
        server.start()


FAULTS: dict[str, Callable[[Arena], None]] = {
    "kill alerting": Arena.kill_alerting,
    "freeze alerting": Arena.freeze_alerting,
    "kill webhook": Arena.kill_hook,
    "webhook refuses": Arena.have_hook_refuse,
    "kill broker": Arena.kill_broker,
    "kill bus": Arena.kill_bus,
    "kill store": Arena.kill_store,
}


def make_alerts(bus: Bus, stop: threading.Event) -> None:
    """Write scores that open and close alerts at each camera in turn, whatever the bus does."""
    for number in itertools.count():
        name = CAMERAS[number % len(CAMERAS)]
        first = number // len(CAMERAS) * len(BURST)
        for seq, value in enumerate(BURST, first):
            with contextlib.suppress(*UNAVAILABLE, ValueError):  # its lease went with the bus
                show(bus, name, seq, value)
        if stop.wait(BURST_EVERY_S):
            return


@contextlib.contextmanager
def making_alerts(bus: Bus) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=make_alerts, args=(bus, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


@contextlib.contextmanager
def open_arena(folder: Path, seed: int) -> Iterator[Arena]:
    """Start everything, with a sink of each kind."""
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        servers = {
            role: stack.enter_context(RedisServer(role, folder / "data"))
            for role in ("bus", "store")
        }
        settings = Settings(bus_url=servers["bus"].url, store_url=servers["store"].url)
        bus = open_bus(settings)
        store = open_store(settings)
        broker = stack.enter_context(mosquitto(folder / "broker", UNLIMITED))
        counter = stack.enter_context(counting(broker))
        port, taken = free_port(), folder / "taken"
        hook = Program(["tests.receiver", str(port), str(taken)], folder / "hook.log")
        environment = {
            "LOOKOUT_BUS_URL": servers["bus"].url,
            "LOOKOUT_STORE_URL": servers["store"].url,
            "LOOKOUT_DATA_DIR": str(folder / "data"),
            "LOOKOUT_LEASE_S": "1",
            "LOOKOUT_WEBHOOK_NETWORKS": "127.0.0.0/8",
        }
        workers = [
            Program(["lookout", "alerting"], folder / f"alerting{number}.log", environment)
            for number in range(2)
        ]
        for program in (hook, *workers):
            stack.callback(program.kill)
        for name in CAMERAS:
            store.add_camera(camera(name))
        for sink in (
            {"id": "pager", "url": f"http://127.0.0.1:{port}/hook"},
            {"id": "home", "kind": "mqtt", "url": broker.url},
        ):
            store.add_sink(SinkRecord.model_validate({**sink, "created_at": 1.0}))
            store.begin_delivery(sink["id"])
        hook.start("200")
        for worker in workers:
            worker.start()
        arena = Arena(
            servers, bus, store, workers, hook, taken, broker, counter, random.Random(seed)
        )
        wait_until(taken.exists, "the receiver is there", LIMIT_S)
        with making_alerts(open_bus(settings)):
            arena.wait_for_events(len(CAMERAS))
            yield arena


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rounds", with_long_forms([1, 8], [1], pytest.mark.long))
@pytest.mark.wide
def test_each_alert_is_told_once_or_is_a_letter(rounds: int, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        arena = stack.enter_context(open_arena(tmp_path / "arena", seed=rounds))
        for _ in range(rounds):
            for kind in arena.rng.sample(sorted(FAULTS), len(FAULTS)):
                arena.wait_for_events(2)
                arena.wait_for_open_alert()
                FAULTS[kind](arena)
        arena.wait_for_events(2 * len(CAMERAS))
        check(arena)


def check(arena: Arena) -> None:
    """Recount everything that was to be told up to now."""
    logged = arena.logged()
    told = Tally(logged.values())
    assert set(told.values()) == {1}, "one event each of opening and closing"
    assert {alert for event, alert in told if event == "end"} <= {
        alert for event, alert in told if event == "new"
    }
    wait_until(
        lambda: logged.keys() <= dict(arena.hooked()).keys() | arena.letters(),
        "the webhook has each, or it is a letter",
        LIMIT_S,
    )
    wait_until(lambda: logged.keys() <= set(arena.counter.ids), "the broker has each", LIMIT_S)
    letters = arena.letters()
    assert letters
    arena.store.send_letters_again("pager")
    wait_until(lambda: not arena.letters() & letters, "the letters are sent again", LIMIT_S)
    hooked = arena.hooked()
    of_broker = [
        (body["id"], (body["event"], body["alert"]["id"])) for _, body in arena.counter.messages
    ]
    for name, came in (("webhook", hooked), ("broker", of_broker)):
        for row, told_as in came:  # the same under its id, however often it came
            if row in logged:
                assert told_as == logged[row], f"{name}: {row}"
        assert logged.keys() <= dict(came).keys(), name
        twice = len(came) - len(dict(came))
        print(f"{name}: {len(logged)} events, {twice} came again under their id")
    print(f"{len(letters)} letters, sent again")
