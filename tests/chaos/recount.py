"""Count again from `chaos.json` alone, without code of the harness or of the service.

python -m tests.chaos.recount build/chaos.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LAST_MOMENT_S = 0.25  # of a bus that is killed: what it is told then, nobody may have read
LEASES = 2  # after so many a camera of a killed worker is another's
FORGOTTEN_S = 12.0  # before the end of a bus: what was said then, the next may be told again
UNHEARD_S = 2.0
"""Before the end of a bus: what it held for less, alerting need not have read. What is written
again on the next one counts as read.
"""

COUNTED = (
    "doubles",
    "unexplained",
    "unread",
    "repeated_after_bus_restart",
    "recounted_after_bus_restart",
    "alerts_lost",
    "alerts_differing",
    "differing",
)

Id = tuple[int, int]  # session, seq
First = dict[
    Id, tuple[int, list[Any]]
]  # each frame's first score: the life of the bus, and the row


def recount(data: dict[str, Any]) -> dict[str, int]:
    """Return the counts over all cameras: COUNTED, and `owned_late`.

    `owned_late` counts the cameras of killed and stopped workers that were owned again too late.
    """
    total = dict.fromkeys(COUNTED, 0) | {"owned_late": _owned_late(data)}
    for camera in data["cameras"].values():
        for what, count in _camera(camera, data).items():
            total[what] += count
    return total


def _camera(camera: dict[str, Any], data: dict[str, Any]) -> dict[str, int]:
    scores, ends = list(_scores(camera)), [last_look for _, last_look, _ in data["bus_lives"]]
    first: First = {}
    again: set[Id] = set()  # written again on a later bus
    doubles = repeated = 0
    for life, frame, row in scores:
        known = first.setdefault(frame, (life, row))
        if life > known[0]:
            again.add(frame)
        if known[1] is not row:
            told_again = (
                known[0] != life
                and known[1][3:] == row[3:]
                and _is_forgotten(known[0], known[1][2], ends)
            )
            repeated, doubles = repeated + told_again, doubles + (not told_again)
    gaps, recounted, too_late = _gaps(camera, first, ends)
    doubles += too_late + sum((first[frame][0] == life) for life, frame in gaps if frame in first)
    doubles += len(first) - len({row[1] for _, row in first.values()})
    dealt_with = first.keys() | {frame for _, frame in gaps}
    missing = [frame for frame in _numbers(camera, dealt_with) if frame not in dealt_with]
    told = [(life, frame) for frame, (life, _) in first.items()] + gaps
    unread = sum(_is_unread(frame, told, first, camera, data["bus_lives"]) for frame in missing)
    return {
        "doubles": doubles,
        "unexplained": len(missing) - unread,
        "unread": unread,
        "repeated_after_bus_restart": repeated,
        "recounted_after_bus_restart": recounted,
        **_alerts(camera, first, again, data),
        "differing": _differing(camera, first, data["reference"]),
    }


def _gaps(
    camera: dict[str, Any], first: First, ends: list[float]
) -> tuple[list[tuple[int, Id]], int, int]:
    """Return (life, frame) of every frame in a gap, and two counts.

    The first counts frames that were dealt with on a former bus shortly before its end; the second
    those that were dealt with before that, or twice on one bus.
    """
    told: dict[Id, dict[int, float]] = {}
    again = doubles = 0
    for life, session, at, count, _, seen_at in camera["gaps"]:
        for seq in range(at, at + count):
            known = told.setdefault((session, seq), {})
            scored_in, row = first.get((session, seq), (life, []))
            before = [*known.items(), *([(scored_in, row[2])] if scored_in < life else [])]
            if life in known or not all(_is_forgotten(*one, ends) for one in before):
                doubles += 1
            else:
                again += bool(before)
            known.setdefault(life, seen_at)
    return [(life, frame) for frame, lives in told.items() for life in lives], again, doubles


def _is_forgotten(life: int, told_at: float, ends: list[float]) -> bool:
    return told_at > ends[life] - FORGOTTEN_S


def _scores(camera: dict[str, Any]) -> Iterator[tuple[int, Id, list[Any]]]:
    for group in camera["scores"]:
        for row in group["rows"]:
            yield group["life"], (group["session"], row[0]), row


def _numbers(camera: dict[str, Any], dealt_with: set[Id]) -> Iterator[Id]:
    ends: dict[int, int] = {}
    for session, seq in [*((session, high) for session, _, high in camera["frames"]), *dealt_with]:
        ends[session] = max(seq, ends.get(session, 0))
    return ((session, seq) for session, end in ends.items() for seq in range(end + 1))


def _is_unread(
    frame: Id, told: list[tuple[int, Id]], first: First, camera: dict[str, Any], lives: list[Any]
) -> bool:
    """Return whether a frame was reported on a bus that died before anybody read it.

    Such a frame follows all that was said on one bus, precedes all that was said on the next, and
    lies before its owner's cursor there. There are at most as many as were scored in LAST_MOMENT_S
    before, and one more.
    """
    for life, first_cursor, _ in camera["cursors"]:
        before = [one for at, one in told if at == life - 1]
        after = [one for at, one in told if at == life]
        if (
            before
            and max(before) < frame <= tuple(first_cursor)
            and (not after or frame < min(after))
        ):
            _, last_look, whole = lives[life - 1]
            if whole:
                return False
            since = last_look - LAST_MOMENT_S
            most = 1 + sum(at == life - 1 and row[2] > since for at, row in first.values())
            return frame[0] == max(before)[0] and frame[1] <= max(before)[1] + most
    return False


def _differing(camera: dict[str, Any], first: First, reference: dict[str, Any]) -> int:
    """Return how many scores of a file at full pace differ from the undisturbed run."""
    if camera["kind"] != "fast":
        return 0
    expected = {reference["from_seq"] + i: row for i, row in enumerate(reference["scores"])}
    return sum(expected.get(seq) != row[3:] for (_, seq), (_, row) in first.items())


def _owned_late(data: dict[str, Any]) -> int:
    """Return how many takeovers were late, by the observed leases.

    A camera must have another token than the victim's at most two leases after the blow.
    """
    late = 0
    for fault in data["faults"]:
        began = fault["began_at"]
        for name, one in fault["takeovers"].items():
            held = data["cameras"][name]["leases"].get(one["stage"], [])
            former = [token for at, token in held if at <= began][-1:]
            again = [
                at for at, token in held if at > began and token is not None and [token] != former
            ]
            late += not again or again[0] - began > LEASES * data["settings"]["lease_s"]
    return late


# An alert opens at or above the threshold, never below `low` for the minimum duration. It closes
# when below `low` for long enough, or at the last score before a break: another session, a time
# that lies too far ahead, or the end.


def _alerts(
    camera: dict[str, Any], first: First, again: set[Id], data: dict[str, Any]
) -> dict[str, int]:
    """Return how many alerts are missing, and how many are not those of the scores.

    Those about which scores may have decided that died with a bus unread are not compared.
    """
    stored = [
        (name.rpartition(":")[2], opened, float("inf") if closed is None else closed)
        for name, opened, closed in camera["alerts_stored"]
    ]
    doubtful = _doubtful(first, again, data["bus_lives"])
    wanted = list(_wanted(first, doubtful, data["policy"]))
    lost = len(set(camera["alerts_told"]) - {name for name, _, _ in camera["alerts_stored"]})
    lost += sum(
        not any(_overlap(one, other) for other in stored) for *one, is_sure in wanted if is_sure
    )
    unsure = [one for *one, is_sure in wanted if not is_sure]
    demanded = {tuple(one) for *one, is_sure in wanted if is_sure}
    found = {one for one in stored if not any(_overlap(one, other) for other in unsure)}
    return {
        "alerts_lost": lost,
        "alerts_differing": len({name for name, _, _ in demanded ^ found}),
    }


def _overlap(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return bool(one[1] <= other[2] and other[1] <= one[2])


def _doubtful(first: First, again: set[Id], lives: list[Any]) -> set[Id]:
    """Return the scores that alerting need not have read before their bus died."""
    return {
        frame
        for frame, (life, row) in first.items()
        if frame not in again and life < len(lives) - 1 and row[2] > lives[life][1] - UNHEARD_S
    }


def _wanted(
    first: First, doubtful: set[Id], policy: dict[str, float]
) -> Iterator[tuple[str, float, float, bool]]:
    """Yield (frame, from, until, no doubtful score decides) of each alert that is demanded."""
    high_since = low_since = None
    opened: tuple[str, float] | None = None
    before: tuple[int, float] | None = None  # session, captured_at
    is_sure = True
    for frame, (_, row) in sorted(first.items()):
        at, value = row[1], row[7] or 0.0
        is_sure = is_sure and frame not in doubtful
        if before and (before[0] != frame[0] or at - before[1] > policy["quiet_after_s"]):
            if opened:
                yield (*opened, before[1], is_sure)
            high_since = low_since = opened = None
        before = frame[0], at
        low_since, high_since = _since(value, at, low_since, high_since, bool(opened), policy)
        if opened is None and value >= policy["threshold"] and high_since is not None:
            if at - high_since >= policy["min_duration_s"] - 0.001:
                opened = f"{frame[0]}-{frame[1]}", at
        elif opened and low_since is not None and at - low_since >= policy["clear_after_s"] - 0.001:
            yield (*opened, at, is_sure)
            high_since = low_since = opened = None
        if opened is None and high_since is None:
            is_sure = frame not in doubtful
    if opened and before:
        yield (*opened, before[1], is_sure)


def _since(
    value: float,
    at: float,
    low_since: float | None,
    high_since: float | None,
    is_open: bool,
    policy: dict[str, float],
) -> tuple[float | None, float | None]:
    """Return since when the value is low, and since when it was high and never low."""
    if high_since is not None:
        high_since = min(high_since, at)
    if value < policy["threshold"] - policy["hysteresis"]:
        low_since = at if low_since is None else min(low_since, at)
        return low_since, high_since if is_open else None
    if high_since is None and value >= policy["threshold"]:
        high_since = at
    return None, high_since


if __name__ == "__main__":
    print(json.dumps(recount(json.loads(Path(sys.argv[1]).read_text())), indent=2))
