"""`lookout test-alert CAMERA`: does an alert of a camera reach every sink?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookout.service.core.errors import LookoutError
from lookout.service.core.settings import Settings, load_settings

if TYPE_CHECKING:
    import httpx

WAIT_S = 20.0  # for an answer of every sink
ASK_EVERY_S = 0.25
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104

trial_app = typer.Typer()


class TrialError(LookoutError):
    """An alert did not reach every sink, or there is none."""


@trial_app.command("test-alert")
def try_alert(
    camera: Annotated[str, typer.Argument(help="the camera that the made alert names")],
    url: Annotated[
        str | None, typer.Option(help="of the API  [default: LOOKOUT_HOST and LOOKOUT_PORT]")
    ] = None,
) -> None:
    """Send a made alert of a camera to every sink, and say whether it arrived."""
    import httpx  # noqa: PLC0415  # no other command needs it

    settings = load_settings()
    base = f"{url or api_address(settings)}/api/v1"
    headers = {}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    try:
        with httpx.Client(base_url=base, headers=headers, timeout=10) as client:
            results = send(client, camera)
    except httpx.HTTPStatusError as error:
        raise TrialError(f"the API at {base} answers {error.response.text[:300]}") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise TrialError(f"there is no API at {base}: {error}") from None
    if not results:
        raise TrialError("there is no sink: POST /api/v1/sinks adds one (docs/webhooks.md)")
    failed = {name: reason for name, reason in results.items() if reason}
    for name in results.keys() - failed.keys():
        typer.echo(f"{name}: the alert arrived")
    if failed:
        raise TrialError("; ".join(f"{name}: {reason}" for name, reason in failed.items()))


def api_address(settings: Settings) -> str:
    """Return where the API of these settings listens."""
    host = ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}{settings.root_path}"


def send(client: httpx.Client, camera: str) -> dict[str, str]:
    """Send a made alert to every sink; return why it did not arrive, by sink: empty where it did.

    Raises httpx.HTTPError.
    """
    ask(client, "GET", f"/cameras/{camera}")
    waiting = {}
    for sink in ask(client, "GET", "/sinks")["items"]:
        if sink["enabled"]:
            letter = ask(client, "POST", f"/sinks/{sink['id']}/test?camera={camera}")
            waiting[sink["id"]] = letter["id"]
    results = dict.fromkeys(waiting, f"nothing was heard within {WAIT_S:g} s: is alerting running?")
    until = time.monotonic() + WAIT_S
    while waiting and time.monotonic() < until:
        for name, letter_id in list(waiting.items()):
            letters = ask(client, "GET", f"/sinks/{name}/letters")["items"]
            letter = next((one for one in letters if one["id"] == letter_id), None)
            if letter is None or not letter["again"]:
                results[name] = letter["reason"] if letter else ""
                del waiting[name]
        time.sleep(ASK_EVERY_S)
    return results


def ask(client: httpx.Client, method: str, path: str) -> Any:
    """Return the JSON of an answer. Raises httpx.HTTPError, for a status of an error, too."""
    answer = client.request(method, path)
    answer.raise_for_status()
    return answer.json()
