"""Contents of the four dashboards.

Every API process reports the same about cameras and stages: hence `max by` everywhere.
"""

from __future__ import annotations

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.panels import Panel, Query, board, lines, number, states
from lookout.service.core.messages import CameraStatus

OK = "green"
BAD = "red"
DOUBT = "orange"
CALM = "blue"
GONE = "gray"
NONE_GOOD = ((None, OK), (1, BAD))
SOME_GOOD = ((None, BAD), (1, OK))
ALWAYS = ((None, CALM),)
DISK = ((None, BAD), (0.03, DOUBT), (0.1, OK))
COLOURS = {
    CameraStatus.STARTING: CALM,
    CameraStatus.LEARNING: CALM,
    CameraStatus.ONLINE: OK,
    CameraStatus.RECONNECTING: DOUBT,
    CameraStatus.STALLED: DOUBT,
    CameraStatus.ENDED: GONE,
    CameraStatus.DISABLED: GONE,
    CameraStatus.FAILED: BAD,
}
STATES = {at: (state.value, COLOURS[state]) for at, state in enumerate(CameraStatus)}


def dashboards() -> dict[str, str]:
    """Return the JSON of each dashboard by file name."""
    return {
        f"{built.uid}.json": json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
        for built in (overview(), camera(), inference(), alerts())
    }


# PromQL

LIVE = 'state=~"online|learning"'
DOWN = 'state=~"starting|reconnecting|stalled|failed"'
CAMERA = 'camera=~"$camera"'


def each(expr: str, by: str = "camera") -> str:
    """Return `expr` once, however many API processes report it."""
    return f"max by ({by}) ({expr})"


def gauge(name: str) -> str:
    """Return a gauge of each chosen camera."""
    return each(f"lookout_{name}{{{CAMERA}}}")


def rate(counter: str, chosen: str = "", by: str = "camera") -> str:
    """Return the increase of a counter in a second."""
    return each(f"rate(lookout_{counter}{{{chosen}}}[$__rate_interval])", by)


def state_number(chosen: str = "") -> str:
    """Return each camera's state as its position in `CameraStatus`."""
    places = [
        each(f'lookout_camera_state{{state="{state}",{chosen}}}', "camera, state") + f" * {at}"
        for at, state in enumerate(CameraStatus)
    ]
    return f"sum by (camera) ({' or '.join(places)})"


def latency(chosen: str = "") -> str:
    """Return the buckets of all chosen cameras together."""
    return f"sum by (le) ({rate('latency_seconds_bucket', chosen, 'camera, le')})"


def quantiles(buckets: str) -> list[Query]:
    """Return queries of the median, 95 % and 99 %."""
    return [
        (f"histogram_quantile({share}, {buckets})", f"{share:.0%}") for share in (0.5, 0.95, 0.99)
    ]


def dropped(chosen: str = "") -> Query:
    """Return a query of dropped frames in a second, by reason."""
    return (
        f"sum by (reason) ({rate('frames_dropped_total', chosen, 'camera, reason')})",
        "{{reason}}",
    )


ALL_OPEN = f"sum({each('lookout_alerts_open')})"
WORKERS: Query = (each("lookout_workers", "stage"), "{{stage}}")
ALERTED = (
    f"{gauge('alerts_open')} > 0 or {each(f'increase(lookout_alerts_total{{{CAMERA}}}[1m])')} > 0"
)


# The dashboards

SCORE = "Score"


def score() -> Panel:
    """Return the panel on which alerts are marked."""
    peak = (gauge("score_peak"), "{{camera}} peak")
    newest = (gauge("score"), "{{camera}}")
    return lines(
        SCORE,
        "Newest, and the highest of 15 s; alerts are marked.",
        "none",
        peak,
        newest,
        width=24,
        most=1,
    )


def overview() -> Dashboard:
    """Return the dashboard of all cameras, stages and servers."""
    watched, unwatched = (
        f"sum({each(f'lookout_camera_state{{{which}}}')})" for which in (LIVE, DOWN)
    )
    version = each("lookout_build_info", "version"), "{{version}}"
    firing = 'count(ALERTS{alertstate="firing"}) or vector(0)'
    free = "min(lookout_data_free_bytes / lookout_data_size_bytes)"
    frames, scores = (f"sum({rate(f'{what}_total')})" for what in ("frames", "scores"))
    oldest = f"topk(5, {each('lookout_frame_age_seconds')})"
    panels: list[Panel] = [
        number("Watched", "Cameras that are scored.", "none", SOME_GOOD, (watched, "")),
        number(
            "Not watched", "Cameras that should be and are not.", "none", NONE_GOOD, (unwatched, "")
        ),
        number("Open alerts", "Anomalies going on now.", "none", NONE_GOOD, (ALL_OPEN, "")),
        number(
            "Rules firing",
            "Of Prometheus; docs/runbook.md says what to do.",
            "none",
            NONE_GOOD,
            (firing, ""),
        ),
        number("Disk free", "Of the data folder's volume.", "percentunit", DISK, (free, "")),
        number("Version", "Of the API.", "none", ALWAYS, version, named=True),
        number("Workers", "At each stage.", "none", SOME_GOOD, WORKERS, width=12),
        number(
            "Redis",
            "1 while it answers.",
            "none",
            SOME_GOOD,
            (each("lookout_up", "server"), "{{server}}"),
            width=12,
        ),
        states("Cameras", "What each is doing.", STATES, (state_number(), "{{camera}}")),
        lines("Frames", "A second, of all cameras.", "cps", (frames, "kept"), (scores, "scored")),
        lines("Latency", "From capture to score; live cameras.", "s", *quantiles(latency())),
        lines("Dropped", "Frames a second, by reason.", "cps", dropped(), stacked=True),
        lines(
            "Oldest picture",
            "The five cameras whose newest frame is oldest.",
            "s",
            (oldest, "{{camera}}"),
        ),
    ]
    return board("lookout-overview", "Lookout: overview", "Is everything watched, in time?", panels)


def camera() -> Dashboard:
    """Return the dashboard of the chosen cameras."""
    frames, scores, reused = (
        rate(f"{what}_total", CAMERA) for what in ("frames", "scores", "scores_reused")
    )
    decisions = rate("memory_decisions_total", CAMERA, "camera, decision")
    reconnects, corrupt = (
        rate(f"{what}_total", CAMERA) for what in ("reconnects", "corrupt_packets")
    )
    panels: list[Panel] = [
        states("State", "What it is doing.", STATES, (state_number(CAMERA), "{{camera}}")),
        score(),
        lines(
            "Frames",
            "A second; of a still picture, the score of an earlier frame may be reused.",
            "cps",
            (frames, "{{camera}} kept"),
            (scores, "{{camera}} scored"),
            (reused, "{{camera}} reused"),
        ),
        lines("Dropped", "Frames a second, by reason.", "cps", dropped(CAMERA), stacked=True),
        lines("Latency", "From capture to score.", "s", *quantiles(latency(CAMERA))),
        lines(
            "Age",
            "Since the newest frame was filmed, and since the newest score.",
            "s",
            (gauge("frame_age_seconds"), "{{camera}} frame"),
            (gauge("score_age_seconds"), "{{camera}} score"),
        ),
        lines(
            "Waiting",
            "Frames that inference has not dealt with.",
            "none",
            (gauge("frames_waiting"), "{{camera}}"),
        ),
        lines(
            "Connection",
            "Connected again, and packets that could not be decoded, a second.",
            "cps",
            (reconnects, "{{camera}} again"),
            (corrupt, "{{camera}} corrupt"),
        ),
        lines(
            "Drift",
            "Of the memory from training; 0 is as trained.",
            "none",
            (gauge("memory_drift"), "{{camera}}"),
        ),
        lines(
            "Memory",
            "What the gate decided, a second.",
            "cps",
            (decisions, "{{camera}} {{decision}}"),
        ),
        lines(
            "Tampered",
            "1 while the picture is dark, empty or blurred.",
            "none",
            (gauge("camera_tampered"), "{{camera}}"),
        ),
        lines(
            "Armed",
            "1 while alerts open, by schedule and override.",
            "none",
            (gauge("camera_armed"), "{{camera}}"),
        ),
        lines(
            "Self-test",
            "0 where a camera would not notice an anomaly made into its frames.",
            "none",
            (gauge("camera_self_test_passed"), "{{camera}}"),
        ),
        lines("Open alerts", "Anomalies going on.", "none", (gauge("alerts_open"), "{{camera}}")),
    ]
    return board(
        "lookout-camera",
        "Lookout: camera",
        "One camera, or some, from picture to score.",
        panels,
        by_camera=True,
        alerts_on=[SCORE],
        alerts=ALERTED,
    )


def inference() -> Dashboard:
    """Return the dashboard of the inference stage."""
    steps, frames = (
        f"max(rate(lookout_batch_frames_{part}[$__rate_interval]))" for part in ("count", "sum")
    )
    step = rate("step_seconds_bucket", by="le")
    late = f"histogram_quantile(0.95, {rate('latency_seconds_bucket', by='camera, le')})"
    lag = rate("frames_dropped_total", 'reason="lag"')
    loads = each("lookout_worker_load", "stage, worker")
    store_failures = "max(increase(lookout_store_failures_total[1h]))"
    decisions = f"sum by (decision) ({rate('memory_decisions_total', by='camera, decision')})"
    panels: list[Panel] = [
        number("Workers", "At each stage.", "none", SOME_GOOD, WORKERS, width=12),
        number("Forward passes", "A second, all workers.", "cps", ALWAYS, (steps, ""), width=6),
        number("Frames", "Scored a second, all workers.", "cps", ALWAYS, (frames, ""), width=6),
        lines("Step", "Time of a forward pass.", "s", *quantiles(step)),
        lines(
            "Batch",
            "Frames that share a forward pass, on average.",
            "none",
            (f"{frames} / {steps}", "frames"),
        ),
        lines(
            "Load",
            "Frames a second that each worker has taken on.",
            "cps",
            (loads, "{{stage}} {{worker}}"),
        ),
        lines("Latency", "From capture to score: 95 % are quicker.", "s", (late, "{{camera}}")),
        lines(
            "Lag",
            "Frames a second dropped since inference is too slow.",
            "cps",
            (lag, "{{camera}}"),
            stacked=True,
        ),
        lines(
            "Waiting",
            "Frames not dealt with.",
            "none",
            (each("lookout_frames_waiting"), "{{camera}}"),
        ),
        lines("Memory", "What the gates decided, a second.", "cps", (decisions, "{{decision}}")),
        lines(
            "Drift",
            "Of the memories from training.",
            "none",
            (each("lookout_memory_drift"), "{{camera}}"),
        ),
        lines(
            "Rollbacks",
            "How often a guarded memory went back to the trained one.",
            "none",
            (each("increase(lookout_memory_rollbacks_total[1h])"), "{{camera}}"),
        ),
        lines(
            "Dropped views",
            "How often what was learned of a view gave way to another view's.",
            "none",
            (each("increase(lookout_camera_views_dropped_total[1h])"), "{{camera}}"),
        ),
        lines(
            "Store failures",
            "Attempts to save or take over a camera that failed unexpectedly.",
            "none",
            (store_failures, "failed"),
        ),
    ]
    return board("lookout-inference", "Lookout: inference", "Is there enough of it?", panels)


def clips(fate: str) -> str:
    """Return the query for the clips of the hour before, by what became of them."""
    return f"sum(increase(lookout_clips_{fate}_total{{{CAMERA}}}[1h]))"


def evidence(fate: str) -> str:
    """Return the query for the pictures and clips of the hour before, by what became of them."""
    return f"sum(increase(lookout_evidence_{fate}_total{{{CAMERA}}}[1h]))"


def alerts() -> Dashboard:
    """Return the dashboard of alerts and their deliveries."""
    by_hour = each(f"increase(lookout_alerts_total{{{CAMERA}}}[1h])")
    today = f"sum({each('increase(lookout_alerts_total[24h])')})"
    failed = 'increase(lookout_deliveries_total{result="failed"}[1h])'
    undelivered = each(failed, "sink")
    panels: list[Panel] = [
        number("Open now", "At all cameras.", "none", NONE_GOOD, (ALL_OPEN, ""), width=8),
        number(
            "Last 24 hours", "Alerts opened at all cameras.", "none", ALWAYS, (today, ""), width=8
        ),
        number(
            "Listeners",
            "WebSocket clients.",
            "none",
            ALWAYS,
            ("sum(lookout_live_listeners)", ""),
            width=8,
        ),
        score(),
        lines("An hour", "Alerts opened in the hour before.", "none", (by_hour, "{{camera}}")),
        lines(
            "Open", "At each camera.", "none", (gauge("alerts_open"), "{{camera}}"), stacked=True
        ),
        lines(
            "Suppressed",
            "Alerts a day that repeat what a person answered, and that sinks are not told of.",
            "none",
            (each(f"increase(lookout_alerts_suppressed_total{{{CAMERA}}}[1d])"), "{{camera}}"),
        ),
        lines(
            "Alarm budgets",
            "Alerts opened over those that the budget allows, since it was set; "
            "and the threshold now.",
            "none",
            (
                f"{gauge('alarm_budget_seen')} / ({gauge('alarm_budget_expected')} > 3)",
                "{{camera}} seen over expected",
            ),
            (gauge("alarm_budget_threshold"), "{{camera}} threshold"),
        ),
        lines(
            "Behind",
            "Scores that alerting has not dealt with, and those a second that left the bus unread.",
            "none",
            (gauge("scores_waiting"), "{{camera}}"),
            (rate("scores_unread_total", CAMERA), "{{camera}} unread"),
        ),
        lines(
            "Live queue",
            "Messages that wait for the slowest listener, "
            "and listeners closed a second since they were too slow.",
            "none",
            ("max(lookout_live_queue_messages)", "waiting"),
            ("sum(rate(lookout_live_closed_behind_total[$__rate_interval]))", "closed"),
        ),
        lines(
            "Live pictures",
            "Viewers, and pictures a second that were dropped since a viewer was too slow.",
            "none",
            ("sum(lookout_live_picture_viewers)", "viewers"),
            ("sum(rate(lookout_live_pictures_dropped_total[$__rate_interval]))", "dropped"),
        ),
        lines(
            "Refused",
            "Requests a second without the token, with a wrong one, or after too many wrong ones; "
            "and changes whose line the audit lacks.",
            "none",
            (
                "sum by (refusal) (rate(lookout_requests_refused_total[$__rate_interval]))",
                "{{refusal}}",
            ),
            ("sum(rate(lookout_guesses_limited_total[$__rate_interval]))", "too many"),
            ("sum(rate(lookout_audit_lost_total[$__rate_interval]))", "without a line"),
        ),
        lines(
            "Requests with a key",
            "Requests a second with an Idempotency-Key, and answers dropped or lost.",
            "none",
            (
                "sum by (outcome) (rate(lookout_keyed_requests_total[$__rate_interval]))",
                "{{outcome}}",
            ),
        ),
        lines(
            "Uploads",
            "Recordings in the hour before: uploaded, refused, broken off, dropped for their age "
            "or want of room.",
            "none",
            ("sum by (upload) (increase(lookout_uploads_total[1h]))", "{{upload}}"),
        ),
        lines(
            "Not delivered",
            "Alert events given up in the hour before, and dead letters, by sink.",
            "none",
            (f"sum by (sink) ({undelivered}) or vector(0)", "{{sink}}"),
            (each("lookout_dead_letters", "sink"), "{{sink}}: dead letters"),
        ),
        lines(
            "Clips",
            "Clips of alerts in the hour before: written, and not made or given up.",
            "none",
            (clips("written"), "written"),
            (clips("failed"), "failed"),
            (clips("dropped"), "given up"),
        ),
        lines(
            "Copies of evidence",
            "Pictures and clips copied to the bucket in the hour before, those removed before "
            "that, and minutes for which copying has failed.",
            "none",
            (evidence("copied"), "copied"),
            (evidence("lost"), "removed before"),
            ("max(lookout_evidence_failing_seconds) / 60", "failing (min)"),
        ),
    ]
    return board(
        "lookout-alerts",
        "Lookout: alerts",
        "What was found, and does it reach somebody?",
        panels,
        by_camera=True,
        alerts_on=[SCORE],
        alerts=ALERTED,
    )
