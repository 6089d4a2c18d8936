"""The command `lookout`. It builds the settings once; a sub-command alone imports its stage."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from lookout import __version__
from lookout.service.cli.alert_trial import trial_app
from lookout.service.cli.benchmark import benchmark_app
from lookout.service.cli.doctor import doctor_app
from lookout.service.cli.entry import run_app
from lookout.service.cli.evaluate import evaluate_app
from lookout.service.cli.export import export_app
from lookout.service.cli.models import models_app
from lookout.service.cli.options import Seed, finite
from lookout.service.cli.predict import predict_app
from lookout.service.cli.replay import replay_app
from lookout.service.cli.scene import scene_app
from lookout.service.cli.settings_page import page
from lookout.service.cli.train import train_app
from lookout.service.cli.users import users_app
from lookout.service.cli.watch import watch_app
from lookout.service.core import logging as logs
from lookout.service.core.lifecycle import stop_on_signals
from lookout.service.core.private_files import tighten_data
from lookout.service.core.settings import Settings, load_settings
from lookout.service.core.stages import RENAMED_COMMANDS, STAGES, Stage

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # with it, "[default: ...]" in a help is a tag, and not shown
    pretty_exceptions_enable=False,
    help="Lookout: live anomaly scores for fixed cameras. "
    "Every setting is also an environment variable LOOKOUT_*.",
)
app.add_typer(trial_app)
app.add_typer(train_app)
app.add_typer(evaluate_app)
app.add_typer(benchmark_app)
app.add_typer(predict_app)
app.add_typer(replay_app)
app.add_typer(scene_app)
app.add_typer(models_app)
app.add_typer(export_app)
app.add_typer(users_app, name="users")
app.add_typer(watch_app)
app.add_typer(doctor_app)


def print_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        typer.echo(f"lookout {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="print the version and exit", is_eager=True, callback=print_version
        ),
    ] = False,
) -> None:
    """Take the options that stand before the command."""


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="address to listen on  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="0: any free one  [default: 8000]")] = None,
) -> None:
    """Run everything; with embedded Redis unless LOOKOUT_BUS_URL and LOOKOUT_STORE_URL are set."""
    from lookout.service.supervisor import supervisor as serve  # noqa: PLC0415

    settings = load_settings(host=host, port=port)
    logs.set_up("serve", settings.log_level, settings.log_format)

    def say(full: Settings) -> None:
        typer.echo(f"Lookout is at {serve.address(full)}")

    with stop_on_signals() as stop:
        serve.serve(settings, stop, say)


@app.command()
def demo(
    video: Annotated[
        str | None,
        # make passes it by environment: a password must not stand in a list of processes.
        typer.Argument(
            envvar="LOOKOUT_DEMO_VIDEO", help="a file or rtsp:// url; none: the generated scene"
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(help="[default: 8000, or the next free one]")] = None,
) -> None:
    """Start everything, add a camera, say where to look."""
    from lookout.service.demo.run import run_demo  # noqa: PLC0415

    settings = load_settings(port=port, log_level="warning")
    logs.set_up("demo", settings.log_level, settings.log_format)
    with stop_on_signals() as stop:
        run_demo(settings, video or None, stop, typer.echo, any_port=port is None)


@app.command()
def scene(
    out: Annotated[Path, typer.Option(help="folder to write train/, test/ and labels.json into")],
    train_clips: Annotated[int, typer.Option(min=1)] = 12,
    test_clips: Annotated[int, typer.Option(min=1)] = 4,
    seconds: Annotated[
        float, typer.Option(help="of each clip", min=1, max=86_400, callback=finite)
    ] = 30.0,
    seed: Seed = 1,
) -> None:
    """Draw the demo's scene: normal clips to train on, labelled clips to evaluate on."""
    from lookout.service.demo.scene import write_dataset  # noqa: PLC0415

    write_dataset(out, train_clips=train_clips, test_clips=test_clips, seconds=seconds, seed=seed)
    typer.echo(f"wrote {train_clips} normal and {test_clips} test clips of {seconds:g} s to {out}")


def run_stage(stage: Stage) -> None:
    """Run one stage until a signal.

    Its module is imported here, so that an image without torch serves the API, and so that wrong
    addresses are told before torch is loaded, which takes seconds.
    """
    from lookout.service.storage.connections import check_urls  # noqa: PLC0415

    settings = load_settings()
    check_urls(settings)
    logs.set_up(stage.name, settings.log_level, settings.log_format)
    tighten_data(settings)
    with stop_on_signals() as stop:
        importlib.import_module(stage.module).run(settings, stop)


def add_stage_command(stage: Stage) -> None:
    """Add the command that runs a stage."""

    @app.command(stage.name, help=f"One stage: {stage.summary}")
    def command() -> None:
        run_stage(stage)


def add_renamed_command(old_name: str, stage: Stage) -> None:
    """Add a hidden command under a stage's old name; a line on standard error names the new one."""

    @app.command(old_name, hidden=True, help=f"One stage: {stage.summary}")
    def command() -> None:
        logs.print_line(
            f"`lookout {old_name}` is now `lookout {stage.name}`; "
            "the old name goes with the next release"
        )
        run_stage(stage)


for stage in STAGES:
    add_stage_command(stage)
for old_name, stage in RENAMED_COMMANDS.items():
    add_renamed_command(old_name, stage)


@app.command("settings")
def print_settings() -> None:
    """Print every setting with its default: docs/configuration.md."""
    typer.echo(page(), nl=False)


def main() -> None:
    """Run `lookout`."""
    run_app(app)
