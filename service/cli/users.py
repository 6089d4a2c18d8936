"""`lookout users list|add|remove`: the users of a running API, which checks and audits them."""

from __future__ import annotations

import sys
from typing import Annotated, Any
from urllib.parse import quote

import typer

from lookout.service.cli.alert_trial import api_address
from lookout.service.core.accounts import Role
from lookout.service.core.errors import LookoutError
from lookout.service.core.settings import load_settings

users_app = typer.Typer(
    no_args_is_help=True,
    help="Users of the API: list, add, remove. LOOKOUT_TOKEN, or an admin's API token, opens it.",
)

Url = Annotated[
    str | None, typer.Option(help="of the API  [default: LOOKOUT_HOST and LOOKOUT_PORT]")
]


class UsersError(LookoutError):
    """The API did not do what was asked."""


def ask(url: str | None, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON of an answer of the API, None for an empty one. Raises UsersError."""
    import httpx  # noqa: PLC0415  # no other command needs it

    settings = load_settings()
    base = f"{url or api_address(settings)}/api/v1"
    headers = {}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    try:
        answer = httpx.request(method, base + path, headers=headers, json=body, timeout=30)
        if answer.is_success:
            return answer.json() if answer.content else None
        reason = str(answer.json()["detail"])
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UsersError(f"there is no API at {base}: {error}") from None
    except (ValueError, KeyError, TypeError):
        raise UsersError(f"what answers at {base} is no Lookout") from None
    raise UsersError(reason)


@users_app.command("list")
def list_users(url: Url = None) -> None:
    """Print users with role and cameras, one a line."""
    known = ask(url, "GET", "/users")
    for user in known["items"]:
        cameras = ", ".join(user["cameras"]) if user["cameras"] is not None else "all cameras"
        typer.echo(f"{user['name']}: {user['role']}, {cameras}")
    for name in known["unreadable"]:
        typer.echo(f"{name}: its record cannot be read; remove it, and add it again")


@users_app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="letters, digits and . _ @ -")],
    role: Annotated[Role, typer.Option(help="what the user may do")] = "viewer",
    camera: Annotated[
        list[str] | None, typer.Option(help="the only camera that is seen; may be repeated")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="read the password from standard input")
    ] = False,
    url: Url = None,
) -> None:
    """Add a user; the password is asked for, and is never an argument."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    body = {"name": name, "password": password, "role": role, "cameras": camera or None}
    ask(url, "POST", "/users", body)
    typer.echo(f"{name} is there, as {role}")


@users_app.command("remove")
def remove_user(name: Annotated[str, typer.Argument(help="of the user")], url: Url = None) -> None:
    """Remove a user, and end the user's logins."""
    ask(url, "DELETE", f"/users/{quote(name, safe='')}")
    typer.echo(f"{name} is removed")
