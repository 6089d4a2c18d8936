"""The Kubernetes files are valid, as the real kustomize renders them, and agree with one another.

No cluster is needed. Objects of KEDA and the Prometheus operator are checked against excerpts of
their types alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from lookout import __version__
from lookout.service.core.stages import NAMES
from tests.kubernetes import (
    CUSTOM,
    K8S,
    KUSTOMIZE,
    OVERLAYS,
    ROOT,
    Object,
    documents,
    of_kind,
    pods,
    rendered,
)

TAG = f"v{__version__}"
OLDEST = "1.27"  # of Kubernetes: matchLabelKeys
SECRETS = {"lookout", "lookout-redis"}  # made by hand: docs/kubernetes.md
KUSTOMIZATIONS = sorted(K8S.rglob("kustomization.yaml"))
FILES = [
    path.parent / name
    for path in KUSTOMIZATIONS
    for name in yaml.safe_load(path.read_text()).get("resources", [])
    if name.endswith(".yaml")
]

needs_kustomize = pytest.mark.skipif(
    KUSTOMIZE is None, reason="neither kustomize nor kubectl is installed"
)
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="no promtool: Debian package prometheus"
)


@pytest.fixture(scope="module", autouse=True)
def schemas_read_once() -> Iterator[None]:
    """Cache the schemas: the validator would read some megabytes again for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            kubernetes_validate.utils,
            "schema_contents",
            cache(kubernetes_validate.utils.schema_contents),
        )
        yield


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return rendered(K8S / "overlays" / request.param)


@pytest.fixture
def prod() -> list[Object]:
    return rendered(K8S / "overlays" / "prod")


def is_valid(thing: Object) -> None:
    """Validate an object. Raise ValidationError."""
    if thing["kind"] in CUSTOM:
        jsonschema.validate(thing, CUSTOM[thing["kind"]])
    else:
        for version in (OLDEST, kubernetes_validate.latest_version()):
            kubernetes_validate.validate(thing, version, strict=True)


def selects(selector: Object, labels: Object) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", [])
    )


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_names_files_that_are_there(path: Path) -> None:
    named = yaml.safe_load(path.read_text())
    patches = [patch["path"] for patch in named.get("patches", []) if "path" in patch]
    for other in (*named.get("resources", []), *named.get("components", []), *patches):
        assert (path.parent / other).exists(), other


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_file_is_valid_by_itself(path: Path) -> None:
    for thing in documents(path.read_text()):
        is_valid(thing)


@needs_kustomize
def test_what_is_rendered_is_valid(objects: list[Object]) -> None:
    for thing in objects:
        is_valid(thing)


def test_what_is_misspelt_is_noticed() -> None:
    with pytest.raises(jsonschema.ValidationError):
        is_valid(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}
        )
    with pytest.raises(jsonschema.ValidationError):
        is_valid(
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": {"name": "x"},
                "spec": {},
            }
        )


@needs_kustomize
def test_no_pod_may_more_than_it_must(objects: list[Object]) -> None:
    for name, template in pods(objects).items():
        pod, (container,) = template["spec"], template["spec"]["containers"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


@needs_kustomize
def test_every_pod_says_what_it_takes_and_whether_it_is_ready(objects: list[Object]) -> None:
    for name, template in pods(objects).items():
        (container,) = template["spec"]["containers"]
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        assert "memory" in container["resources"]["limits"], name
        assert "readinessProbe" in container, name
        assert template["spec"].get("terminationGracePeriodSeconds", 30) >= 30, name


@needs_kustomize
def test_what_a_pod_refers_to_is_there(objects: list[Object]) -> None:
    claims, maps = of_kind(objects, "PersistentVolumeClaim"), of_kind(objects, "ConfigMap")
    for name, template in pods(objects).items():
        (container,) = template["spec"]["containers"]
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        own = {
            claim["metadata"]["name"]
            for claim in _of(objects, name)["spec"].get("volumeClaimTemplates", [])
        }
        assert {
            mount["name"] for mount in container.get("volumeMounts", [])
        } == volumes.keys() | own, name
        claimed = [
            volume["persistentVolumeClaim"]
            for volume in volumes.values()
            if "emptyDir" not in volume
        ]
        assert {claim["claimName"] for claim in claimed} <= claims.keys(), name
        for source in container.get("envFrom", []):
            (kind, reference), *_ = source.items()
            assert reference["name"] in (maps if kind == "configMapRef" else SECRETS), name


def _of(objects: list[Object], name: str) -> Object:
    return of_kind(objects, "Deployment", "StatefulSet")[name]


@needs_kustomize
def test_services_budgets_and_policies_select_pods_that_are_there(objects: list[Object]) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pods(objects).items()}
    for name, service in of_kind(objects, "Service").items():
        assert [
            pod
            for pod in labels
            if selects({"matchLabels": service["spec"]["selector"]}, labels[pod])
        ] == [name]
    for name, budget in of_kind(objects, "PodDisruptionBudget").items():
        assert [pod for pod in labels if selects(budget["spec"]["selector"], labels[pod])] == [name]
    chosen = {
        name: {pod for pod in labels if selects(policy["spec"]["podSelector"], labels[pod])}
        for name, policy in of_kind(objects, "NetworkPolicy").items()
    }
    stages = {f"lookout-{stage}" for stage in NAMES}
    assert chosen == {
        "lookout-closed": labels.keys(),
        "lookout-redis": labels.keys() - stages,
        "lookout-stages": stages,
        "lookout-cameras": {"lookout-ingest"},
        "lookout-webhooks": {"lookout-alerting"},
        "lookout-api": {"lookout-api"},
    }


@needs_kustomize
def test_alerting_and_the_servers_are_never_two_at_once(objects: list[Object]) -> None:
    single = {
        name: _of(objects, name)["spec"]
        for name in ("lookout-alerting", "lookout-bus", "lookout-store")
    }
    assert {spec["replicas"] for spec in single.values()} == {1}
    for name in ("lookout-alerting", "lookout-bus"):
        assert single[name]["strategy"] == {"type": "Recreate"}


@needs_kustomize
def test_only_the_api_knows_the_token(objects: list[Object]) -> None:
    sources = {
        name: template["spec"]["containers"][0].get("envFrom", [])
        for name, template in pods(objects).items()
    }
    assert [name for name in sources if {"secretRef": {"name": "lookout"}} in sources[name]] == [
        "lookout-api"
    ]


def test_the_secrets_that_are_wanted_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    assert set(re.findall(r"kubectl create secret generic (\S+)", page)) == SECRETS
    keys = set(re.findall(r"--from-literal=(\w+)=", page))
    assert keys == {
        "LOOKOUT_TOKEN",
        "LOOKOUT_SECRET_KEY",
        "LOOKOUT_BUS_URL",
        "LOOKOUT_STORE_URL",
        "REDIS_PASSWORD",
    }


# Overlays


@needs_kustomize
def test_cpu_needs_no_volume_that_several_nodes_share() -> None:
    claims = of_kind(rendered(K8S / "overlays" / "cpu"), "PersistentVolumeClaim")
    assert {name: claim["spec"]["accessModes"] for name, claim in claims.items()} == {
        "lookout-data": ["ReadWriteOnce"],
        "lookout-media": ["ReadWriteOnce"],
    }


def is_on_a_gpu(objects: list[Object]) -> None:
    inference = _of(objects, "lookout-inference")["spec"]
    (container,) = inference["template"]["spec"]["containers"]
    assert container["image"].endswith("-cuda")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "LOOKOUT_DEVICE", "value": "cuda"} in container["env"]
    assert [one["key"] for one in inference["template"]["spec"]["tolerations"]] == [
        "nvidia.com/gpu"
    ]
    assert inference["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


@needs_kustomize
def test_gpu_has_one_for_each_worker() -> None:
    objects = rendered(K8S / "overlays" / "gpu")
    is_on_a_gpu(objects)
    assert [
        name for name, template in pods(objects).items() if "tolerations" in template["spec"]
    ] == ["lookout-inference"]


@needs_kustomize
def test_prod_with_gpus_is_valid_too(tmp_path: Path) -> None:
    base, component = (
        os.path.relpath(K8S / part, tmp_path) for part in ("overlays/prod", "components/gpu")
    )
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [{base}]\ncomponents: [{component}]\n"
    )
    objects = rendered(tmp_path)
    is_on_a_gpu(objects)
    for thing in objects:
        is_valid(thing)


@needs_kustomize
def test_prod_has_several_of_what_shares_cameras_and_spreads_them(prod: list[Object]) -> None:
    scaled = of_kind(prod, "ScaledObject")["lookout-inference"]["spec"]
    assert scaled["scaleTargetRef"] == {"name": "lookout-inference"}
    assert 2 <= scaled["minReplicaCount"] < scaled["maxReplicaCount"]
    assert "replicas" not in _of(prod, "lookout-inference")["spec"]
    assert {_of(prod, f"lookout-{stage}")["spec"]["replicas"] for stage in ("ingest", "api")} == {2}
    for name, template in pods(prod).items():
        assert template["spec"]["priorityClassName"] in of_kind(prod, "PriorityClass"), name
        spread = [
            one["topologyKey"] for one in template["spec"].get("topologySpreadConstraints", [])
        ]
        several = name in ("lookout-ingest", "lookout-inference", "lookout-api")
        assert spread == (
            ["kubernetes.io/hostname", "topology.kubernetes.io/zone"] if several else []
        ), name


@needs_kustomize
def test_the_behaviour_of_the_scaling_is_one_of_an_hpa(prod: list[Object]) -> None:
    scaled = of_kind(prod, "ScaledObject")["lookout-inference"]["spec"]
    is_valid(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "inference"},
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": "lookout-inference",
                },
                "maxReplicas": scaled["maxReplicaCount"],
                "behavior": scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
            },
        }
    )


@needs_kustomize
def test_metrics_are_scraped_where_the_api_listens_with_its_token(prod: list[Object]) -> None:
    monitor, service = (
        of_kind(prod, "ServiceMonitor")["lookout"]["spec"],
        of_kind(prod, "Service")["lookout-api"],
    )
    (endpoint,) = monitor["endpoints"]
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "lookout"
    assert 'up{job="lookout"}' in (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()
    ports = {
        name: [port["name"] for port in one["spec"]["ports"]]
        for name, one in of_kind(prod, "Service").items()
    }
    assert [name for name, names in ports.items() if endpoint["port"] in names] == ["lookout-api"]
    assert endpoint["authorization"]["credentials"] == {"name": "lookout", "key": "LOOKOUT_TOKEN"}


def query() -> str:
    (scaled,) = documents((K8S / "overlays" / "prod" / "autoscale.yaml").read_text())
    return str(scaled["spec"]["triggers"][0]["metadata"]["query"])


def test_scaling_asks_for_a_metric_that_there_is() -> None:
    code = "".join(path.read_text() for path in (ROOT / "service").rglob("*.py"))
    assert all(f'"{name}"' in code for name in re.findall(r"lookout_\w+", query()))


CAMERAS = [
    f'lookout_camera_state{{camera="{camera}", state="{state}", pod="{pod}"}} {int(state == now)}'
    for pod in ("a", "b")
    for camera, now in (
        ("gate", "online"),
        ("yard", "learning"),
        ("door", "reconnecting"),
        ("old", "disabled"),
    )
    for state in ("online", "learning", "reconnecting", "disabled")
]
UP = ['up{job="lookout", pod="a"} 1', 'up{job="lookout", pod="b"} 0']


@needs_promtool
@pytest.mark.parametrize(
    ("series", "cameras"),
    [([*CAMERAS, *UP], 3), (UP, 0), ([], None)],
    ids=["cameras", "no cameras", "nothing"],
)
def test_scaling_counts_each_camera_that_wants_a_worker_once(
    series: list[str], cameras: int | None, tmp_path: Path
) -> None:
    expected = [] if cameras is None else [{"labels": "{}", "value": cameras}]
    values = [
        {"series": name, "values": f"{value}x5"}
        for name, value in (line.rsplit(" ", 1) for line in series)
    ]
    test = {
        "input_series": values,
        "promql_expr_test": [{"expr": query(), "eval_time": "1m", "exp_samples": expected}],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


SITE = ROOT / "deploy" / "kubernetes" / "kustomization.yaml"
REPOSITORY = "https://git.example/lookout.git"


@needs_kustomize
def test_a_site_takes_the_overlay_from_the_repository_and_the_images_from_its_registry(
    tmp_path: Path,
) -> None:
    """As an operator has it: no checkout beside it, the repository over git at the tag."""
    repository = tmp_path / "lookout"
    shutil.copytree(K8S, repository / "k8s")
    me = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", "x"], ["tag", TAG]):
        subprocess.run(["git", "-C", str(repository), *words], check=True)
    text = SITE.read_text()
    assert f"{REPOSITORY}//k8s/overlays/cpu?ref={TAG}" in text
    site = tmp_path / "site"
    site.mkdir()
    (site / SITE.name).write_text(text.replace(REPOSITORY, f"file://{repository}"))
    objects = rendered(site)
    for thing in objects:
        is_valid(thing)
    images = {
        container["image"]
        for pod in pods(objects).values()
        for container in pod["spec"]["containers"]
    }
    ours = {f"registry.example/lookout-{name}:{__version__}" for name in NAMES}
    assert ours < images
    assert not [image for image in images - ours if "lookout" in image]
    assert of_kind(objects, "ConfigMap")


def test_the_page_shows_the_site() -> None:
    assert f"```yaml\n{SITE.read_text()}```" in (ROOT / "docs" / "kubernetes.md").read_text()
