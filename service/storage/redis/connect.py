"""From an address to a client. One client serves all threads of a process."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from lookout.service.core import urls
from lookout.service.core.errors import SettingsError
from lookout.service.storage.redis import keys, scripts
from lookout.service.storage.redis.cluster import MARK, Cluster

BUS_URL = "LOOKOUT_BUS_URL"
STORE_URL = "LOOKOUT_STORE_URL"

UNAVAILABLE = (redis.RedisError, RedisClusterException)
"""Raised by a call while its Redis does not answer or refuses: away, starting, full, with a full
disk (MISCONF) or without its replicas. Most of these come as plain ResponseErrors, from a script
always; the cluster's own exception is no RedisError. Wait and try again.
"""

REJECTED = (redis.AuthenticationError, redis.exceptions.NoPermissionError)
"""Raised by a server that wants another user or password: waiting does not help."""


_FINDS_SOMETHING_ELSE = ("WRONGTYPE", "not an integer", "attempt to")

LEAST_VERSION = (6, 2)

_MEANINGS = (
    (
        redis.exceptions.ReadOnlyError,
        "",
        "it is a replica, which takes no writes; name the primary",
    ),
    (redis.exceptions.OutOfMemoryError, "", "its memory is full (maxmemory)"),
    (redis.BusyLoadingError, "", "it is loading its data"),
    (redis.exceptions.MaxConnectionsError, "", "it takes no more connections (maxclients)"),
    (redis.RedisError, "max number of clients", "it takes no more connections (maxclients)"),
    (redis.RedisError, "READONLY", "it is a replica, which takes no writes; name the primary"),
    (redis.RedisError, "OOM", "its memory is full (maxmemory)"),
    (redis.RedisError, "MISCONF", "it cannot write to its disk; its own log says why"),
    (redis.RedisError, "protocol error", "what answers there is no Redis"),
    (redis.RedisError, "WRONG_VERSION_NUMBER", "it speaks no TLS: redis:// in place of rediss://"),
    (
        redis.RedisError,
        "Connection closed by server",
        "it closes the connection; with TLS, rediss:// is needed",
    ),
)
"""Exception, a part of its text, and what it means."""


def explain(error: Exception) -> str:
    """Return the text of an error of Redis, with what it means where that is known."""
    text = str(error)
    found = (
        m for kind, part, m in _MEANINGS if isinstance(error, kind) and part.lower() in text.lower()
    )
    meaning = next(found, None)
    return f"{text}: {meaning}" if meaning else text


def is_wrong_key(error: Exception) -> bool:
    """Tell whether a command or script found something else in a key than it should hold."""
    return any(part in str(error) for part in _FINDS_SOMETHING_ELSE)


class NotOursError(Exception):
    """A server answers that Lookout cannot use; waiting does not help."""


class Server:
    """A Redis server, seen through its client."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    @property
    def address(self) -> str:
        """Return the server's address for a message, without user and password."""
        return urls.of_server(self._redis.connection_pool.connection_kwargs)

    def close(self) -> None:
        """Close the client's connections."""
        self._redis.close()

    def ping(self) -> None:
        """Raise one of UNAVAILABLE where the server does not answer."""
        self._redis.ping()

    def clock_s(self) -> float | None:
        """Return the server's time in s, UTC epoch; None for a cluster.

        Raises one of UNAVAILABLE.
        """
        if isinstance(self._redis, Cluster):
            return None
        seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def version(self) -> str | None:
        """Return the version of the server; None for a cluster, whose nodes differ.

        Raises one of UNAVAILABLE.
        """
        if isinstance(self._redis, Cluster):
            self._redis.ping()
            return None
        return str(self._redis.info("server").get("redis_version", "")) or None

    def has_append_only_file(self) -> bool:
        """Return whether each write is kept on disk; True for a cluster, whose nodes differ.

        Raises one of UNAVAILABLE.
        """
        if isinstance(self._redis, Cluster):
            return True
        return bool(self._redis.info("persistence").get("aof_enabled"))

    def check_usable(self) -> None:
        """Try what every stage needs: a version, data of ours, scripts and writes.

        Raises one of UNAVAILABLE, such as for a replica or a full disk; NotOursError for a server
        that is too old or holds other data.
        """
        version = self.version() or ""  # the nodes of a cluster answer one by one
        found = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
        if found and found < LEAST_VERSION:
            raise NotOursError(f"is Redis {version}; 6.2 or newer is needed")
        for key, kind in keys.KINDS.items():
            stored = cast(bytes, self._redis.type(key)).decode()
            if stored not in ("none", kind):
                raise NotOursError(
                    f"holds other data (its key {key!r} is a {stored}): name another server, or "
                    "another database with /1 at the end"
                )
        self._redis.eval(scripts.TRY_WRITE, 1, keys.PROBE)


def connect(url: str) -> redis.Redis:
    """Return a client that gives up on a silent server after seconds. Does not connect yet."""
    scheme, _, rest = url.partition("://")
    options = {
        "protocol": 2,
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        "health_check_interval": 15,
        "retry": Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 2),
    }
    if scheme.endswith(MARK):
        return cast(redis.Redis, Cluster(f"{scheme.removesuffix(MARK)}://{rest}", **options))
    return redis.Redis.from_url(url, **options)


def open_client(url: str | None, variable: str) -> redis.Redis:
    """Return a client for the address that a setting gives. Does not connect yet.

    Raises SettingsError, which names the variable and never a part of a password.
    """
    if not url:
        raise SettingsError(
            f"{variable} is not set (a single stage needs both; "
            "`lookout serve` starts its own Redis)"
        )
    try:
        _check_url(url)
        client = connect(url)
        # The first connection would raise for an unknown option or an impossible host name.
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)
        str(pool.connection_kwargs.get("host", "")).encode("idna")
    except (ValueError, TypeError, redis.RedisError):  # its text may repeat a part of the password
        raise SettingsError(
            f"{variable} is no usable Redis address: redis://, rediss:// or unix:// with known "
            "options, redis+cluster:// or rediss+cluster://; "
            "percent-encode @ / : ? # % in its user and password"
        ) from None
    return client


def _check_url(url: str) -> None:
    """Raise ValueError for what redis-py would misread.

    redis-py takes what follows a / or ? in a password for a path or options, and ignores what it
    cannot use.
    """
    parts = urlsplit(url)
    database = parts.path.removeprefix("/") if parts.scheme != "unix" else ""
    if parts.scheme.endswith(MARK) and database not in ("", "0"):
        raise ValueError("a cluster has one database")
    if "@" in parts.path + parts.query + parts.fragment or (database and not database.isdecimal()):
        raise ValueError("a password is not percent-encoded, or the database is no number")
