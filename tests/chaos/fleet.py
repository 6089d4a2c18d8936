"""The eight cameras: three files at full pace, two at their own, three that speak RTSP.

A file at full pace that has been read to its end is put aside, and another camera plays it from its
beginning.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.chaos.footage import MODEL
from tests.chaos.telling import AlertWatch
from tests.chaos.watching import BusWatch
from tests.e2e.service_process import Service

FAST, PACED, RTSP = 3, 2, 3
LIVE_FPS = 8
FAST_FRAMES = 600
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Member:
    """One camera as the harness set it up."""

    name: str
    url: str
    kind: str  # fast, paced or rtsp
    seed: int  # of its footage
    frames: int | None = None  # of a file at full pace
    behind_proxy: bool = False


@dataclass
class Fleet:
    service: Service
    bus: BusWatch
    alerts: AlertWatch
    members: dict[str, Member] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    aside_at: dict[str, float] = field(
        default_factory=dict
    )  # files at full pace, scored to the end → UTC s
    closed: bool = False  # nothing is played again
    _rounds: int = 0
    _not_before: float = 0.0

    def add(self, member: Member) -> None:
        """Watch one more camera. Raises httpx.HTTPError where the service does not take it."""
        pace = "fast" if member.kind == "fast" else "realtime"
        body = {
            "id": member.name,
            "url": member.url,
            "pace": pace,
            "model": MODEL,
            "calibration": "model",
        }
        self.service.http.post("/cameras", json=body).raise_for_status()
        self.bus.follow(member.name)
        self.alerts.follow(member.name)
        self.members[member.name] = member
        self.running.append(member.name)

    def live(self) -> list[str]:
        return [name for name in self.running if self.members[name].kind != "fast"]

    def behind_proxy(self) -> set[str]:
        return {name for name, member in self.members.items() if member.behind_proxy}

    def tend(self) -> None:
        """Put finished files aside and play them again.

        What the service refuses now is tried again soon.
        """
        if self.closed or time.monotonic() < self._not_before:
            return
        for name in [name for name in self.running if self._is_done(name)]:
            try:
                self.service.http.patch(
                    f"/cameras/{name}", json={"enabled": False}
                ).raise_for_status()
                self._put_aside(name)
                self._play_again(self.members[name])
            except httpx.HTTPError:
                self._not_before = time.monotonic() + RETRY_S
                return

    def _is_done(self, name: str) -> bool:
        """The last frame has its score: scores come in order."""
        frames, newest = self.members[name].frames, self.bus.seen[name].newest_score
        return frames is not None and newest is not None and newest.seq == frames - 1

    def _put_aside(self, name: str) -> None:
        self.running.remove(name)
        self.aside_at[name] = time.time()
        self.bus.leave(name)

    def _play_again(self, member: Member) -> None:
        self._rounds += 1
        name = f"{member.name.partition('-r')[0]}-r{self._rounds}"
        self.add(Member(name, member.url, member.kind, member.seed, member.frames))


def first_members(media: Path, rtsp_urls: list[str]) -> list[Member]:
    """The first of `rtsp_urls` goes through the proxy.

    Without any, files take the places of these cameras.
    """
    fast = [
        Member(f"fast{i}", str(media / "fast.mp4"), "fast", 0, FAST_FRAMES) for i in range(FAST)
    ]
    paced = [Member(f"paced{i}", str(media / f"live{i}.mp4"), "paced", i + 1) for i in range(PACED)]
    if not rtsp_urls:
        more = range(PACED, PACED + RTSP)
        return (
            fast
            + paced
            + [Member(f"paced{i}", str(media / f"live{i}.mp4"), "paced", i + 1) for i in more]
        )
    seeds = [PACED + 1 + i for i in range(RTSP)]
    rtsp = [
        Member(f"rtsp{i}", rtsp_urls[min(i, 1)], "rtsp", seeds[min(i, 1)], behind_proxy=i == 0)
        for i in range(RTSP)
    ]
    return fast + paced + rtsp
