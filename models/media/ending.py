"""Tell whether a recording ends before what its container announces: it was cut off.

libav plays what is there and stays silent. Each check reads a few bytes of the container itself; a
container that announces nothing, such as raw video, cannot be told.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TAIL_BYTES = 2**18  # in which the last packets of a recording lie
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
SEGMENT = 0x18538067
CLUSTER = 0x1F43B675
MXF_PARTITION = bytes.fromhex("060e2b34020501010d0102010102")
NUT_INDEX = bytes.fromhex("4e58dd672f23e64e")
OGG_LAST_PAGE = 4  # a flag
TS_SYNC = 0x47
STARTS = {
    b"RIFF": "avi",
    b"\x1a\x45\xdf\xa3": "matroska",
    b"FLV": "flv",
    b"OggS": "ogg",
    b"\x30\x26\xb2\x75": "asf",
    b"DHAV": "dhav",
    b"\x06\x0e\x2b\x34": "mxf",
    b"G": "mpegts",
}
"""The first bytes of containers, for a file that libav cannot open."""


def is_cut_off(path: Path, kind: str) -> bool:
    """Return whether a file ends early. kind: libav's name of its container.

    Raises OSError where it cannot be read.
    """
    check = next((CHECKS[name] for name in kind.split(",") if name in CHECKS), None)
    if check is None:
        return False
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        try:
            return check(file, size)
        except (struct.error, IndexError):  # the part that says it is cut off itself
            return True
        except (KeyError, ValueError):  # it is not as expected: nothing can be said
            return False


def opens_cut_off(path: Path) -> bool:
    """Return whether a file that cannot be used is cut off, by what it begins with.

    Raises OSError.
    """
    with path.open("rb") as file:
        head = file.read(16)
    kind = next((kind for start, kind in STARTS.items() if head.startswith(start)), "")
    if head[4:8] in (b"ftyp", b"wide", b"mdat", b"moov"):
        kind = "mov"
    return is_cut_off(path, kind)


def tail(file: BinaryIO, size: int, most: int = TAIL_BYTES) -> bytes:
    """Return the last bytes of a file."""
    file.seek(max(0, size - most))
    return file.read()


def mp4(file: BinaryIO, size: int) -> bool:
    """Walk the boxes of the file: size, name. Without its index (moov) it is nothing."""
    at = 0
    name = b""
    has_index = False
    while at < size:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if not name.isalnum() or not length:  # padding, or a box up to the end
            return not has_index
        has_index |= name == b"moov"
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        at += max(length, 8)
    return at > size or name == b"moof" or not has_index


def read_ebml(file: BinaryIO) -> tuple[int, int | None]:
    """Return id and size of the next element; None for a size that is not known."""
    first = file.read(1)[0]
    if first < 0x10:
        raise ValueError("no id of an element")
    id_bytes = 9 - first.bit_length()
    element = int.from_bytes(bytes([first]) + file.read(id_bytes - 1))
    first = file.read(1)[0]
    if not first:
        raise ValueError("no size of an element")
    size_bytes = 9 - first.bit_length()
    rest = file.read(size_bytes - 1)
    if len(rest) < size_bytes - 1:
        raise IndexError
    length = int.from_bytes(bytes([first & (1 << (8 - size_bytes)) - 1]) + rest)
    return element, None if length == (1 << 7 * size_bytes) - 1 else length


def matroska(file: BinaryIO, size: int) -> bool:
    """Walk the elements; a segment or cluster of unknown size is entered."""
    while file.tell() < size:
        element, length = read_ebml(file)
        if element not in (SEGMENT, CLUSTER) or length is not None:
            file.seek(file.tell() + (length or 0))
    return file.tell() > size


def avi(file: BinaryIO, size: int) -> bool:
    """Walk the RIFF chunks; one of size 0 is of a writer that was killed."""
    at = 0
    while at + 8 < size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF" or not length:
            return False
        at += 8 + length + length % 2
    return at > size + 1


def asf(file: BinaryIO, size: int) -> bool:
    """Compare with the size in the file properties, unless it is a broadcast."""
    head = file.read(TAIL_BYTES)
    at = head.index(ASF_FILE_PROPERTIES)
    (announced,) = struct.unpack_from("<Q", head, at + 40)
    (flags,) = struct.unpack_from("<I", head, at + 88)
    return not flags & 1 and int(announced) > size


def flv(file: BinaryIO, size: int) -> bool:
    """Compare with the size in the metadata, and the last tag with the size that follows it."""
    head = file.read(2**16)
    at = head.find(b"filesize\0")
    if at >= 0:
        (announced,) = struct.unpack_from(">d", head, at + 9)
        if int(announced) > size:
            return True
    (length,) = struct.unpack(">I", tail(file, size, 4))
    if not 11 <= length <= size - 13:
        return True
    file.seek(size - 4 - length)
    return bool(int.from_bytes(file.read(4)[1:]) + 11 != length)


def ogg(file: BinaryIO, size: int) -> bool:
    """Look for the last page: whole, and marked as the last one."""
    end = tail(file, size)
    at = end.rindex(b"OggS")
    segments = end[at + 26]
    length = 27 + segments + sum(end[at + 27 : at + 27 + segments])
    is_last = bool(end[at + 5] & OGG_LAST_PAGE)
    return at + length > len(end) or not is_last


def mpegts(file: BinaryIO, size: int) -> bool:
    """Divide into packets, of 188 bytes, or with a time before or a check behind each."""
    head = file.read(205)
    for length, offset in ((188, 0), (192, 4), (204, 0)):
        if head[offset] == head[offset + length] == TS_SYNC:
            return size % length != 0
    return False


def mpeg(file: BinaryIO, size: int) -> bool:
    """Walk the last packets of a programme stream."""
    end = tail(file, size)
    at = end.find(b"\0\0\1\xba")
    while 0 <= at < len(end) and end[at : at + 3] == b"\0\0\1":
        code = end[at + 3]
        if code == 0xB9:  # the end
            return False
        if code == 0xBA:
            is_mpeg2 = end[at + 4] >> 6 == 1
            at += 14 + (end[at + 13] & 7) if is_mpeg2 else 12
        else:
            at += 6 + int.from_bytes(end[at + 4 : at + 6])
    return at > len(end) or 0 < len(end) - at < 4


def mxf(file: BinaryIO, size: int) -> bool:
    """Compare with the place of the footer, which the header names."""
    head = file.read(TAIL_BYTES)
    at = head.index(MXF_PARTITION)
    length = head[at + 16]
    value = at + 17 + (length & 0x7F if length & 0x80 else 0)
    (footer,) = struct.unpack_from(">Q", head, value + 24)
    return bool(footer >= size)


def nut(file: BinaryIO, size: int) -> bool:
    """Look for the index, whose length the last bytes tell."""
    (length,) = struct.unpack(">Q", tail(file, size, 12)[:8])
    if length > size:
        return True
    file.seek(size - length)
    return file.read(8) != NUT_INDEX


def ivf(file: BinaryIO, size: int) -> bool:
    """Walk the frames."""
    (at,) = struct.unpack_from("<H", file.read(32), 6)
    while at + 12 <= size:
        file.seek(at)
        (length,) = struct.unpack("<I", file.read(4))
        at += 12 + length
    return bool(at != size)


def gif(file: BinaryIO, size: int) -> bool:
    """Look for the trailer."""
    return not tail(file, size, 64).rstrip(b"\0").endswith(b";")


def apng(file: BinaryIO, size: int) -> bool:
    """Look for the last chunk."""
    return b"IEND" not in tail(file, size, 64)


def mjpeg(file: BinaryIO, size: int) -> bool:
    """Look for the end of the last picture that begins."""
    end = tail(file, size)
    return end.rfind(b"\xff\xd9") < end.rfind(b"\xff\xd8")


def dav(file: BinaryIO, size: int) -> bool:
    """Look for the end of the last frame."""
    return tail(file, size, 8)[:4] != b"dhav"


def dv(file: BinaryIO, size: int) -> bool:
    """Divide into frames, of one length for each television system."""
    return size % (144_000 if file.read(4)[3] & 0x80 else 120_000) != 0


def y4m(file: BinaryIO, size: int) -> bool:
    """Divide into frames, where they are of 8 bits and 4:2:0."""
    head = file.readline(1024)
    found = {word[:1]: word[1:] for word in head.split()[1:]}
    if not found.get(b"C", b"420").startswith(b"420") or b"p1" in found.get(b"C", b""):
        return False
    width = int(found[b"W"])
    height = int(found[b"H"])
    frame = len(b"FRAME\n") + width * height + 2 * (-(-width // 2)) * (-(-height // 2))
    return (size - len(head)) % frame != 0


CHECKS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "mov": mp4,
    "matroska": matroska,
    "webm": matroska,
    "avi": avi,
    "asf": asf,
    "flv": flv,
    "ogg": ogg,
    "mpegts": mpegts,
    "mpeg": mpeg,
    "mxf": mxf,
    "nut": nut,
    "ivf": ivf,
    "gif": gif,
    "apng": apng,
    "mjpeg": mjpeg,
    "dhav": dav,
    "dv": dv,
    "yuv4mpegpipe": y4m,
}
