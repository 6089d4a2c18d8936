"""The harness and the recount find every defect that a record contains."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.service.core.messages import FrameId
from tests.chaos.faults import Fault
from tests.chaos.fleet import Member
from tests.chaos.record import disagreements, record
from tests.chaos.recount import recount
from tests.chaos.seen import CameraSeen, GapSeen, Numbers, ScoreSeen
from tests.chaos.takeovers import is_done, late, take_over, was_anothers
from tests.chaos.verdicts import Evidence, Verdict, judge
from tests.chaos.watching import Life

SESSION = 1000
FRAMES = 60
POLICY = AlertPolicy(0.5, 0.1, min_duration_s=0.5, clear_after_s=2.0, quiet_after_s=15.0)
LEASE_S = 3.0


def numbers(seq: int) -> Numbers:
    """Return the numbers of a score; frames 20 to 39 are abnormal."""
    return (20.0, 0.1, 0.01, 1.0, 0.9 if 20 <= seq < 40 else 0.2)


def score(seq: int, life: int = 0) -> ScoreSeen:
    """Return a score of a camera with ten frames a second, scored and read at once."""
    return ScoreSeen(seq / 10, seq / 10, seq / 10, life, numbers(seq))


def gap(first: int, count: int, reason: str, life: int = 0, session: int = SESSION) -> GapSeen:
    """Return a gap that is read when its last frame comes."""
    return GapSeen(session, first, count, reason, life, (first + count) / 10)


def camera(scored: range = range(4, FRAMES), life_of: int = FRAMES) -> CameraSeen:
    """Return a live camera whose first frames fill the window.

    From frame `life_of` on, the bus is another one.
    """
    seen = CameraSeen(gaps=[gap(0, 4, "window")])
    for seq in range(FRAMES):
        seen.add_frame(FrameId(SESSION, seq), int(seq >= life_of), seq / 10)
        if seq in scored:
            seen.add_score(FrameId(SESSION, seq), score(seq, int(seq >= life_of)))
        seen.add_cursor(FrameId(SESSION, seq), int(seq >= life_of))
    return seen


def evidence(seen: CameraSeen, lives: list[Life] | None = None, **other: Any) -> Evidence:
    alert = {"id": f"gate:{SESSION}-25", "camera": "gate", "opened_at": 2.5, "closed_at": 5.9}
    lives = lives or [Life("a", 0.0, FRAMES / 10)]
    scored = {*seen.scores.items(), *seen.again}
    usual: dict[str, Any] = {
        "members": {"gate": Member("gate", "rtsp://127.0.0.1/clip", "rtsp", 0)},
        "told": {alert["id"]: alert},
        "stored": {"gate": [alert]},
        "on_bus": {
            "gate": sorted({frame_id for frame_id, one in scored if one.life == len(lives) - 1})
        },
        "faults": [],
        "settled": True,
        "log": [],
    }
    return Evidence(
        seen={"gate": seen},
        lives=lives,
        reference=[numbers(seq) for seq in range(4, FRAMES)],
        reference_from=4,
        policy=POLICY,
        lease_s=LEASE_S,
        **usual | other,
    )


def a_file() -> dict[str, Member]:
    """Return a file at full pace."""
    return {"gate": Member("gate", "/clip.mp4", "fast", 0, frames=FRAMES)}


def counts(found: Evidence) -> tuple[Verdict, dict[str, int]]:
    """Return the counts of the harness, and check that the recount of its record agrees."""
    verdict = judge(found)
    data = record(found, verdict, {"lease_s": LEASE_S})
    assert disagreements(data) == []
    again = recount(json.loads(json.dumps(data)))
    assert again.keys() <= data["verdict"].keys()
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
    seen.gaps.append(gap(45, 5, "lag"))
    assert counts(evidence(seen))[1]["unexplained"] == 0


@pytest.mark.parametrize(
    "wrong", ["twice", "in a gap too", "in two gaps", "one picture under two numbers"]
)
def test_a_double_is_found(wrong: str) -> None:
    seen = camera()
    if wrong == "twice":
        seen.add_score(FrameId(SESSION, 45), score(45))
    elif wrong == "in a gap too":
        seen.gaps.append(gap(45, 1, "lag"))
    elif wrong == "in two gaps":
        seen.gaps.append(gap(3, 1, "lag"))
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
    assert (again["unread"], again["unexplained"]) == (1, 0)
    assert verdict.complaints == [
        "gate: died unread with a bus, and not written again: 1 (1000-45)"
    ], "told apart, and still wrong: inference writes its last outcomes again"


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


@pytest.mark.parametrize(
    "wrong", [{"closed_at": 4.2}, {"opened_at": 2.4}, {"id": "gate:1000-24"}, {"closed_at": None}]
)
def test_an_alert_of_another_id_or_time_than_the_scores_demand_is_found(
    wrong: dict[str, Any],
) -> None:
    alert = evidence(camera()).stored["gate"][0] | wrong
    verdict, again = counts(evidence(camera(), told={}, stored={"gate": [alert]}))
    assert (again["alerts_lost"], again["alerts_differing"]) == (0, 1 + ("id" in wrong))
    assert "are not those of the scores" in verdict.complaints[0]


def test_an_alert_too_many_is_found() -> None:
    alerts = evidence(camera()).stored["gate"]
    alerts = [*alerts, alerts[0] | {"id": "gate:1000-7", "opened_at": 0.7, "closed_at": 1.7}]
    verdict, again = counts(evidence(camera(), stored={"gate": alerts}))
    assert (again["alerts_lost"], again["alerts_differing"]) == (0, 1)
    assert "gate:1000-7" in verdict.complaints[0]


@pytest.mark.parametrize(("is_written_again", "differing"), [(False, 0), (True, 1)])
def test_scores_that_died_unread_with_a_bus_may_have_decided_unless_they_are_on_the_next_one(
    is_written_again: bool, differing: int
) -> None:
    """The bus dies at 4.4 s; the alert that is open then closed at other times than demanded."""
    seen = camera(life_of=45)
    if is_written_again:
        for seq in range(20, 45):
            seen.add_score(FrameId(SESSION, seq), score(seq, life=1))
    alert = evidence(camera()).stored["gate"][0] | {"closed_at": 4.3}
    lives = two_lives(whole=True)
    _, again = counts(evidence(seen, lives, told={}, stored={"gate": [alert]}))
    assert again["alerts_differing"] == differing


def test_a_file_at_full_pace_is_held_against_the_undisturbed_run() -> None:
    seen = camera()
    seen.scores[FrameId(SESSION, 45)] = ScoreSeen(4.5, 4.5, 4.5, 0, (20.0, 0.1, 0.02, 1.0, 0.2))
    verdict, again = counts(evidence(seen, members=a_file()))
    assert again["differing"] == 1
    assert "1000-45" in verdict.complaints[0]


def test_a_file_at_full_pace_loses_nothing_and_is_played_once() -> None:
    seen = camera(scored=range(4, FRAMES - 1))
    seen.gaps.append(gap(FRAMES - 1, 1, "lag"))
    seen.gaps.append(gap(0, 1, "window", session=SESSION + 1))
    seen.add_frame(FrameId(SESSION + 1, 0), 0, 6.0)
    closed = evidence(seen).stored["gate"][0] | {"closed_at": 5.8}  # at the last score
    stored = {"gate": [closed]}
    assert judge(evidence(seen, stored=stored)).complaints == []
    assert judge(evidence(seen, members=a_file(), stored=stored)).complaints == [
        "gate: a file was played in 2 sessions",
        "gate: a file that waits lost frames: {'lag': 1}",
    ]


def test_what_a_new_bus_counts_again_as_left_out_is_told_apart_from_a_double() -> None:
    seen = camera(life_of=46)
    seen.gaps += [gap(45, 1, "lag", life=1), gap(3, 1, "window", life=1)]
    verdict, again = counts(evidence(seen, two_lives(whole=True)))
    assert (again["recounted_after_bus_restart"], again["doubles"], verdict.complaints) == (
        2,
        0,
        [],
    )


@pytest.mark.parametrize("what", ["score", "gap of a score", "gap"])
def test_what_was_said_long_before_the_end_of_a_bus_is_not_told_again(what: str) -> None:
    """A repeat of frame 3 or 4 counts as a double, since the bus ends 14 s after them."""
    seen = camera(life_of=46)
    if what == "score":
        seen.add_score(FrameId(SESSION, 4), score(4, life=1))
    else:
        seen.gaps.append(gap(4 if what == "gap of a score" else 3, 1, "lag", life=1))
    lives = [Life("a", 0.0, 14.0, whole=True), Life("b", 14.1, 15.0)]
    verdict, again = counts(evidence(seen, lives))
    assert again["doubles"] == 1
    assert "gate: doubles" in verdict.complaints[0]


def test_what_never_came_to_rest_is_found() -> None:
    assert judge(evidence(camera(), settled=False)).complaints == [
        "frames were still waiting at the end"
    ]


@pytest.mark.parametrize("wrong", ["away", "one is missing", "one came unseen"])
def test_the_streams_at_the_end_are_what_was_read(wrong: str) -> None:
    ids = sorted(camera().scores)
    on_bus = {
        "away": {},
        "one is missing": {"gate": ids[1:]},
        "one came unseen": {"gate": [*ids, FrameId(9999, 0)]},
    }
    (complaint,) = judge(evidence(camera(), on_bus=on_bus[wrong])).complaints
    assert "at the end" in complaint


def test_a_run_in_which_no_alert_was_due_has_tried_nothing() -> None:
    seen = camera(scored=range(4, 20))
    seen.gaps.append(gap(20, FRAMES - 20, "lag"))
    assert judge(evidence(seen, told={}, stored={})).complaints == [
        "no score met the rule: nothing was tried of alerts"
    ]


def test_a_stack_trace_of_the_service_is_found() -> None:
    log = ["inference | all is well", "inference | Traceback (most recent call last):"]
    assert judge(evidence(camera(), log=log)).complaints == ["1 stack traces in the service's log"]


def test_a_recount_that_differs_is_found() -> None:
    found = evidence(camera())
    data = record(found, judge(found), {"lease_s": LEASE_S})
    data["verdict"]["unexplained"] = 3
    del data["cameras"]["gate"]["scores"][0]["rows"][-1]
    assert disagreements(data) == [
        "unexplained: 3, recounted 1",
        "alerts_differing: 0, recounted 1",  # it closes at the last score
    ]


# Faults


def fault(**changes: Any) -> Fault:
    return Fault(**{"kind": "kill -9 bus", "began_at": 2.0, "recovered_at": 4.0, **changes})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"recovered_at": None}, "scores did not flow again"),
        ({"meanwhile": {"gate": 0, "yard": 3}}, "meanwhile no score of gate"),
        (
            {"others": ["gate", "yard", "hall"], "meanwhile": {"gate": 9}},
            "of 3 live cameras only 1 were",
        ),
        ({"failed": ["alerting does not follow the scores again"]}, "alerting does not follow"),
    ],
)
def test_what_did_not_go_on_is_found(changes: dict[str, Any], complaint: str) -> None:
    (found,) = judge(evidence(camera(), faults=[fault(**changes)])).complaints
    assert found.startswith(f"kill -9 bus: {complaint}")
    assert judge(evidence(camera(), faults=[fault(**changes, skipped="no disk")])).complaints == []


def of_two_owners(
    stage: str, struck_at: float, owned_at: float | None, resumes_at: float
) -> CameraSeen:
    """Return a camera whose lease lapses a second before another worker has it.

    The next score and frame come at `resumes_at`.
    """
    seen = camera()
    seen.times = seen.frame_times = [
        struck_at - 0.1,
        struck_at + 0.1,
        resumes_at,
    ]  # the last ones of the victim, too
    seen.leases = {stage: [(0.0, "victim")]}
    if owned_at is not None:
        seen.leases[stage] += [(owned_at - 1.0, None), (owned_at, "heir")]
    return seen


@pytest.mark.parametrize(
    ("stage", "kind", "owned_s", "resumed_s", "complaint"),
    [
        ("inference", "rtsp", 5.8, 5.9, ""),
        ("inference", "rtsp", 5.9, 6.1, "gate: next score after 6.1 s, not within 6 s"),
        ("inference", "paced", 5.9, 6.1, "gate: next score after 6.1 s, not within 6 s"),
        ("inference", "fast", 5.9, 13.4, ""),
        (
            "inference",
            "fast",
            6.1,
            6.5,
            "gate: inference owned by another after 6.1 s, not within 6 s",
        ),
        ("inference", "fast", 5.9, 13.6, "gate: next score after 13.6 s, not within 13.5 s"),
        ("ingest", "paced", 5.9, 8.9, ""),
        ("ingest", "paced", 6.1, 6.5, "gate: ingest owned by another after 6.1 s, not within 6 s"),
        ("ingest", "paced", 5.9, 9.1, "gate: next frame after 9.1 s, not within 9 s"),
        ("ingest", "rtsp", 5.9, 11.1, "gate: next frame after 11.1 s, not within 11 s"),
        ("ingest", "fast", 5.9, 11.1, "gate: next frame after 11.1 s, not within 11 s"),
    ],
)
def test_a_late_take_over_is_found(
    stage: str, kind: str, owned_s: float, resumed_s: float, complaint: str
) -> None:
    member = Member("gate", "/clip.mp4", kind, 0)
    seen = of_two_owners(stage, 2.0, 2.0 + owned_s, 2.0 + resumed_s)
    one = take_over(stage, seen, member, 2.0)
    assert (one.owned_s, one.resumed_s) == (owned_s, resumed_s)
    found = evidence(seen, members={"gate": member}, faults=[fault(takeovers={"gate": one})])
    _, again = counts(found)
    assert again["owned_late"] == ("owned" in complaint)
    assert list(late({"gate": one}, found.members, LEASE_S)) == [complaint] * bool(complaint)
    assert (f"kill -9 bus: {complaint}" in judge(found).complaints) == bool(complaint)


def test_a_camera_that_nobody_takes_over_is_found() -> None:
    seen = of_two_owners("ingest", 2.0, None, 2.3)  # a frame that was on its way
    seen.add_lease("ingest", None, 5.0)
    one = take_over("ingest", seen, Member("gate", "rtsp://host/x", "rtsp", 0), 2.0)
    assert (one.owned_s, one.resumed_s, is_done(one)) == (None, None, False)
    verdict, again = counts(evidence(seen, faults=[fault(takeovers={"gate": one})]))
    assert again["owned_late"] == 1
    assert verdict.complaints == [
        "kill -9 bus: gate: ingest owned by another never, not within 6 s",
        "kill -9 bus: gate: next frame never, not within 11 s",
    ]


def test_a_file_that_had_ended_must_be_owned_again_and_has_no_next_frame() -> None:
    seen, member = of_two_owners("ingest", 2.0, 5.0, 2.1), a_file()["gate"]
    one = take_over("ingest", seen, member, 2.0)
    assert (one.owned_s, one.resumed_s, one.ended, is_done(one)) == (3.0, None, True, True)
    assert list(late({"gate": one}, {"gate": member}, LEASE_S)) == []
    del seen.frames[FrameId(SESSION, FRAMES - 1)]
    assert not take_over("ingest", seen, member, 2.0).ended


def test_a_lease_that_lives_on_was_not_the_victims() -> None:
    seen = CameraSeen(leases={"inference": [(0.0, "another")]})
    assert not was_anothers(
        "inference", seen, 2.0, LEASE_S, last_look=5.1
    )  # it may still be a dead worker's
    assert was_anothers("inference", seen, 2.0, LEASE_S, last_look=5.3)
    seen.add_lease("inference", None, 4.9)
    assert not was_anothers("inference", seen, 2.0, LEASE_S, last_look=9.0)
    seen.add_lease("inference", "heir", 5.5)
    assert not was_anothers("inference", seen, 2.0, LEASE_S, last_look=9.0)
