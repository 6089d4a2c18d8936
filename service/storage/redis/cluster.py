"""A Redis Cluster in place of one server: `redis+cluster://HOST:PORT` of any of its nodes.

`rediss+cluster://` is the same over TLS. Every key of a camera has the camera as its hash tag, and
no command spans two cameras' keys (keys.py).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

MARK = "+cluster"


class Cluster:
    """redis-py's cluster client, which connects with its first command as the plain client does."""

    def __init__(self, url: str, **options: Any) -> None:
        # The pool gives the address of the named node; no command goes through it.
        self.connection_pool = redis.ConnectionPool.from_url(url, **options)
        self._url = url
        self._options = options
        self._mutex = threading.Lock()
        self._client: RedisCluster | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connected(), name)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def run_ids(self) -> bytes:
        """Return a name that changes as soon as any node restarts or a replica replaces it."""
        nodes = cast(
            dict[str, dict[str, str]], self.info("server", target_nodes=RedisCluster.PRIMARIES)
        )
        return ",".join(sorted(info["run_id"] for info in nodes.values())).encode()

    def _connected(self) -> RedisCluster:
        with self._mutex:
            if self._client is None:
                try:
                    self._client = RedisCluster.from_url(self._url, **self._options)
                except RedisClusterException as error:  # of the last node that was tried
                    if isinstance(error.__cause__, redis.RedisError):
                        raise error.__cause__ from None
                    raise
            return self._client


def get_many(client: redis.Redis, names: Sequence[str]) -> list[bytes | None]:
    """Return the values of many keys, in their order: one MGET, or one a slot of a Cluster."""
    if not names:
        return []
    if isinstance(client, Cluster):
        return cast(list[bytes | None], client.mget_nonatomic(names))
    return cast(list[bytes | None], client.mget(names))
