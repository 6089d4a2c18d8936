"""`lookout status|cameras|alerts`: what a running API says of its cameras."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from lookout.service.cli.api_client import ApiClient, Url
from lookout.service.core.settings import load_settings

NEEDS_A_LOOK = 6
"""Exit code of `lookout status` while an alert is open, or a camera is blind or lags."""

CALM_LEVELS = ("good", "calm")

AsJson = Annotated[bool, typer.Option("--json", help="print what the API answers, as JSON")]

watch_app = typer.Typer()


@watch_app.command("status")
def print_status(as_json: AsJson = False, url: Url = None) -> None:
    """Print the whole watch in one line; exit code 6 while something needs a look."""
    summary = ask(url, "/summary")
    if as_json:
        print_json(summary)
    else:
        typer.echo(summary["text"])
    if summary["level"] not in CALM_LEVELS:
        raise typer.Exit(NEEDS_A_LOOK)


@watch_app.command("cameras")
def print_cameras(as_json: AsJson = False, url: Url = None) -> None:
    """Print every camera with its state, model and last error, one a line."""
    known = ask(url, "/cameras")
    if as_json:
        print_json(known)
        return
    for camera in known["items"]:
        words = [camera["state"], camera["model"], *camera["warnings"]]
        if camera["last_error"]:
            words.append(camera["last_error"])
        typer.echo(one_line(f"{camera['id']}: {', '.join(words)}"))
    for name in known["unreadable"]:
        typer.echo(one_line(f"{name}: its record cannot be read; remove it, and add it again"))


@watch_app.command("alerts")
def print_alerts(
    camera: Annotated[str | None, typer.Option(help="alerts of this camera alone")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="print the newest so many")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Print the newest alerts first, one a line; times are UTC."""
    wanted: dict[str, str | int] = {"limit": limit}
    if camera is not None:
        wanted["camera"] = camera
    found = ask(url, f"/alerts?{urlencode(wanted)}")
    if camera is not None and not found["items"]:
        ask(url, f"/cameras/{quote(camera, safe='')}")  # a removed camera's alerts stay
    if as_json:
        print_json(found)
        return
    for alert in found["items"]:
        opened = datetime.fromtimestamp(alert["opened_at"], UTC).isoformat(timespec="seconds")
        words = f"{opened} {alert['camera']}: {alert['kind']}, {alert['state']}"
        typer.echo(one_line(f"{words}, peak {alert['peak_value']:.3f} {alert['detail']}"))


def ask(url: str | None, path: str) -> Any:
    """Return the JSON of an answer of the API. Raises ApiRefusedError."""
    with ApiClient(load_settings(), url) as client:
        return client.ask("GET", path)


def print_json(answer: Any) -> None:
    """Print an answer as JSON, with control characters escaped."""
    typer.echo(json.dumps(answer, indent=2))


def one_line(text: str) -> str:
    """Return text without line breaks and control characters, which a camera may have sent."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
