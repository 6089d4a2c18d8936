"""Render overlays with the real kustomize; excerpts of two operators' types."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

ROOT = Path(__file__).parents[1]
K8S = ROOT / "k8s"
OVERLAYS = ("cpu", "gpu", "prod")
RENDERERS = (["kustomize", "build"], ["kubectl", "kustomize"])
KUSTOMIZE = next((words for words in RENDERERS if shutil.which(words[0])), None)


@cache
def rendered(folder: Path) -> list[Object]:
    """Return every object of a kustomization."""
    assert KUSTOMIZE
    done = subprocess.run(
        [*KUSTOMIZE, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # what is deprecated is told there
    return documents(done.stdout)


def documents(text: str) -> list[Object]:
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(objects: list[Object], *kinds: str) -> dict[str, Object]:
    """Return the objects of these kinds by name; no two may share one."""
    found = [(thing["metadata"]["name"], thing) for thing in objects if thing["kind"] in kinds]
    assert len(found) == len(dict(found))
    return dict(found)


def pods(objects: list[Object]) -> dict[str, Object]:
    """Return the pod templates, by the name of the object that makes them."""
    return {
        name: made["spec"]["template"]
        for name, made in of_kind(objects, "Deployment", "StatefulSet").items()
    }


def _only(required: list[str], **properties: Object) -> Object:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


_TEXT: Object = {"type": "string"}
_COUNT: Object = {"type": "integer", "minimum": 0}
_METADATA = _only(["name"], name=_TEXT, labels={"type": "object", "additionalProperties": _TEXT})

CUSTOM = {
    # Excerpts, field by field, of keda.sh/v1alpha1 (2.17) and monitoring.coreos.com/v1: the fields
    # used here; all others are refused. An HPA's `behavior` is checked as the HPA's own.
    "ScaledObject": _only(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "keda.sh/v1alpha1"},
        kind=_TEXT,
        metadata=_METADATA,
        spec=_only(
            ["scaleTargetRef", "triggers"],
            scaleTargetRef=_only(["name"], apiVersion=_TEXT, kind=_TEXT, name=_TEXT),
            minReplicaCount=_COUNT,
            maxReplicaCount=_COUNT,
            pollingInterval=_COUNT,
            fallback=_only(
                ["failureThreshold", "replicas"],
                failureThreshold=_COUNT,
                replicas=_COUNT,
                behavior={
                    "enum": [
                        "static",
                        "currentReplicas",
                        "currentReplicasIfHigher",
                        "currentReplicasIfLower",
                    ]
                },
            ),
            advanced=_only(
                [], horizontalPodAutoscalerConfig=_only([], behavior={"type": "object"})
            ),
            triggers={
                "type": "array",
                "items": _only(
                    ["type", "metadata"],
                    type={"const": "prometheus"},
                    metadata=_only(
                        ["serverAddress", "query", "threshold"],
                        serverAddress=_TEXT,
                        query=_TEXT,
                        threshold={"type": "string", "pattern": r"^[0-9.]+$"},
                        ignoreNullValues={"enum": ["true", "false"]},
                    ),
                ),
            },
        ),
    ),
    "ServiceMonitor": _only(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "monitoring.coreos.com/v1"},
        kind=_TEXT,
        metadata=_METADATA,
        spec=_only(
            ["selector", "endpoints"],
            jobLabel=_TEXT,
            selector=_only([], matchLabels={"type": "object", "additionalProperties": _TEXT}),
            endpoints={
                "type": "array",
                "items": _only(
                    ["port"],
                    port=_TEXT,
                    path=_TEXT,
                    interval={"type": "string", "pattern": "^[0-9]+s$"},
                    authorization=_only(
                        ["credentials"],
                        type=_TEXT,
                        credentials=_only(["name", "key"], name=_TEXT, key=_TEXT),
                    ),
                ),
            },
        ),
    ),
}
