"""Decoding of a video file or stream to pictures: the same for training and live cameras."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import av.container
import av.error
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter

from lookout.models.arrays import Pixels
from lookout.models.errors import CutOffError, NoPictureError, VideoError
from lookout.models.media.container import shown_part, video_stream
from lookout.models.media.ending import is_cut_off
from lookout.models.media.transport_stream import codec_change

BROKEN_IN_A_ROW = 100  # packets that cannot be decoded before a file counts as broken
TORN = 4  # pictures after lost packets that may be torn, keyframe or not: the decoder holds some
TAINTED = 100  # pictures at most that wait for a keyframe: with intra refresh there is never one

UNWAITING = frozenset({"mpeg4", "h263", "flv", "wmv1", "wmv2", "msmpeg4", "msmpeg4v2"})
"""Decoders that do not wait for the first keyframe, and make pictures of nothing before it."""

DISPLAY_MATRIX = "DISPLAYMATRIX"

UNDECODABLE = (
    av.error.InvalidDataError,
    av.error.PatchWelcomeError,  # legal, and unknown to this version of libav
    av.error.NotImplementedError,
    av.error.ArgumentError,
    av.error.BugError,
    av.error.ExternalError,
    av.error.UnknownError,
)
"""A decoder's errors about one packet; others, such as a full memory, are not of the stream."""

OTHER_TRACK = 25
"""So many packets of another video track after the last of ours: the video goes on there."""

HELD_TO_THE_END = 4
"""Packets that libav may hold until it has read the file: they say nothing of where it ended."""


@dataclass(frozen=True)
class Picture:
    """One decoded frame. It is converted when its pixels are read: sampling leaves out many."""

    pts_s: float | None  # s since the stream's own zero; None where the stream does not say
    convert: Callable[[], Pixels]  # raises MemoryError, or one of libav's errors

    @cached_property
    def rgb(self) -> Pixels:
        """Pixels, upright: (H, W, 3) uint8. Raises what `convert` raises."""
        return self.convert()


@dataclass(slots=True)
class SuspectPackets:
    """The latest packets of which some may be missing: their pictures may be half guessed."""

    _from_pts: int = 0  # their pictures have time stamps from here …
    _to_pts: int = 0  # … to here
    _awaited: int = 0  # pictures among which theirs come; 0: none is suspect
    _has_held: bool = False  # one of theirs has come

    def add(self, packet: Any) -> None:
        """Take note of a suspect packet, in the order of decoding."""
        stamps = [stamp for stamp in (packet.dts, packet.pts) if stamp is not None] or [0]
        if self._awaited:
            stamps += [self._from_pts, self._to_pts]
        self._from_pts = min(stamps)
        self._to_pts = max(stamps)
        self._awaited = TAINTED
        self._has_held = False

    def hold(self, frame: Any) -> bool:
        """Return whether a picture is of a suspect packet, or was decoded between two of them."""
        if not self._awaited:
            return False
        self._awaited -= 1
        if frame.pts is None:
            return True
        is_held = bool(self._from_pts <= frame.pts <= self._to_pts)
        if not is_held and (self._has_held or frame.pts > self._to_pts):
            self._awaited = 0
        self._has_held |= is_held
        return is_held


@dataclass(slots=True)
class DamageFilter:
    """Tells whole pictures from damaged ones.

    Pictures after a damaged one are predicted from it, and libav does not mark them: none is
    accepted before the next keyframe.
    """

    packets_lost: Callable[[], bool]  # were packets lost on the way since the last call?
    reorders: bool = False  # pictures from before a damaged packet may come after it, keyframes too
    _suspects: SuspectPackets = field(default_factory=SuspectPackets)
    _has_picture: bool = False  # before the first one a decoder waits for a keyframe by itself
    _torn: int = 0  # pictures that are still to be refused, keyframe or not
    _tainted: int = 0  # pictures that are still to be refused, up to a keyframe

    def packet_suspect(self, packet: Any) -> None:
        """Take note of an av.Packet that is about to be decoded, though some of it is missing."""
        self._suspects.add(packet)

    def packet_failed(self) -> None:
        """Take note of a packet that could not be decoded."""
        self._tainted = TAINTED if self._has_picture else 0
        if self._has_picture and self.reorders:
            self._torn = TORN

    def accepts(self, frame: Any) -> bool:
        """Return whether the next picture of the stream, an av.VideoFrame, is whole."""
        self._has_picture = True
        if self.packets_lost():
            self._torn = TORN
            self._tainted = TAINTED
        if frame.is_corrupt or self._suspects.hold(frame):
            self._tainted = TAINTED
        elif frame.key_frame and not self._torn:
            self._tainted = 0
        is_whole = not self._tainted
        self._torn = max(0, self._torn - 1)
        self._tainted = max(0, self._tainted - 1)
        return is_whole


def pictures(
    container: av.container.InputContainer,
    on_damage: Callable[[], None] = lambda: None,
    *,
    live: bool = False,
    packets_lost: Callable[[], bool] = lambda: False,
    patience_s: float = math.inf,
    on_packet: Callable[[Any], None] | None = None,
) -> Iterator[Picture]:
    """Yield the pictures of the video track, upright, in the order of display.

    Damage is passed over, up to the next keyframe. `on_damage` is called for each packet that
    cannot be decoded and each damaged picture; `packets_lost` returns whether packets were lost
    before they came here; `on_packet` is given each av.Packet before it is decoded. With `live`
    each picture comes as soon as it is there; otherwise several are decoded at once. The pixels are
    the same.

    Raises NoPictureError when packets come for `patience_s` and no picture; VideoError when there
    is no video that can be decoded, when BROKEN_IN_A_ROW packets of a file in a row cannot be
    decoded (a live stream may be joined long before its next keyframe), or at the end of a file
    that is cut off. Errors of reading, such as a lost connection, come as libav's own, after the
    pictures that came before them.
    """
    stream = video_stream(container)
    # With one thread a picture, as many pictures as threads would be held back.
    stream.thread_type = "SLICE" if live else "AUTO"
    damage = DamageFilter(packets_lost, bool(stream.codec_context.has_b_frames))
    since_s = time.monotonic()

    def on_broken_packet() -> None:
        damage.packet_failed()
        on_damage()

    first_s: float | None = None
    played_s = 0.0
    limit = math.inf if live else BROKEN_IN_A_ROW
    waits_for = TAINTED if stream.codec_context.name in UNWAITING else 0
    shown = shown_part(container, stream)
    # Kept, since libswscale's tables and threads would be made anew for each picture.
    converter = VideoReformatter()

    def convert(frame: Any) -> Pixels:
        # libswscale's full conversion keeps the gray values of a full-range stream (yuvj420p, as
        # Ped2's) exactly.
        converted = converter.reformat(frame, format="rgb24", threads=1)
        rgb = np.asarray(converted.to_ndarray(), np.uint8)
        return np.ascontiguousarray(turned(shown(rgb), frame))

    others = OtherTracks(stream.index)
    coded = container.demux(stream)
    if not live:
        coded = others.left_out(container.demux())
    if on_packet is not None:
        coded = passed_on(coded, on_packet)
    packets = decoded_packets(
        coded, stream, damage.packet_suspect, on_broken_packet, limit, live=live
    )
    if not live and container.format.name == "mpegts":
        packets = until_another_codec(packets, Path(container.name), stream.id)
    for frames in packets:
        for frame in frames:
            waits_for = 0 if frame.key_frame else max(0, waits_for - 1)
            if waits_for:
                continue
            if damage.accepts(frame):
                if frame.time is not None:
                    first_s = frame.time if first_s is None else first_s
                    played_s = frame.time - first_s
                yield Picture(frame.time, partial(convert, frame))
                since_s = time.monotonic()  # the consumer's time is not the stream's silence
            else:
                on_damage()
        if time.monotonic() - since_s > patience_s:
            raise NoPictureError(f"packets come, but no whole picture for {patience_s:g} s")
    if not live:
        require_whole(container, stream, others, played_s)


def require_whole(
    container: av.container.InputContainer, stream: Any, others: OtherTracks, played_s: float
) -> None:
    """Raise CutOffError where a file that was read to its end does not hold all that it should.

    played_s: from its first picture to its last one; a file's own times may begin anywhere.
    """
    # How much is missing is not known: the index of an avi or of a fragment ends with the file.
    is_short = any(entry.pos + entry.size > container.size for entry in stream.index_entries)
    if others.go_on and not is_short:
        raise CutOffError(
            f"after {played_s:.1f} s the video goes on in another track, which is not read: "
            "split the file by its tracks"
        )
    if is_short or is_cut_off(Path(container.name), container.format.name):
        raise CutOffError(f"the file is cut off: it ends at {played_s:.1f} s")


def passed_on(packets: Iterator[Any], on_packet: Callable[[Any], None]) -> Iterator[Any]:
    """Yield each av.Packet after `on_packet` was given it."""
    for packet in packets:
        on_packet(packet)
        yield packet


def until_another_codec(packets: Iterator[list[Any]], path: Path, pid: int) -> Iterator[list[Any]]:
    """Yield the frames of a transport stream's packets.

    Raises CutOffError at the end where its video changes its codec on the way: libav decodes one of
    them, not always the first. A VideoError that comes before says so.
    """
    try:
        yield from packets
    except VideoError as error:
        if change := codec_change(path, pid):
            raise VideoError(f"{error}; {change}") from error
        raise
    if change := codec_change(path, pid):
        raise CutOffError(change)


@dataclass(slots=True)
class OtherTracks:
    """The packets of a file's other tracks, which are left out."""

    ours: int  # index of the track that is read
    _most: int = 0  # packets of other video tracks between two of ours
    _latest: deque[int] = field(default_factory=lambda: deque([0] * HELD_TO_THE_END))

    def left_out(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Yield the packets of our track, and count those of other video tracks."""
        for packet in packets:
            if packet.stream.index == self.ours:
                if packet.size:
                    self._most = max(self._most, self._latest.popleft())
                    self._latest.append(0)
                yield packet
            elif packet.size and packet.stream.type == "video":
                self._latest[-1] += 1

    @property
    def go_on(self) -> bool:
        """Whether the video goes on in another track."""
        return sum(self._latest) >= OTHER_TRACK + len(self._latest) * self._most


def decoded_packets(
    packets: Iterator[Any],
    stream: Any,
    on_suspect: Callable[[Any], None],
    on_broken: Callable[[], None],
    max_broken: float,
    *,
    live: bool,
) -> Iterator[list[Any]]:
    """Yield the frames of each packet: one, several or none.

    When reading fails, those that the decoder still holds come before libav's error.

    Raises VideoError after `max_broken` packets in a row that cannot be decoded.
    """
    broken_in_a_row = 0
    try:
        for packet, is_suspect in checked_packets(packets, live=live):
            if is_suspect:
                on_suspect(packet)
            try:
                frames = packet.decode()
            except UNDECODABLE as error:
                on_broken()
                broken_in_a_row += 1
                if broken_in_a_row >= max_broken:
                    raise VideoError(
                        f"{broken_in_a_row} packets in a row cannot be decoded"
                    ) from error
                frames = []
            if frames:
                broken_in_a_row = 0
            yield frames
    except av.error.FFmpegError:
        held_back: list[Any] = []
        with contextlib.suppress(av.error.FFmpegError):
            held_back = list(stream.codec_context.decode(None))
        if held_back:
            yield held_back
        raise


def checked_packets(packets: Iterator[Any], *, live: bool) -> Iterator[tuple[Any, bool]]:
    """Yield each av.Packet, and whether some of it may be missing.

    libav marks those of a transport stream whose counters tell of a loss, and the last one of a
    file that ends in it. Where it splits a stream into packets itself, the mark is on the packet
    before: the one behind a mark is suspect, too. Of a file, what follows is waited for: where time
    goes back to a keyframe, two streams were joined, and their counters tell of nothing.
    """
    waiting: list[Any] = []  # marked ones, and the one behind them
    was_marked = False
    try:
        for packet in packets:
            is_suspect = bool(packet.size) and (packet.is_corrupt or was_marked)
            was_marked = packet.is_corrupt
            if live:
                yield packet, is_suspect
                continue
            if is_suspect and len(waiting) < TAINTED:
                waiting.append(packet)
                continue
            is_joint = bool(waiting) and packet.is_keyframe and goes_back(waiting[-1], packet)
            yield from ((one, not is_joint) for one in waiting)
            waiting = []
            yield packet, is_suspect
    except av.error.FFmpegError:
        yield from ((one, True) for one in waiting)
        raise


def goes_back(before: Any, packet: Any) -> bool:
    """Return whether a packet is to be decoded at an earlier time than the one before it."""
    return before.dts is not None and packet.dts is not None and packet.dts < before.dts


def turned(rgb: Pixels, frame: Any) -> Pixels:
    """Return a picture as it is to be shown: (H, W, 3) uint8 RGB, turned and mirrored.

    frame: the av.VideoFrame of `rgb`. Its display matrix, of the container or the stream, maps
    decoded to shown coordinates; of an odd angle the nearest right one is taken.
    """
    try:
        # `frame.side_data` would keep the frame, in a circle, until the collector comes.
        matrix = SideDataContainer(frame).get(DISPLAY_MATRIX)  # type: ignore[call-arg]
    except ValueError:  # PyAV knows not every kind of side data, and then shows none
        return np.rot90(rgb, round(frame.rotation / 90))
    if matrix is None:
        return rgb
    x_of_x, y_of_x, _, x_of_y, y_of_y = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(x_of_y) + abs(y_of_x) > abs(x_of_x) + abs(y_of_y):
        rgb = rgb.transpose(1, 0, 2)
        x_of_x, y_of_y = x_of_y, y_of_x
    if x_of_x < 0:
        rgb = rgb[:, ::-1]
    if y_of_y < 0:
        rgb = rgb[::-1]
    return rgb
