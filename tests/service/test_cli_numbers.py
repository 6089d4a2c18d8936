"""The options of the command line refuse NaN and other values that are not numbers."""

from __future__ import annotations

import pytest
from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from lookout.service.cli.main import app
from tests.cli import lookout


def number_options() -> list[tuple[str, str]]:
    """Every command with each of its options that takes a number with a fraction."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return [
        (name, option.opts[-1])
        for name, command in group.commands.items()
        for option in command.params
        if isinstance(option, TyperOption) and option.type_descriptor.annotation is float
    ]


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize(("command", "option"), number_options())
def test_what_is_no_number_is_refused(command: str, option: str, number: str) -> None:
    said = lookout(command, option, number, expect=2)
    assert f"Invalid value for '{option}'" in said.err


def test_there_are_such_options() -> None:
    assert {("train", "--learning-rate"), ("evaluate", "--gate"), ("train", "--minutes")} < set(
        number_options()
    )
