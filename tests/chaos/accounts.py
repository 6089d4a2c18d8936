"""The accounts of one camera: the fate of every frame, observed from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lookout.service.core.messages import FrameId
from lookout.service.inference.outbox import RESTORED_S
from tests.chaos.seen import CameraSeen, GapSeen
from tests.chaos.takeovers import SNAPSHOT_EVERY_S
from tests.chaos.watching import Life

Told = dict[
    FrameId, dict[int, float]
]  # frame that was left out → in which lives of the bus it was said, and when

LAST_MOMENT_S = 0.25
"""The time before a bus dies whose messages nobody may have read, after our last look.

As many as in this time before, and one more, may be lost.
"""

FORGOTTEN_S = max(SNAPSHOT_EVERY_S, RESTORED_S) + 2.0
"""The time before a bus dies whose messages may come again on the next bus.

Its owner writes what is younger than RESTORED_S again. Another worker that takes the camera then
goes by the last snapshot, and no cursor on the bus tells it more. The two seconds are for saving a
snapshot.
"""


@dataclass
class Books:
    frames: int = 0  # ids seen on the bus
    scored: int = 0
    gaps: Counter[str] = field(default_factory=Counter)  # reason → frames
    doubles: list[FrameId] = field(
        default_factory=list
    )  # scored twice, or scored and left out, or left out twice
    repeated: list[FrameId] = field(
        default_factory=list
    )  # the same score again on a new bus, of the last moments
    recounted: list[FrameId] = field(
        default_factory=list
    )  # left out on a new bus, dealt with on the former: likewise
    unread: list[FrameId] = field(
        default_factory=list
    )  # told on a bus that died before anybody read it
    unexplained: list[FrameId] = field(default_factory=list)


def books_of(seen: CameraSeen, lives: Sequence[Life]) -> Books:
    """Return the accounts of a camera.

    Every number of every session, from 0 to the last that was seen, must have a score or lie in a
    gap.
    """
    books = Books(len(seen.frames), len(seen.scores))
    counted = _gap_lives(seen, lives, books)
    _find_doubles(seen, counted, lives, books)
    for frame_id in _numbers(seen):
        if frame_id not in seen.scores and frame_id not in counted:
            (
                books.unread if _is_unread(frame_id, seen, counted, lives) else books.unexplained
            ).append(frame_id)
    return books


def ids_of(gap: GapSeen) -> Iterator[FrameId]:
    return (FrameId(gap.session, seq) for seq in range(gap.first, gap.first + gap.frames))


def _gap_lives(seen: CameraSeen, lives: Sequence[Life], books: Books) -> Told:
    """Return in which lives of the bus, and when, each frame was counted as left out.

    Twice in one life is wrong.
    """
    found: Told = {}
    for gap in seen.gaps:
        books.gaps[gap.reason] += gap.frames
        for frame_id in ids_of(gap):
            told = found.setdefault(frame_id, {})
            before = [*told.items(), *_scored_before(frame_id, gap.life, seen)]
            if gap.life in told or not all(_is_forgotten(*one, lives) for one in before):
                books.doubles.append(frame_id)
            elif before:
                books.recounted.append(frame_id)
            told.setdefault(gap.life, gap.seen_at)
    return found


def _scored_before(frame_id: FrameId, life: int, seen: CameraSeen) -> list[tuple[int, float]]:
    score = seen.scores.get(frame_id)
    return [(score.life, score.seen_at)] if score is not None and score.life < life else []


def _is_forgotten(life: int, told_at: float, lives: Sequence[Life]) -> bool:
    return told_at > lives[life].last_look - FORGOTTEN_S


def _find_doubles(seen: CameraSeen, counted: Told, lives: Sequence[Life], books: Books) -> None:
    for frame_id, score in seen.again:
        first = seen.scores[frame_id]
        told_again = first.life != score.life and first.numbers == score.numbers
        forgotten = told_again and _is_forgotten(first.life, first.seen_at, lives)
        (books.repeated if forgotten else books.doubles).append(frame_id)
    times: dict[float, FrameId] = {}
    for frame_id, score in seen.scores.items():
        if (
            score.life in counted.get(frame_id, ())
            or times.setdefault(score.captured_at, frame_id) != frame_id
        ):
            books.doubles.append(frame_id)


def _numbers(seen: CameraSeen) -> Iterator[FrameId]:
    last: dict[int, int] = {}
    ends = [FrameId(gap.session, gap.first + gap.frames - 1) for gap in seen.gaps]
    for session, seq in (*seen.frames, *seen.scores, *ends):
        last[session] = max(last.get(session, 0), seq)
    return (FrameId(session, seq) for session in sorted(last) for seq in range(last[session] + 1))


def _is_unread(frame_id: FrameId, seen: CameraSeen, counted: Told, lives: Sequence[Life]) -> bool:
    """Return whether a frame was reported on a bus that died before anybody read it.

    Such a frame follows the last one that this bus reported, and on the next bus the cursor of the
    camera's owner is past it.
    """
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


def _told_in(seen: CameraSeen, counted: Told, life: int) -> list[FrameId]:
    """Frames of which something was said in this life of the bus."""
    scored = [frame_id for frame_id, score in seen.scores.items() if score.life == life]
    return scored + [frame_id for frame_id, where in counted.items() if life in where]
