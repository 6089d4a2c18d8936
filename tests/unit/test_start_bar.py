"""The demo's progress until the first score: a bar on a terminal, else a line for each step."""

from __future__ import annotations

import io

from rich.console import Console

from lookout.service.demo import run


def test_a_terminal_sees_a_bar_that_goes_with_the_first_score() -> None:
    said: list[str] = []
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    with run.StartBar(said.append, console) as bar:
        bar.begin("Drawing the scene", 3000)
        bar.show(1500)
        half = screen.getvalue()
        bar.begin("Waiting for the first score", None)
        bar.show()
        assert bar.end() >= 0
        before = len(screen.getvalue())
        bar.show()
    assert "Drawing the scene" in half
    assert "Waiting for the first score" in screen.getvalue()
    assert screen.getvalue()[before:].strip() == ""  # nothing is drawn after its end
    assert said == []


def test_elsewhere_each_step_is_a_line() -> None:
    said: list[str] = []
    screen = io.StringIO()
    with run.StartBar(said.append, Console(file=screen)) as bar:
        bar.begin("Drawing the scene", 3000)
        bar.show(1500)
        bar.begin("Starting the service", 5)
    assert said == ["Drawing the scene …", "Starting the service …"]
    assert screen.getvalue().strip() == ""


def test_a_service_that_does_not_answer_lacks_every_stage() -> None:
    assert "inference" in run.missing_stages("http://127.0.0.1:9")
