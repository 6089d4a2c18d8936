"""Training as a library call: a request, an observer and a stop, without a command line."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.checkpoint.header import read_header
from lookout.models.errors import DataError
from lookout.models.training.options import TrainOptions
from lookout.models.training.progress import LogEntry
from lookout.models.training.run import TrainRequest, run
from lookout.models.training.trainer import StoppedError
from tests.clips import write_clip
from tests.recorder import Recorder

OPTIONS = TrainOptions(epochs=3, batch=4, learning_rate=1e-3, seed=7, log_every=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name in ("a", "b", "c"):
        write_clip(folder / f"{name}.mp4", range(12), size_px=(64, 48))
    return folder


@pytest.fixture
def request_(data: Path, tmp_path: Path) -> TrainRequest:
    return TrainRequest(
        data,
        tmp_path / "gate.safetensors",
        width=4,
        items=4,
        side_px=32,
        options=OPTIONS,
        held_out=0.3,
        provenance={"job": "night"},
    )


class StopAfterEntry(Recorder):
    """Asks for a stop once a log entry has come."""

    def __init__(self) -> None:
        super().__init__()
        self.stop = threading.Event()

    def on_log_entry(self, entry: LogEntry) -> None:
        super().on_log_entry(entry)
        self.stop.set()


def test_a_run_stopped_after_an_entry_resumes_to_the_same_bits(request_: TrainRequest) -> None:
    whole = Recorder()
    first = replace(request_, out=request_.out.with_name("whole") / "gate.safetensors")
    run(first, whole)
    stopped = StopAfterEntry()
    with pytest.raises(StoppedError) as raised:
        run(request_, stopped, stopped.stop.is_set)
    assert raised.value.state == request_.out.with_name("gate.safetensors.resume")
    assert len(stopped.entries) == 1
    assert not request_.out.exists()
    resumed = Recorder()
    assert run(request_, resumed) == [request_.out]
    assert [line for line in resumed.messages if line.startswith("going on from")]
    assert stopped.entries + resumed.entries == whole.entries
    for name in ("gate.safetensors", "gate.last.safetensors"):
        one = load_checkpoint(first.out.with_name(name))
        other = load_checkpoint(request_.out.with_name(name))
        assert torch.equal(one.items, other.items)
        for key, tensor in one.model.state_dict().items():
            assert torch.equal(tensor, other.model.state_dict()[key]), key
        assert one.provenance == other.provenance
    assert first.out.with_name("gate.log.jsonl").read_bytes() == (
        request_.out.with_name("gate.log.jsonl").read_bytes()
    )


def test_the_observer_gets_every_step_and_entry_and_the_provenance_is_kept(
    request_: TrainRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    observer = Recorder()
    run(request_, observer)
    assert capfd.readouterr() == ("", "")
    assert [now.step for now in observer.progress] == list(range(observer.progress[0].steps + 1))
    assert observer.progress[0].left_s is None
    assert observer.progress[-1].left_s == 0
    assert {now.checkpoint for now in observer.progress} == {"gate.safetensors"}
    assert [entry.step for entry in observer.entries] == [2, 4, 6, 8, 10, 12]
    assert observer.messages[0] == "16 windows of 2 clips, 1 held out, 3 epochs, on cpu"
    assert observer.messages[-1].startswith(f"wrote {request_.out} (")
    assert read_header(request_.out).provenance["job"] == "night"
    again = Recorder()
    assert run(request_, again) == [request_.out]
    assert not again.progress
    assert "is finished" in again.messages[-1]


def test_a_stop_while_clips_are_decoded_leaves_no_file(request_: TrainRequest) -> None:
    with pytest.raises(StoppedError) as raised:
        run(request_, Recorder(), lambda: True)
    assert raised.value.state is None
    assert list(request_.out.parent.iterdir()) == []


@pytest.mark.wide
def test_an_error_of_the_observer_ends_the_run_which_then_resumes(request_: TrainRequest) -> None:
    class Full(Recorder):
        def on_log_entry(self, _entry: LogEntry) -> None:
            raise OSError("no room for the entry")

    with pytest.raises(OSError, match="no room"):
        run(request_, Full())
    assert run(request_, Recorder()) == [request_.out]


def test_what_needs_held_out_clips_is_refused_without_them(request_: TrainRequest) -> None:
    patient = replace(request_, held_out=0.0, options=replace(OPTIONS, patience=2))
    with pytest.raises(DataError, match="--patience needs clips to measure on"):
        run(patient, Recorder())


@pytest.mark.long
def test_training_prints_nothing_and_knows_no_command_line(request_: TrainRequest) -> None:
    code = f"""
import sys
for name in ("typer", "click", "rich"):
    sys.modules[name] = None
from pathlib import Path
from lookout.models.training.options import TrainOptions
from lookout.models.training.run import TrainRequest, run
from tests.recorder import Recorder
options = TrainOptions(epochs=1, batch=4)
out = Path({str(request_.out)!r})
data = Path({str(request_.data)!r})
request = TrainRequest(data, out, width=4, items=4, side_px=32, options=options)
run(request, Recorder())
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100
    )
    assert (said.stdout, said.stderr) == ("", "")
    assert request_.out.exists()
