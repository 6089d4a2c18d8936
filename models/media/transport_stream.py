"""Tell whether the video of an MPEG transport stream changes its codec on the way.

A recorder that is set anew goes on under the same packet identifier (PID). libav reads the whole
with one decoder, and makes nothing, or nonsense, of the rest. The tables of the stream say it: the
association table (PAT) lists the map of each programme (PMT), which has the kind of each PID.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

PACKETS_AT_ONCE = 2**16  # 12 MB
PACKET_FORMS = ((188, 0), (192, 4), (204, 0))
"""Bytes of a packet, with a time before it or a check behind it, and where its first byte lies."""

SYNC = 0x47
BEGINS = 0x40  # flag of a packet that begins a table or a picture
MOST_NAMED = 4  # codecs in a message
PAT_PID = 0
PAT_TABLE = 0
PMT_TABLE = 2
VIDEO_KINDS = {
    0x01: "MPEG-1",
    0x02: "MPEG-2",
    0x10: "MPEG-4",
    0x1B: "H.264",
    0x24: "H.265",
    0x33: "H.266",
    0x42: "AVS",
    0xD1: "Dirac",
    0xD2: "AVS2",
    0xEA: "VC-1",
}
"""Codecs by their number in the map."""


def codec_change(path: Path, pid: int) -> str:
    """Return that the video of a PID changes its codec, as a sentence's part; else nothing.

    Raises OSError.
    """
    codecs = video_codecs(path, pid)
    if len(codecs) < 2:
        return ""
    named = " to ".join(codecs[:MOST_NAMED])
    return f"its video changes from {named}, of which one is read: split the file there"


def video_codecs(path: Path, pid: int) -> list[str]:
    """Return the codecs that a transport stream's maps name for the video of a PID, in order.

    One that is named several times in a row stands once. Raises OSError.
    """
    maps: set[int] = set()
    codecs: list[str] = []
    for packet in table_packets(path, maps):
        section = section_in(packet)
        if pid_of(packet) == PAT_PID:
            maps |= set(maps_in(section))
            continue
        codec = VIDEO_KINDS.get(kinds_in(section).get(pid, 0))
        if codec is not None and codecs[-1:] != [codec]:
            codecs.append(codec)
    return codecs


def table_packets(path: Path, maps: set[int]) -> Iterator[bytes]:
    """Yield the packets that begin a table: of the PAT, and of the PIDs in `maps`.

    maps: filled by the caller from the PATs; a map that comes before the first PAT is left out.
    """
    with path.open("rb") as file:
        length, offset = packet_form(file.read(205))
        file.seek(0)
        while len(data := file.read(length * PACKETS_AT_ONCE)) >= length:
            packets = np.frombuffer(data, np.uint8)[: len(data) // length * length]
            packets = packets.reshape(-1, length)[:, offset:]
            begins = (packets[:, 0] == SYNC) & (packets[:, 1] & BEGINS != 0)
            for packet in map(bytes, packets[begins]):
                if pid_of(packet) == PAT_PID or pid_of(packet) in maps:
                    yield packet


def packet_form(head: bytes) -> tuple[int, int]:
    """Return bytes of a packet and where its first byte lies; the usual form where none fits."""
    fits = (form for form in PACKET_FORMS if head[form[1] :: form[0]][:2] == bytes([SYNC, SYNC]))
    return next(fits, PACKET_FORMS[0])


def pid_of(packet: bytes) -> int:
    """Return a packet's PID."""
    return int.from_bytes(packet[1:3]) & 0x1FFF


def section_in(packet: bytes) -> bytes:
    """Return the table that begins in a packet, as far as the packet holds it; else nothing."""
    start = 4
    if packet[3] & 0x20:  # an adaptation field
        start += 1 + packet[4]
    if start >= len(packet):
        return b""
    return packet[start + 1 + packet[start] :]


def maps_in(section: bytes) -> list[int]:
    """Return the PIDs of the maps that a PAT lists."""
    if section[:1] != bytes([PAT_TABLE]) or len(section) < 12:
        return []
    end = 3 + (int.from_bytes(section[1:3]) & 0x0FFF) - 4
    entries = (section[at : at + 4] for at in range(8, min(end, len(section)) - 3, 4))
    return [int.from_bytes(entry[2:]) & 0x1FFF for entry in entries if any(entry[:2])]


def kinds_in(section: bytes) -> dict[int, int]:
    """Return the kind of each PID that a map names, as far as the section holds it."""
    if section[:1] != bytes([PMT_TABLE]) or len(section) < 12:
        return {}
    end = min(3 + (int.from_bytes(section[1:3]) & 0x0FFF) - 4, len(section))
    at = 12 + (int.from_bytes(section[10:12]) & 0x0FFF)
    kinds = {}
    while at + 5 <= end:
        kinds[int.from_bytes(section[at + 1 : at + 3]) & 0x1FFF] = section[at]
        at += 5 + (int.from_bytes(section[at + 3 : at + 5]) & 0x0FFF)
    return kinds
