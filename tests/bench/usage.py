"""The CPU seconds and resident memory of the service's processes, by role."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]

MB = 1e6


def processes(pid: int) -> dict[int, tuple[str, psutil.Process]]:
    """Return process id → role and process, with `lookout serve` itself."""
    try:
        everybody = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return {}
    return {one.pid: (role, one) for one in everybody if (role := _role(one))}


class CpuMeter:
    """CPU seconds used since the object was made.

    Call `look` often, so that a process that ends is not forgotten.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._used: dict[int, tuple[str, float]] = {}
        self.look()
        self._before = dict(self._used)

    def look(self) -> None:
        """Note the CPU time of every process, before one of them ends."""
        for number, (role, one) in processes(self._pid).items():
            try:
                times = one.cpu_times()
            except psutil.Error:
                continue
            self._used[number] = role, times.user + times.system

    def used_s(self) -> dict[str, float]:
        """Return the CPU seconds by role, the largest first."""
        self.look()
        found: dict[str, float] = {}
        for number, (role, seconds) in self._used.items():
            found[role] = found.get(role, 0.0) + seconds - self._before.get(number, (role, 0.0))[1]
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def resident_mb(pid: int) -> dict[int, tuple[str, float]]:
    """Return process id → role and resident memory; a page that n share counts 1/n in each."""
    found = {}
    for number, (role, one) in processes(pid).items():
        try:
            found[number] = role, one.memory_full_info().pss / MB
        except psutil.Error:
            continue
    return found


def redis_socket(pid: int, role: str) -> str:
    """Return the address of the embedded server for `bus` or `store`. Raise LookupError."""
    for found, one in processes(pid).values():
        if found == f"redis ({role})":
            return next(
                part.removeprefix("unixsocket:")
                for part in " ".join(one.cmdline()).split()
                if ".sock" in part
            )
    raise LookupError(f"there is no {role}")


def _role(process: psutil.Process) -> str:
    """Return a process's role in the service; empty where it has none."""
    try:
        words = " ".join(process.cmdline()).split()  # a title is one word
    except psutil.Error:
        return ""
    line = " ".join(words)
    for role in ("bus", "store"):
        if f"lookout-{role}-" in line:
            return f"redis ({role})"
    if words[:1] == ["lookout:"]:
        return words[1]
    if "lookout.service.ingest.forking.server" in words:
        return "fork server"
    if any(word.startswith("lookout.service.learning.") for word in words):
        return "training"
    return words[words.index("lookout") + 1] if "lookout" in words else ""
