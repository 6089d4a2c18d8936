"""A real Redis Cluster for a test: three nodes, no replicas, on free ports of this machine."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from lookout.service.storage.redis.server_binary import choose_server
from tests.service.api_server import free_port
from tests.waiting import wait_until

NODES, SLOTS = 3, 16384
BUS_OFFSET = 10_000  # of the port on which the nodes talk to one another


@dataclass
class Nodes:
    folder: Path
    ports: list[int] = field(default_factory=lambda: [_port() for _ in range(NODES)])
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.ports[0]}"

    def client(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, protocol=2, decode_responses=True)

    def start(self, port: int) -> None:
        """Start an empty node; its knowledge of the others stays in its folder."""
        home = self.folder / str(port)
        home.mkdir(exist_ok=True)
        words = [
            str(choose_server().path),
            "--port",
            str(port),
            "--dir",
            str(home),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        words += [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            "--logfile",
            str(home / "log"),
        ]
        self.processes[port] = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: _answers(self.client(port)), f"node {port} answers")

    def join(self) -> None:
        """Share the slots, and wait until every node knows of every other."""
        first, share = self.ports[0], SLOTS // NODES + 1
        for index, port in enumerate(self.ports):
            last = min(SLOTS, (index + 1) * share) - 1
            self._tell(port, "ADDSLOTS", *range(index * share, last + 1))
            self._tell(port, "SET-CONFIG-EPOCH", index + 1)
            self._tell(port, "MEET", "127.0.0.1", first)
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        wait_until(lambda: all(map(self._is_whole, self.ports)), "a whole cluster")

    def _is_whole(self, port: int) -> bool:
        info = self._tell(port, "INFO")
        return f"cluster_known_nodes:{NODES}" in info and "cluster_state:ok" in info

    def _tell(self, port: int, *words: str | int) -> str:
        client: Any = self.client(port)
        return str(client.execute_command("CLUSTER", *words))

    def of(self, camera: str) -> int:
        """Return the port of the node that has this camera's keys."""
        return self.ports[key_slot(camera.encode()) // (SLOTS // NODES + 1)]

    def restart(self, port: int) -> None:
        """Restart a node, which loses all its data."""
        self.processes[port].kill()
        self.processes[port].wait()
        self.start(port)
        self.wait_until_whole()


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Nodes]:
    nodes = Nodes(folder)
    try:
        for port in nodes.ports:
            nodes.start(port)
        nodes.join()
        yield nodes
    finally:
        for process in nodes.processes.values():
            process.kill()
            process.wait()


def _port() -> int:
    while (port := free_port()) + BUS_OFFSET >= 2**16:
        pass
    return port


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
