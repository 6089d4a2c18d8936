"""Every key in Redis.

`{camera}` is the hash tag, and no command spans two cameras' keys: they spread over a Cluster as
they are.
"""

from __future__ import annotations

# On the bus (may be lost)


def frames(camera: str) -> str:
    """Stream of frames, id = `<session>-<seq>`."""
    return f"frames:{{{camera}}}"


def scores(camera: str) -> str:
    """Stream of scores, under the frames' ids."""
    return f"scores:{{{camera}}}"


def heat(camera: str) -> str:
    """Stream of heatmaps, under the frames' ids."""
    return f"heat:{{{camera}}}"


def gaps(camera: str) -> str:
    """Stream: frames that were never scored, and why."""
    return f"gaps:{{{camera}}}"


def cursor(camera: str) -> str:
    """String: the last frame that inference has dealt with, scored or not."""
    return f"cursor:{{{camera}}}"


def snapshot_cursor(camera: str) -> str:
    """String: the frame up to which the store holds what the camera learned.

    A source that waits follows it.
    """
    return f"saved:{{{camera}}}"


def lease(stage: str, camera: str) -> str:
    """String with a time to live: the token of the worker that owns the camera at this stage."""
    return f"lease:{stage}:{{{camera}}}"


def owner(stage: str, camera: str) -> str:
    """String: the token of whoever owned it last."""
    return f"owner:{stage}:{{{camera}}}"


def ingest_report(camera: str) -> str:
    return f"ingest:{{{camera}}}"


def inference_report(camera: str) -> str:
    return f"infer:{{{camera}}}"


def evidence(camera: str) -> str:
    """Hash: alert id → the clip and the pictures that alerting asks ingest for."""
    return f"evidence:{{{camera}}}"


def looked_at(camera: str) -> str:
    """String with a time to live: somebody looks at the camera's live picture."""
    return f"looked_at:{{{camera}}}"


def live_picture(camera: str) -> str:
    """Stream with a time to live: the newest live picture alone, as JPEG."""
    return f"live:{{{camera}}}"


def counters(camera: str) -> str:
    """Hash: what happened how often since the bus started."""
    return f"counters:{{{camera}}}"


def stage_counters(stage: str) -> str:
    """Hash: what the workers of a stage did how often since the bus started, all together."""
    return f"stage_counters:{{{stage}}}"


def workers(stage: str) -> str:
    """Sorted set: who works at this stage, by the bus's time (ms) of the last sign of life."""
    return f"workers:{{{stage}}}"


def loads(stage: str) -> str:
    """Hash: worker → what it carries."""
    return f"loads:{{{stage}}}"


BUS_NAME = "bus_name"  # string: set by the first who looks; a bus that lost everything gets another


# In the store (never lost once acknowledged)
CAMERAS = "cameras"  # hash: id → camera
SELF_TESTS = "self_tests"  # hash: camera → whether it would notice an anomaly
MARKS = "marks"  # hash: camera → what of it in the store could not be used, in one line
PROBE = "probe:{probe}"  # never there; see `scripts.TRY_WRITE`
KINDS = {BUS_NAME: "string", CAMERAS: "hash"}
"""Keys without a camera in them, which another program's data may have too, and their types."""


def session(camera: str) -> str:
    """Hash: the last session number, the camera's revision it is for, and its end."""
    return f"sessions:{{{camera}}}"


def snapshot(camera: str) -> str:
    """Hash: the changes of ownership (epoch), the snapshot, and its last frame (cursor)."""
    return f"snapshot:{{{camera}}}"


def alerts(camera: str) -> str:
    """Hash: alert id → alert."""
    return f"alerts:{{{camera}}}"


def alert_answers(camera: str) -> str:
    """Hash: alert id → what a person said of it."""
    return f"alert_answers:{{{camera}}}"


def alert_clips(camera: str) -> str:
    """Hash: alert id → what became of its clip."""
    return f"alert_clips:{{{camera}}}"


def evidence_copies(camera: str) -> str:
    """Hash: picture or clip → the stamp of the file that was copied; empty: it waits."""
    return f"evidence_copies:{{{camera}}}"


def alert_regions(camera: str) -> str:
    """Hash: alert id → the regions that stood out, at its opening and its peak."""
    return f"alert_regions:{{{camera}}}"


def suppressions(camera: str) -> str:
    """Hash: alert id → what a person's answer to it suppresses."""
    return f"suppressions:{{{camera}}}"


def kept_alerts(camera: str) -> str:
    """Set: ids of the alerts that are never removed."""
    return f"kept_alerts:{{{camera}}}"


def alerts_by_time(camera: str) -> str:
    """Sorted set: alert ids by opening time."""
    return f"alerts_by_time:{{{camera}}}"


def open_alerts(camera: str) -> str:
    """Set: ids of the alerts that are open, so that nobody searches the closed ones for them."""
    return f"open_alerts:{{{camera}}}"


def alerts_opened(camera: str) -> str:
    """String: how many alerts were ever opened, those that are no longer kept too."""
    return f"alerts_opened:{{{camera}}}"


def alert_log(camera: str) -> str:
    """Stream of alert events, written in the transaction that changes the alert."""
    return f"alert_log:{{{camera}}}"


def events(camera: str) -> str:
    """Stream of what happened to the camera itself: a scene change, tampering."""
    return f"events:{{{camera}}}"


def alerting(camera: str) -> str:
    """String: the alerting cursor and the rule's state."""
    return f"alerting:{{{camera}}}"


def jobs(camera: str) -> str:
    """Hash: job number → job, `last` → number of the last one, `active` → of one not over."""
    return f"jobs:{{{camera}}}"


def replays(camera: str) -> str:
    """Hash as `jobs`, of jobs that replay a recording."""
    return f"replays:{{{camera}}}"


def drift(camera: str) -> str:
    """Hash: `state`, counts of the camera's values, and `seen`, whether they have drifted."""
    return f"drift:{{{camera}}}"


def left_out(camera: str) -> str:
    """Hash: id of a segment that a training left out → what is known of it."""
    return f"left_out:{{{camera}}}"


def former_models(camera: str) -> str:
    """List: models before each promotion, the newest first."""
    return f"former_models:{{{camera}}}"


def history(camera: str) -> str:
    """Hash: day since the epoch → the peak of each of its minutes, a byte each."""
    return f"history:{{{camera}}}"


def alerting_epoch(camera: str) -> str:
    """String: how often ownership at alerting changed. Stays when the camera is removed, so that
    a late writer stays refused.
    """
    return f"alerting_epoch:{{{camera}}}"


def deliveries(sink: str) -> str:
    """Hash: camera → the id in its alert log up to which its events are delivered to a sink."""
    return f"deliveries:{sink}"


def letters(sink: str) -> str:
    """Hash: event id → an event that could not be delivered to a sink, and the reason."""
    return f"letters:{sink}"


def letters_again(sink: str) -> str:
    """Set: ids of the letters that wait to be sent again."""
    return f"letters_again:{sink}"


SINKS = "sinks"  # hash: id → sink
SINK_STATES = "sink_states"  # hash: sink → how its deliveries go
DELIVERIES_BEGUN = "*"  # field of `deliveries`, no camera's name: the sink is no longer new
ALERTED = "alerted"  # set: cameras that ever had an alert


def aside(name: str, at: float) -> str:
    """A key that held something else than it should, in the same slot of a Cluster.

    at: when it was set aside (s, UTC).
    """
    tagged = name if "{" in name else f"{{{name}}}"
    return f"aside:{tagged}:{at * 1000:.0f}"


# Of the API, in one slot of a Cluster: they change together
ENDED_LOGINS = "ended:{logins}"  # sorted set: logins that were ended, by when they expire (s)
LOGIN_GENERATION = "generation:{logins}"  # string: logins of another one are ended
PUSH_KEY = "key:{push}"  # string: by which push services know this Lookout
LOGIN_KEY = "key:{logins}"  # string: signs logins where no token is set

USERS = "users:{accounts}"  # hash: name → user
API_TOKENS = "tokens:{accounts}"  # hash: name → API token
AUDIT = "audit:{accounts}"  # stream: who changed what

KEPT_ANSWERS = "answers:{repeats}"  # hash: digest of sender and Idempotency-Key → answer
KEPT_ANSWERS_BY_END = "answers_by_end:{repeats}"  # sorted set: the same, by when they expire (s)
