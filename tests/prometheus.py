"""A real Prometheus (Debian package) for a test, with our own configuration but quicker."""

from __future__ import annotations

import contextlib
import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.service.api_server import free_port
from tests.waiting import wait_until

FOLDER = Path(__file__).parents[1] / "deploy" / "prometheus"
EVERY = "500ms"


@dataclass(frozen=True)
class Prometheus:
    http: httpx.Client

    def ask(self, path: str, **params: str) -> Any:
        answer = self.http.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series now, without those that are NaN (0 of 0)."""
        found = [
            (one["metric"], float(one["value"][1]))
            for one in self.ask("query", query=expr)["result"]
        ]
        return [(labels, value) for labels, value in found if not math.isnan(value)]


@contextlib.contextmanager
def running_prometheus(folder: Path, target: str, token: str) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes `target` (host:port) with the token and evaluates our rules."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_config(folder, target, token)))
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as http:
            wait_until(
                lambda: _ready(process, http), f"Prometheus is ready, see {folder}/prometheus.log"
            )
            yield Prometheus(http)
    finally:
        process.terminate()
        process.wait(10)


def _ready(process: subprocess.Popen[bytes], http: httpx.Client) -> bool:
    assert process.poll() is None, "Prometheus has ended"
    try:
        return http.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def _config(folder: Path, target: str, token: str) -> dict[str, Any]:
    """deploy/prometheus/prometheus.yml for this machine, without Alertmanager."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    token_file = folder / "token"
    token_file.write_text(token)
    (scrape,) = config["scrape_configs"]
    scrape |= {
        "authorization": {"credentials_file": str(token_file)},
        "static_configs": [{"targets": [target]}],
    }
    config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    config["rule_files"] = [str(FOLDER / name) for name in config["rule_files"]]
    del config["alerting"]
    return config
