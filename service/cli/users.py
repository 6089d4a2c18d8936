"""`lookout users list|add|remove`: the users of a running API, which checks and audits them."""

from __future__ import annotations

import sys
from typing import Annotated, Any
from urllib.parse import quote

import typer

from lookout.service.cli.api_client import ApiClient, Url
from lookout.service.core.accounts import Role
from lookout.service.core.settings import load_settings

users_app = typer.Typer(
    no_args_is_help=True,
    help="Users of the API: list, add, remove. LOOKOUT_TOKEN, or an admin's API token, opens it.",
)


def ask(url: str | None, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON of an answer of the API, None for an empty one. Raises ApiRefusedError."""
    with ApiClient(load_settings(), url) as client:
        return client.ask(method, path, body)


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
