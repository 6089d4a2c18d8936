"""A Redis Cluster in the place of one server: `redis+cluster://HOST:PORT`, or `rediss+cluster://`, of any of its nodes.

Every key of a camera has the camera as its hash tag, and no command spans two cameras' keys (keys.py).
"""

from __future__ import annotations

import threading
from typing import Any, cast

import redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

MARK = "+cluster"
FAILURES = (redis.RedisError, RedisClusterException)
"""What any command may raise; the cluster's own exception is no RedisError."""


class Cluster:
    """redis-py's client of a cluster; as the one of a single server does, it connects with its first command."""

    def __init__(self, url: str, **options: Any) -> None:
        self.connection_pool = redis.ConnectionPool.from_url(
            url, **options
        )  # tells where the named node is, no more
        self._url = url
        self._options = options
        self._mutex = threading.Lock()
        self._client: RedisCluster | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connected(), name)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def name(self) -> bytes:
        """Another one as soon as any of its nodes was started anew, or replaced by its replica."""
        found = cast(
            dict[str, dict[str, str]], self.info("server", target_nodes=RedisCluster.PRIMARIES)
        )
        return ",".join(sorted(info["run_id"] for info in found.values())).encode()

    def _connected(self) -> RedisCluster:
        with self._mutex:
            if self._client is None:
                self._client = _open(self._url, self._options)
            return self._client


def _open(url: str, options: dict[str, Any]) -> RedisCluster:
    try:
        return RedisCluster.from_url(url, **options)
    except RedisClusterException as error:  # of the last node that was tried
        if isinstance(error.__cause__, redis.RedisError):
            raise error.__cause__ from None
        raise
