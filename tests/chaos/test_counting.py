"""The harness finds what it is there to find: what is wrong in the record is counted, here and by the other program."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.alerting.rule import Limits
from service.messages import FrameId
from tests.chaos.fleet import Member
from tests.chaos.record import record
from tests.chaos.recount import recount
from tests.chaos.seen import CameraSeen, GapSeen, Numbers, ScoreSeen
from tests.chaos.verdicts import Evidence, Verdict, judge
from tests.chaos.watching import Life

SESSION = 1000
FRAMES = 60
LIMITS = Limits(threshold=0.5, low=0.4, min_duration_s=0.5, clear_after_s=2.0, quiet_after_s=15.0)
COUNTED = ("doubles", "unexplained", "unread", "repeated_after_bus_restart", "alerts_lost")


def numbers(seq: int) -> Numbers:
    """Frames 20 to 39 are abnormal."""
    return (20.0, 0.1, 0.01, 1.0, 0.9 if 20 <= seq < 40 else 0.2)


def score(seq: int, life: int = 0) -> ScoreSeen:
    """Ten frames a second, scored and read at once."""
    return ScoreSeen(seq / 10, seq / 10, seq / 10, life, numbers(seq))


def camera(scored: range = range(4, FRAMES), life_of: int = FRAMES) -> CameraSeen:
    """A live camera: the first frames fill the window; from frame `life_of` on, the bus is another one."""
    seen = CameraSeen(gaps=[GapSeen(SESSION, 0, 4, "window", 0)])
    for seq in range(FRAMES):
        seen.add_frame(FrameId(SESSION, seq), int(seq >= life_of), seq / 10)
        if seq in scored:
            seen.add_score(FrameId(SESSION, seq), score(seq, int(seq >= life_of)))
        seen.add_cursor(FrameId(SESSION, seq), int(seq >= life_of))
    return seen


def evidence(seen: CameraSeen, lives: list[Life] | None = None, **other: Any) -> Evidence:
    alert = {"id": f"gate:{SESSION}-25", "camera": "gate", "opened_at": 2.5, "closed_at": 5.9}
    given: dict[str, Any] = {"told": {alert["id"]: alert}, "stored": {"gate": [alert]}} | other
    return Evidence(
        members={"gate": Member("gate", "rtsp://127.0.0.1/clip", given.pop("kind", "rtsp"), 0)},
        seen={"gate": seen},
        lives=lives or [Life("a", 0.0, FRAMES / 10)],
        on_bus={},
        faults=[],
        reference=[numbers(seq) for seq in range(4, FRAMES)],
        reference_from=4,
        limits=LIMITS,
        lease_s=3.0,
        settled=True,
        log=[],
        **given,
    )


def counts(found: Evidence) -> tuple[Verdict, dict[str, int]]:
    """What the harness says, and what the recount of its record says; both agree."""
    verdict = judge(found)
    data = json.loads(json.dumps(record(found, verdict, {})))
    again = recount(data)
    assert {name: data["verdict"][name] for name in COUNTED} == {name: again[name] for name in COUNTED}
    return verdict, again


def test_a_whole_record_has_nothing_wrong() -> None:
    verdict, again = counts(evidence(camera()))
    assert verdict.complaints == []
    assert not any(again.values())


def test_a_frame_without_score_and_gap_is_found() -> None:
    seen = camera()
    del seen.scores[FrameId(SESSION, 45)]
    verdict, again = counts(evidence(seen))
    assert again["unexplained"] == 1
    assert "1000-45" in verdict.complaints[0]


def test_a_number_that_never_came_must_be_told_too() -> None:
    seen = camera()
    for seq in range(45, 50):
        del seen.scores[FrameId(SESSION, seq)], seen.frames[FrameId(SESSION, seq)]
    assert counts(evidence(seen))[1]["unexplained"] == 5
    seen.gaps.append(GapSeen(SESSION, 45, 5, "lag", 0))
    assert counts(evidence(seen))[1]["unexplained"] == 0


@pytest.mark.parametrize("wrong", ["twice", "in a gap too", "in two gaps", "one picture under two numbers"])
def test_a_double_is_found(wrong: str) -> None:
    seen = camera()
    if wrong == "twice":
        seen.add_score(FrameId(SESSION, 45), score(45))
    elif wrong == "in a gap too":
        seen.gaps.append(GapSeen(SESSION, 45, 1, "lag", 0))
    elif wrong == "in two gaps":
        seen.gaps.append(GapSeen(SESSION, 3, 1, "lag", 0))
    else:
        seen.add_score(FrameId(SESSION + 1, 0), score(45))
    verdict, again = counts(evidence(seen))
    assert again["doubles"] == 1
    assert "doubles" in verdict.complaints[0]


def two_lives(whole: bool) -> list[Life]:
    return [Life("a", 0.0, 4.4, whole), Life("b", 4.5, FRAMES / 10)]


def test_what_was_told_right_before_a_bus_was_killed_may_be_unread() -> None:
    seen = camera(life_of=46)
    del seen.scores[FrameId(SESSION, 45)]
    verdict, again = counts(evidence(seen, two_lives(whole=False)))
    assert (again["unread"], again["unexplained"], verdict.complaints) == (1, 0, [])


def test_of_a_bus_that_was_read_to_its_end_nothing_is_unread() -> None:
    seen = camera(life_of=46)
    del seen.scores[FrameId(SESSION, 45)]
    assert counts(evidence(seen, two_lives(whole=True)))[1]["unexplained"] == 1


def test_much_more_than_the_last_moment_is_not_unread() -> None:
    seen = camera(scored=range(4, FRAMES), life_of=56)
    for seq in range(45, 56):
        del seen.scores[FrameId(SESSION, seq)]
    assert counts(evidence(seen, two_lives(whole=False)))[1]["unexplained"] > 5


def test_the_same_score_again_on_a_new_bus_is_told_apart_from_a_double() -> None:
    seen = camera(life_of=46)
    seen.add_score(FrameId(SESSION, 45), score(45, life=1))
    verdict, again = counts(evidence(seen, two_lives(whole=True)))
    assert (again["repeated_after_bus_restart"], again["doubles"], verdict.complaints) == (1, 0, [])


def test_an_acknowledged_alert_that_is_gone_is_found() -> None:
    told = {name: {"camera": "gate"} for name in ("gate:1000-25", "gate:1000-3")}
    verdict, again = counts(evidence(camera(), told=told))
    assert again["alerts_lost"] == 1
    assert "gate:1000-3" in verdict.complaints[0]


def test_scores_that_ask_for_an_alert_get_one() -> None:
    verdict, again = counts(evidence(camera(), told={}, stored={"gate": []}))
    assert again["alerts_lost"] == 1
    assert "gate:1000-25" in verdict.complaints[0]


def test_a_file_at_full_pace_is_held_against_the_undisturbed_run() -> None:
    seen = camera()
    seen.scores[FrameId(SESSION, 45)] = ScoreSeen(4.5, 4.5, 4.5, 0, (20.0, 0.1, 0.02, 1.0, 0.2))
    verdict, again = counts(evidence(seen, kind="fast"))
    assert again["differing"] == 1
    assert "1000-45" in verdict.complaints[0]
