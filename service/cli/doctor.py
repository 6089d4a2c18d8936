"""`lookout doctor`: whether settings, servers, folders and programs here are fit for Lookout."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import typer

from lookout.service.cli.api_client import ApiClient, ApiRefusedError, Url, api_address
from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import Settings, load_settings

Severity = Literal["ok", "look", "wrong"]

FILLING, FULL = 0.1, 0.03
"""Free shares of a volume, as the rules LookoutDiskFilling and LookoutDiskFull have them."""

CLOCK_S = 1.0
"""Difference of two machines' clocks that is worth a look: times of alerts would not compare."""

doctor_app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    level: Severity
    subject: str
    text: str  # what was found and, unless it is well, what to do


Check = Callable[[Settings], Iterator[Finding]]


@doctor_app.command()
def doctor(url: Url = None) -> None:
    """Check settings, servers, folders and programs, one line each; exit code 1 for a wrong one."""
    settings = load_settings()
    findings = [one for check in CHECKS for one in check(settings)]
    findings += check_api(settings, url)
    for one in findings:
        typer.echo(f"{one.level:5}  {one.subject}: {one.text}")
    if any(one.level == "wrong" for one in findings):
        raise typer.Exit(1)


def check_servers(settings: Settings) -> Iterator[Finding]:
    """Yield whether bus and store can be used, or a Redis can be started for them."""
    from lookout.service.storage.connections import open_bus, open_store  # noqa: PLC0415
    from lookout.service.storage.redis.connect import (  # noqa: PLC0415
        UNAVAILABLE,
        NotOursError,
        explain,
    )
    from lookout.service.storage.redis.server_binary import choose_server  # noqa: PLC0415

    if settings.bus_url is None and settings.store_url is None:
        try:
            program = choose_server(settings.redis_binary)
            yield Finding("ok", "redis", f"`lookout serve` starts {program}")
        except SettingsError as error:
            yield Finding("wrong", "redis", str(error))
        return
    for role, open_server in (("bus", open_bus), ("store", open_store)):
        try:
            server = open_server(settings)
        except SettingsError as error:
            yield Finding("wrong", role, str(error))
            continue
        try:
            began_s = time.perf_counter()
            server.ping()
            took_ms = 1000 * (time.perf_counter() - began_s)
            server.check_usable()
            yield Finding("ok", role, f"{server.address} answers in {took_ms:.0f} ms")
            yield from check_clock(role, server.clock_s())
            if role == "store" and not server.has_append_only_file():
                yield Finding(
                    "look",
                    role,
                    f"{server.address} has no append-only file: what was saved last is lost when "
                    "it ends (appendonly yes, appendfsync always)",
                )
        except NotOursError as error:
            yield Finding("wrong", role, f"the server at {server.address} {error}")
        except UNAVAILABLE as error:
            yield Finding("wrong", role, f"{server.address}: {explain(error)}")
        finally:
            server.close()


def check_clock(role: str, their_s: float | None) -> Iterator[Finding]:
    """Yield a finding where a server's clock is not this machine's. their_s: s, UTC epoch."""
    ahead_s = 0.0 if their_s is None else their_s - time.time()
    if abs(ahead_s) > CLOCK_S:
        yield Finding(
            "look",
            "clock",
            f"that of the {role} is {abs(ahead_s):.1f} s {'ahead' if ahead_s > 0 else 'behind'}: "
            "let every machine follow the same time server",
        )


def check_folders(settings: Settings) -> Iterator[Finding]:
    """Yield whether what Lookout writes has a place, and how much room."""
    folder = settings.data_dir
    parent = folder
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        yield Finding("wrong", "data", f"{folder} (LOOKOUT_DATA_DIR) cannot be written at {parent}")
        return
    usage = shutil.disk_usage(parent)
    free = usage.free / usage.total
    text = f"{folder}, {usage.free / 1e9:.1f} GB free ({100 * free:.0f} %)"
    if free < FULL:
        yield Finding("wrong", "data", f"{text}: make room, alerts and pictures are lost next")
    elif free < FILLING:
        yield Finding("look", "data", f"{text}: make room soon")
    else:
        yield Finding("ok", "data", text)


def check_models(settings: Settings) -> Iterator[Finding]:
    """Yield whether there are checkpoints, and each that cannot be used."""
    from lookout.models.checkpoint.foreign import find_foreign  # noqa: PLC0415
    from lookout.models.checkpoint.header import find_checkpoints, read_header  # noqa: PLC0415
    from lookout.models.errors import CheckpointError  # noqa: PLC0415

    if settings.models_dir is not None and not settings.models_dir.is_dir():
        yield Finding(
            "wrong", "models", f"LOOKOUT_MODELS_DIR: there is no folder {settings.models_dir}"
        )
    folders = settings.model_folders
    useless = dict(find_foreign(*folders))
    usable = 0
    for name, path in find_checkpoints(*folders).items():
        try:
            read_header(path)
            usable += 1
        except CheckpointError as error:
            useless[name] = str(error)
    yield Finding("ok" if usable else "wrong", "models", f"{usable} checkpoints can be used")
    for name, reason in useless.items():
        yield Finding("look", "models", f"{name} cannot be used: {reason}")


def check_programs(settings: Settings) -> Iterator[Finding]:
    """Yield whether models can run here, and on what."""
    if find_spec("torch") is None:
        yield Finding(
            "look",
            "engine",
            "torch is not installed: this machine can run the API, ingest and alerting alone "
            "(pip install 'lookout[engine]')",
        )
        return
    from lookout.models.device import choose_device  # noqa: PLC0415
    from lookout.models.errors import ModelsError  # noqa: PLC0415

    try:
        yield Finding("ok", "engine", f"models run on {choose_device(settings.device)}")
    except ModelsError as error:
        yield Finding("wrong", "engine", f"LOOKOUT_DEVICE: {error}")


def check_api(settings: Settings, url: str | None) -> Iterator[Finding]:
    """Yield whether an API answers, every stage has a worker, and what the watch says."""
    try:
        with ApiClient(settings, url) as client:
            client.ask("GET", f"{url or api_address(settings)}/readyz")
            yield Finding("ok", "service", client.ask("GET", "/summary")["text"])
    except ApiRefusedError as error:
        yield Finding("wrong" if url else "look", "service", str(error))


CHECKS: tuple[Check, ...] = (check_servers, check_folders, check_models, check_programs)
