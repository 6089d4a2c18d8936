"""One camera's books: what became of every frame, as it was seen from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from service.messages import FrameId
from tests.chaos.seen import CameraSeen, GapSeen
from tests.chaos.watching import Life

LAST_MOMENT_S = 0.25
"""Of a bus that is killed: what it was told between our last look and its end, nobody has read. That may be as much as
was told in so long before, and one more."""


@dataclass
class Books:
    frames: int = 0  # ids seen on the bus
    scored: int = 0
    gaps: Counter[str] = field(default_factory=Counter)  # reason → frames
    doubles: list[FrameId] = field(default_factory=list)  # scored twice, or scored and left out, or left out twice
    repeated: list[FrameId] = field(default_factory=list)  # the same score again on a new bus
    recounted: list[FrameId] = field(
        default_factory=list
    )  # left out, says a new bus, of what a former one had dealt with
    unread: list[FrameId] = field(default_factory=list)  # told on a bus that died before anybody read it
    unexplained: list[FrameId] = field(default_factory=list)


def books_of(seen: CameraSeen, lives: Sequence[Life]) -> Books:
    """Every number of every session, from 0 to the last that was seen, must have a score or lie in a gap."""
    books = Books(len(seen.frames), len(seen.scores))
    counted = _gap_lives(seen, books)
    _find_doubles(seen, counted, books)
    for frame_id in _numbers(seen):
        if frame_id not in seen.scores and frame_id not in counted:
            (books.unread if _is_unread(frame_id, seen, counted, lives) else books.unexplained).append(frame_id)
    return books


def ids_of(gap: GapSeen) -> Iterator[FrameId]:
    return (FrameId(gap.session, seq) for seq in range(gap.first, gap.first + gap.frames))


def _gap_lives(seen: CameraSeen, books: Books) -> dict[FrameId, set[int]]:
    """In which lives of the bus a frame was counted as left out; twice in one is wrong."""
    found: dict[FrameId, set[int]] = {}
    for gap in seen.gaps:
        books.gaps[gap.reason] += gap.frames
        for frame_id in ids_of(gap):
            lives = found.setdefault(frame_id, set())
            if gap.life in lives:
                books.doubles.append(frame_id)
            elif lives or _scored_before(frame_id, gap.life, seen):
                books.recounted.append(frame_id)
            lives.add(gap.life)
    return found


def _scored_before(frame_id: FrameId, life: int, seen: CameraSeen) -> bool:
    return frame_id in seen.scores and seen.scores[frame_id].life < life


def _find_doubles(seen: CameraSeen, counted: dict[FrameId, set[int]], books: Books) -> None:
    for frame_id, score in seen.again:
        first = seen.scores[frame_id]
        told_again = first.life != score.life and first.numbers == score.numbers
        (books.repeated if told_again else books.doubles).append(frame_id)
    times: dict[float, FrameId] = {}
    for frame_id, score in seen.scores.items():
        if score.life in counted.get(frame_id, ()) or times.setdefault(score.captured_at, frame_id) != frame_id:
            books.doubles.append(frame_id)


def _numbers(seen: CameraSeen) -> Iterator[FrameId]:
    last: dict[int, int] = {}
    ends = [FrameId(gap.session, gap.first + gap.frames - 1) for gap in seen.gaps]
    for session, seq in (*seen.frames, *seen.scores, *ends):
        last[session] = max(last.get(session, 0), seq)
    return (FrameId(session, seq) for session in sorted(last) for seq in range(last[session] + 1))


def _is_unread(frame_id: FrameId, seen: CameraSeen, counted: dict[FrameId, set[int]], lives: Sequence[Life]) -> bool:
    """Right behind the last that one bus had said, and on the next the camera's owner says that it is past it."""
    for life, ended in enumerate(lives[:-1]):
        told, next_told = _told_in(seen, counted, life), _told_in(seen, counted, life + 1)
        cursor = seen.cursors.get(life + 1)
        if ended.whole or not (told and cursor and max(told) < frame_id <= cursor[0]):
            continue
        if not next_told or frame_id < min(next_told):
            last = max(told)
            most = 1 + seen.told_late(life, ended.last_look - LAST_MOMENT_S)
            return frame_id.session == last.session and frame_id.seq <= last.seq + most
    return False


def _told_in(seen: CameraSeen, counted: dict[FrameId, set[int]], life: int) -> list[FrameId]:
    """Frames of which something was said in this life of the bus."""
    scored = [frame_id for frame_id, score in seen.scores.items() if score.life == life]
    return scored + [frame_id for frame_id, where in counted.items() if life in where]
