"""The messages that a broker keeps, and how Home Assistant finds them (MQTT discovery).

Each camera is a device with a binary sensor (an alert is open that the sink was told), a sensor of
its score, and the picture of its last alert. Lookout is one more, with the line of the whole watch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lookout import __version__

Messages = dict[str, bytes]
"""What a broker keeps, by topic; empty: nothing."""


@dataclass(frozen=True, slots=True)
class ShownCamera:
    """A camera as a broker shows it."""

    name: str
    is_watched: bool  # its scores come in time
    alert: str | None = None  # of an anomaly that is open
    score: float | None = None  # its newest value; None while it learns


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of a sink."""

    root: str
    discovery: str | None

    @property
    def uid(self) -> str:
        """Return the name of this Lookout among the devices."""
        return self.root.replace("/", "_")

    @property
    def availability(self) -> str:
        """Whether Lookout is there: its last will."""
        return f"{self.root}/availability"

    @property
    def summary(self) -> str:
        """The line of the whole watch."""
        return f"{self.root}/summary"

    def of(self, camera: str, subject: str) -> str:
        """Return a topic of a camera."""
        return f"{self.root}/{camera}/{subject}"

    def camera_of(self, state: str) -> str:
        """Return the camera of a topic of a state."""
        return state.removeprefix(f"{self.root}/").removesuffix("/state")


def watch_messages(topics: Topics, text: str, level: str) -> Messages:
    """Return the messages of the whole watch: its line, and that it is there."""
    line = {"text": text, "level": level}
    messages = {topics.availability: b"online", topics.summary: dumped(line)}
    if topics.discovery is not None:
        config = {
            "name": "Watch",
            "unique_id": f"{topics.uid}_summary",
            "state_topic": topics.summary,
            "value_template": "{{ value_json.text }}",
            "json_attributes_topic": topics.summary,
            "availability_topic": topics.availability,
            "icon": "mdi:eye",
            "device": {"identifiers": [topics.uid], "name": "Lookout"} | MAKER,
            "origin": ORIGIN,
        }
        messages[f"{topics.discovery}/sensor/{topics.uid}/summary/config"] = dumped(config)
    return messages


def camera_messages(topics: Topics, camera: ShownCamera) -> Messages:
    """Return the messages of a camera but its picture."""
    name = camera.name
    availability = b"online" if camera.is_watched else b"offline"
    state: dict[str, Any] = {"anomaly": "OFF", "alert": camera.alert, "score": None}
    if camera.alert is not None:
        state["anomaly"] = "ON"
    if camera.score is not None:
        state["score"] = round(camera.score, 2)
    messages = {
        topics.of(name, "availability"): availability,
        topics.of(name, "state"): dumped(state),
    }
    for topic, config in camera_configs(topics, name).items():
        messages[topic] = dumped(config)
    return messages


def camera_configs(topics: Topics, name: str) -> dict[str, dict[str, Any]]:
    """Return the devices of a camera that Home Assistant makes, by topic."""
    if topics.discovery is None:
        return {}
    uid = f"{topics.uid}_{name}"
    device = {"identifiers": [uid], "name": name, "via_device": topics.uid} | MAKER
    shared = {"device": device, "origin": ORIGIN}
    by_state = shared | {
        "state_topic": topics.of(name, "state"),
        "availability": [
            {"topic": topics.availability},
            {"topic": topics.of(name, "availability")},
        ],
        "availability_mode": "all",
    }
    configs = {
        ("binary_sensor", "anomaly"): by_state
        | {
            "name": "Anomaly",
            "device_class": "problem",
            "value_template": "{{ value_json.anomaly }}",
            "json_attributes_topic": topics.of(name, "state"),
        },
        ("sensor", "score"): by_state
        | {
            "name": "Score",
            "state_class": "measurement",
            "value_template": "{{ value_json.score }}",
            "suggested_display_precision": 2,
        },
        ("camera", "picture"): shared
        | {
            "name": "Last alert",
            "topic": topics.of(name, "picture"),
            "availability_topic": topics.availability,
        },
    }
    return {
        f"{topics.discovery}/{component}/{topics.uid}/{name}_{subject}/config": config
        | {"unique_id": f"{uid}_{subject}"}
        for (component, subject), config in configs.items()
    }


def gone_messages(topics: Topics, name: str) -> Messages:
    """Return what takes a camera that is gone away from the broker."""
    subjects = ("availability", "state", "picture")
    return dict.fromkeys(
        [*camera_configs(topics, name), *(topics.of(name, subject) for subject in subjects)], b""
    )


MAKER = {"manufacturer": "Lookout", "sw_version": __version__}
ORIGIN = {"name": "Lookout", "sw_version": __version__}


def dumped(fields: dict[str, Any]) -> bytes:
    """Return a message of JSON."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
