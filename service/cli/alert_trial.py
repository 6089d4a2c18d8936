"""`lookout test-alert CAMERA`: does an alert of a camera reach every sink?"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from lookout.service.cli.api_client import ApiClient, Url
from lookout.service.core.errors import LookoutError
from lookout.service.core.settings import load_settings

WAIT_S = 20.0  # for an answer of every sink
ASK_EVERY_S = 0.25

trial_app = typer.Typer()


class TrialError(LookoutError):
    """An alert did not reach every sink, or there is none."""


@trial_app.command("test-alert")
def try_alert(
    camera: Annotated[str, typer.Argument(help="the camera that the made alert names")],
    url: Url = None,
) -> None:
    """Send a test alert of a camera to every sink, and say whether it arrived."""
    with ApiClient(load_settings(), url) as client:
        results = send(client, camera)
    if not results:
        raise TrialError("there is no sink: POST /api/v1/sinks adds one (docs/sinks.md)")
    failed = {name: reason for name, reason in results.items() if reason}
    for name in results.keys() - failed.keys():
        typer.echo(f"{name}: the alert arrived")
    if failed:
        raise TrialError("; ".join(f"{name}: {reason}" for name, reason in failed.items()))


def send(client: ApiClient, camera: str) -> dict[str, str]:
    """Send a test alert to every sink, and have one listed; return why it did not arrive, by sink.

    A reason is empty where it arrived. Raises ApiRefusedError.
    """
    client.ask("POST", f"/cameras/{camera}/test-alert")  # for the list of alerts
    waiting = {}
    for sink in client.ask("GET", "/sinks")["items"]:
        if sink["enabled"]:
            letter = client.ask("POST", f"/sinks/{sink['id']}/test?camera={camera}")
            waiting[sink["id"]] = letter["id"]
    results = dict.fromkeys(waiting, f"nothing was heard within {WAIT_S:g} s: is alerting running?")
    until = time.monotonic() + WAIT_S
    while waiting and time.monotonic() < until:
        for name, letter_id in list(waiting.items()):
            letters = client.ask("GET", f"/sinks/{name}/letters")["items"]
            letter = next((one for one in letters if one["id"] == letter_id), None)
            if letter is None or not letter["again"]:
                results[name] = letter["reason"] if letter else ""
                del waiting[name]
        time.sleep(ASK_EVERY_S)
    return results
