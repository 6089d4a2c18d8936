"""Tables: what is read, what is refused and in which words, training and its file."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lookout.models.checkpoint.header import TABLE_KEY, read_header
from lookout.models.errors import CheckpointError, DataError, TrainingError
from lookout.models.memae_table import MemAETableConfig
from lookout.models.tables import kdd, reading
from lookout.models.tables.encoding import FARTHEST, fit_encoding
from lookout.models.tables.file import load_table_model, save_table_model
from lookout.models.tables.measures import measure_rows
from lookout.models.tables.reading import Table, read_table
from lookout.models.tables.training import TableModel, TableOptions, train_table
from tests.cli import lookout

SMALL = MemAETableConfig(items=4, shrinkage=0.25)
SHORT = TableOptions(epochs=3, batch=16, learning_rate=1e-3)


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(text)
    return path


def table_of(folder: Path, text: str) -> Table:
    return read_table(csv_file(folder, text))


def walkers(folder: Path, rows: int = 40, *, abnormal: int = 0) -> Path:
    """Write rows of persons who walk by; those that end the table are fast ones."""
    drawn = np.random.default_rng(1)
    lines = ["size,speed,place,label"]
    for number in range(rows):
        fast = number >= rows - abnormal
        speed = drawn.normal(9 if fast else 1, 0.1)
        place = drawn.choice(["gate", "yard"])
        lines.append(f"{drawn.normal(2, 0.2):.4f},{speed:.4f},{place},{int(fast)}")
    return csv_file(folder, "\n".join(lines) + "\n")


def trained(folder: Path) -> TableModel:
    model = train_table(read_table(walkers(folder)), SMALL, SHORT)
    assert model is not None
    return model


def test_numbers_texts_and_labels_of_a_table(tmp_path: Path) -> None:
    table = table_of(tmp_path, "\ufeffa, kind ,label\n1,x,0\n\n-2.5e1,y,1\n3,x,0\n")
    assert len(table) == 3
    assert [column.name for column in table.columns] == ["a", "kind"]
    assert table.columns[0].values.tolist() == [1, -25, 3]
    assert (table.columns[1].texts, table.columns[1].values.tolist()) == (("x", "y"), [0, 1, 0])
    assert table.abnormal is not None
    assert table.abnormal.tolist() == [False, True, False]
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    assert read_table(packed).columns[0].values.tolist() == [1, -25, 3]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n1,\n", "line 3, column 'b': no value"),
        ("a,b\n1,2\nNaN,2\n", "line 3, column 'a': no value"),
        ("a,b\n1,2\n?,2\n", "line 3, column 'a': no value"),
        ("a,b\n1,2\n\n1,much\n", "line 4, column 'b': 'much' is no number"),
        ("a,b\n1,inf\n", "line 2, column 'b': 'inf' is no number to work with"),
        ("a,b\n1,1e31\n", "line 2, column 'b': '1e31' is no number to work with"),
        ("a,b\n1,2,3\n", "line 2 has 3 values for 2 columns"),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
        ("a,b\n", "has no rows"),
        ("", "has no header"),
        ("1,2\n3,4\n", "has no header: its first line holds 1, a number"),
        ("a,a\n1,2\n", "names the column 'a' twice"),
        ("a,\n1,2\n", "a column has no name"),
        ("a;b\n1;2\n", "values are separated by commas"),
        ("a,label\n1,2\n", "label is 0 for a normal row and 1 for an abnormal one"),
        ("a,label\n1,no\n", "label is 0 for a normal row"),
        ("label\n1\n", "has no column but label"),
        ("a\n" + "".join(f"word {n}\n" for n in range(201)), "over 200 different texts"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        table_of(tmp_path, text)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    for content, reason in (
        (whole[:-12], "is cut off"),
        (whole[:20] + b"\xff" * 10 + whole[30:], "damaged gzip|cut off"),
        (b"a,b\n\xff\xfe,2\n", "is no text in UTF-8"),
    ):
        path = tmp_path / "rows.csv"
        path.write_bytes(content)
        with pytest.raises(DataError, match=reason):
            read_table(path)


def test_a_table_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_VALUES", 4)
    monkeypatch.setattr(reading, "MOST_CHARACTERS", 50)
    with pytest.raises(DataError, match="over 4 values"):
        table_of(tmp_path, "a,b\n1,2\n3,4\n5,6\n")
    with pytest.raises(DataError, match="a line of over 50 characters"):
        table_of(tmp_path, "a,b\n" + "1" * 60)


def test_the_encoding_scales_numbers_names_texts_and_leaves_constants_out(tmp_path: Path) -> None:
    encoding = fit_encoding(table_of(tmp_path, "a,kind,same\n1,y,7\n3,x,7\n2,y,7\n"))
    assert encoding.left_out == ("same",)
    assert encoding.inputs == 3
    other = table_of(tmp_path, "more,kind,a\n0,z,5\n0,x,1\n0,x,1e20\n")
    assert encoding.encode(other).tolist() == [[2, 0, 0], [0, 1, 0], [FARTHEST, 1, 0]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a\n1\n", "has no column 'kind'"), ("a,kind\n1,2\n", "holds numbers, in training it held")],
)
def test_a_table_with_other_columns_than_in_training_is_refused(
    text: str, reason: str, tmp_path: Path
) -> None:
    encoding = fit_encoding(table_of(tmp_path, "a,kind\n1,y\n3,x\n"))
    with pytest.raises(DataError, match=reason):
        encoding.encode(table_of(tmp_path, text))


def test_tables_that_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="every column has the same value"):
        train_table(table_of(tmp_path, "a,b\n" + "1,2\n" * 9), SMALL, SHORT)
    with pytest.raises(DataError, match="has 3 normal rows to train on; a memory of 4 items"):
        train_table(table_of(tmp_path, "a,label\n1,0\n2,0\n3,0\n4,1\n"), SMALL, SHORT)
    with pytest.raises(TrainingError, match="no number any more"):
        table = read_table(walkers(tmp_path))
        train_table(table, SMALL, replace(SHORT, learning_rate=1e30))


def test_training_repeats_and_abnormal_rows_are_not_trained_on(tmp_path: Path) -> None:
    table = read_table(walkers(tmp_path, 60, abnormal=10))
    found = [train_table(table, SMALL, SHORT) for _ in range(2)]
    scores = [model.scores(table).tolist() for model in found if model is not None]
    assert len(scores) == 2
    assert scores[0] == scores[1]
    assert found[0] is not None
    assert table.abnormal is not None
    assert found[0].mean_row[1] == pytest.approx(
        fit_encoding(table).encode(table.take(~table.abnormal))[:, 1].mean()
    )
    assert train_table(table, SMALL, SHORT, should_stop=lambda: True) is None


def test_a_model_of_tables_comes_back_from_its_file(tmp_path: Path) -> None:
    model = trained(tmp_path)
    save_table_model(tmp_path / "walkers.safetensors", model, {"command": "lookout train"})
    table = read_table(walkers(tmp_path, 50, abnormal=5))
    loaded = load_table_model(tmp_path / "walkers.safetensors")
    assert loaded.scores(table).tolist() == model.scores(table).tolist()
    assert loaded.encoding == model.encoding
    assert loaded.distances_from_mean(table).tolist() == model.distances_from_mean(table).tolist()
    with pytest.raises(CheckpointError, match=r"scores rows of numbers .* no frames of a camera"):
        read_header(tmp_path / "walkers.safetensors")


def test_a_damaged_model_of_tables_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "walkers.safetensors"
    save_table_model(path, trained(tmp_path), {})
    tensors = load_file(path)

    def refused(reason: str, header: object, **changes: torch.Tensor) -> None:
        damaged = tmp_path / "damaged.safetensors"
        save_file(tensors | changes, damaged, {TABLE_KEY: json.dumps(header)})
        with pytest.raises(CheckpointError, match=reason) as raised:
            load_table_model(damaged)
        assert "\n" not in str(raised.value)

    header = {
        "format": 1,
        "model": "memae-table",
        "config": {"columns": 4, "items": 4, "shrinkage": 0.25},
        "encoding": {"columns": [{"name": "a", "low": 0, "high": 1, "texts": []}], "left_out": []},
        "seed": 0,
    }
    refused("damaged header", "nothing")
    refused("damaged header", header | {"config": {"columns": 0}})
    refused("another version", header | {"format": 2})
    refused("mean_row is of", header)
    refused("the model's of", header | {"config": {"columns": 10**9, "items": 10**9}})
    texts = {"columns": [{"name": "a", "low": 0, "high": 1, "texts": list("wxyz")}], "left_out": []}
    refused(r"the model.s of \(3,\)", header | {"encoding": texts, "config": {"columns": 3}})
    refused("not finite", header | {"encoding": texts}, mean_row=torch.full((4,), torch.nan))


def test_measures_need_rows_of_both_kinds() -> None:
    with pytest.raises(DataError, match="need normal and abnormal rows"):
        measure_rows(np.arange(3.0), np.zeros(3, np.bool_))


def kdd_file(folder: Path, rows: int = 60) -> Path:
    """Write rows in the form of KDD Cup 99: four fifths are an attack."""
    lines = []
    for number in range(rows):
        values = {name: str(number % 7) for name in kdd.COLUMNS}
        values |= {"protocol_type": ("tcp", "icmp")[number % 2], "service": "ecr_i", "flag": "SF"}
        values |= {name: str(number % 2) for name in ("land", "logged_in", "is_guest_login")}
        values |= {"is_host_login": "0", "num_outbound_cmds": "0", "serror_rate": "0.05"}
        kind = "buffer_overflow."
        if number % 5 == 0:
            values["src_bytes"] = "90"
            kind = "normal."
        lines.append(",".join([*values.values(), kind]))
    path = folder / "kddcup.data_10_percent.gz"
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def test_kdd_cup_99_as_distributed(tmp_path: Path) -> None:
    table = read_table(kdd_file(tmp_path))
    assert len(table) == 60
    assert table.halved
    assert [column.name for column in table.columns] == list(kdd.COLUMNS)
    assert {column.name for column in table.columns if column.texts} == set(kdd.TEXTS)
    assert table.abnormal is not None
    assert table.abnormal.tolist() == [number % 5 == 0 for number in range(60)]
    halves = kdd.halves(60, seed=3)
    assert sorted([*halves.train, *halves.test]) == list(range(60))
    assert not np.array_equal(halves.train, kdd.halves(60, seed=4).train)


def test_rows_of_kdd_are_tested_on_the_half_that_the_training_did_not_see(tmp_path: Path) -> None:
    table = read_table(kdd_file(tmp_path))
    model = train_table(table, SMALL, replace(SHORT, seed=3))
    assert model is not None
    tested = model.rows_to_test(table)
    assert len(tested) == 30
    kept = kdd.halves(60, seed=3).test
    assert tested.columns[0].values.tolist() == table.columns[0].values[kept].tolist()


def test_a_row_of_kdd_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = kdd_file(tmp_path)
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    lines[4] = lines[4].replace("ecr_i", "")
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 5, column 'service': no value"):
        read_table(path)


def test_the_command_line_trains_and_measures(tmp_path: Path) -> None:
    out = tmp_path / "walkers.safetensors"
    common = ["train", "--model", "memae-table", "--out", out]
    said = lookout(*common, "--data", walkers(tmp_path), "--epochs", 2, "--items", 4).out
    assert "left out, since all training rows have the same value: label" not in said
    assert f"next: lookout evaluate --checkpoint {out}" in said
    rows = walkers(tmp_path, 50, abnormal=5)
    files = ["--json", tmp_path / "found.json", "--scores", tmp_path / "scores.csv"]
    said = lookout("evaluate", "--checkpoint", out, "--data", rows, *files).out
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["rows"], found["abnormal"]) == (50, 5)
    assert found["measures"]["distance from the mean row"]["f1"] == 1
    assert "distance from the mean row      100.00" in said
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0] == "row,score,label"
    assert len(lines) == 51
    bare = csv_file(tmp_path, "size,speed,place\n2,1,gate\n")
    assert "scores alone" in lookout("evaluate", "--checkpoint", out, "--data", bare).out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--size", "64"], "memae-table takes no --size: that is for footage"),
        (["--compile"], "memae-table takes no --compile"),
        (["--set", "gamma=1"], "memae-table has no number 'gamma' (known: loss_entropy"),
        (["--set", "shrinkage=2"], "shrinkage in [0, 1)"),
        (["--width", "5"], "width >= 6"),
    ],
)
def test_an_option_that_tables_do_not_take_is_one_line(
    options: list[str], reason: str, tmp_path: Path
) -> None:
    out = tmp_path / "walkers.safetensors"
    said = lookout(
        *("train", "--model", "memae-table", "--data", walkers(tmp_path), "--out", out),
        *options,
        expect=1,
    )
    assert reason in said.one_line()
    assert not out.exists()


def test_evaluation_of_a_table_refuses_what_is_for_footage(tmp_path: Path) -> None:
    path = tmp_path / "walkers.safetensors"
    save_table_model(path, trained(tmp_path), {})
    words = ["evaluate", "--checkpoint", path, "--data", walkers(tmp_path)]
    assert "takes no --zones" in lookout(*words, "--zones", path, expect=1).one_line()
    wrong = lookout(*words, "--scores", "scores.npz", expect=1).one_line()
    assert "must end in .csv" in wrong
    missing = lookout(*words[:-1], tmp_path / "none.csv", expect=1).one_line()
    assert missing.endswith("none.csv: No such file or directory")
