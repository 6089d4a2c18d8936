"""The newest packets of a stream, as they came: what clips and still pictures are made of later.

Nothing is decoded or copied for it: the ring holds references to packets that are decoded anyway.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

CUT_S = 10.0
"""A time stamp that is so much further than the last one, or before it, begins another stream."""


@dataclass(slots=True)
class PacketGroup:
    """A keyframe, and the packets up to the next one: what can be decoded by itself."""

    begins_s: float  # the keyframe's time stamp
    packets: list[Any] = field(default_factory=list)  # av.Packet, in the order of decoding
    size: int = 0  # bytes


class PacketRing:
    """Holds the newest groups of packets, at most so many bytes and seconds of them.

    Where one group alone is too large, nothing is kept of it: the ring begins again with the next
    keyframe. Times are UTC seconds, from the moments to which `tie` ties the stream's time stamps.
    """

    def __init__(self, most_bytes: int, most_s: float) -> None:
        self.size = 0  # bytes
        self._most_bytes = most_bytes
        self._most_s = most_s
        self._groups: deque[PacketGroup] = deque()
        self._newest_s: float | None = None  # the highest time stamp
        self._offset_s: float | None = None  # UTC minus the stream's time stamps

    def add(self, packet: Any) -> None:
        """Add the next av.Packet; one without a time stamp is left out."""
        if not packet.size or (packet.pts is None and packet.dts is None):
            return
        at_s = seconds_of(packet)
        if self._newest_s is not None and abs(at_s - self._newest_s) > CUT_S:
            self.clear()
        if packet.is_keyframe:
            self._groups.append(PacketGroup(at_s))
        if not self._groups:
            return
        group = self._groups[-1]
        group.packets.append(packet)
        group.size += packet.size
        self.size += packet.size
        self._newest_s = at_s if self._newest_s is None else max(self._newest_s, at_s)
        while self.size > self._most_bytes:
            self._drop_oldest()
        while len(self._groups) > 1 and self._groups[1].begins_s < self._newest_s - self._most_s:
            self._drop_oldest()

    def tie(self, pts_s: float | None, at: float) -> None:
        """Note that the picture with a time stamp (s) was captured at a time (s, UTC)."""
        if pts_s is not None:
            self._offset_s = at - pts_s

    def clear(self) -> None:
        """Drop every packet: what follows is another stream."""
        self._groups.clear()
        self.size = 0
        self._newest_s = None
        self._offset_s = None

    @property
    def newest_at(self) -> float | None:
        """Time of the newest packet (s, UTC); None before the first picture is known."""
        if self._newest_s is None or self._offset_s is None:
            return None
        return self._newest_s + self._offset_s

    def at(self, packet: Any) -> float:
        """Return the time of one of the ring's packets (s, UTC)."""
        return seconds_of(packet) + (self._offset_s or 0.0)

    def between(self, begins_at: float, ends_at: float) -> list[Any]:
        """Return the packets from the keyframe before `begins_at` up to `ends_at` (s, UTC).

        They begin with the oldest keyframe where that is later; none where all are.
        """
        if self._offset_s is None:
            return []
        begins_s = begins_at - self._offset_s
        ends_s = ends_at - self._offset_s
        groups = list(self._groups)
        first = 0
        for index, group in enumerate(groups):
            if group.begins_s <= begins_s:
                first = index
        packets = [packet for group in groups[first:] for packet in group.packets]
        wanted = [index for index, one in enumerate(packets) if seconds_of(one) <= ends_s]
        if not wanted:
            return []
        # One that is decoded before the last may be shown after it, and others between the two.
        last_s = max(map(seconds_of, packets[: wanted[-1] + 1]))
        between = [index for index, one in enumerate(packets) if seconds_of(one) <= last_s]
        return packets[: between[-1] + 1]

    def _drop_oldest(self) -> None:
        self.size -= self._groups.popleft().size


def shown_at(packet: Any) -> int:
    """Return the time stamp of an av.Packet, in its time base; that of decoding where it has none
    of display.
    """
    stamp: int = packet.dts if packet.pts is None else packet.pts
    return stamp


def seconds_of(packet: Any) -> float:
    """Return when an av.Packet is shown, in seconds by its stream's time stamps."""
    return float(shown_at(packet) * packet.time_base)
