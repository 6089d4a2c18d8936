"""Files that are no checkpoints are told apart by their content, and never unpickled."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lookout.models.checkpoint.file import load_checkpoint, save_checkpoint
from lookout.models.checkpoint.foreign import describe_foreign, program
from lookout.models.checkpoint.header import read_header
from lookout.models.checkpoint.import_mnad import import_mnad
from lookout.models.errors import CheckpointError
from tests.cli import lookout
from tests.tiny import tiny_checkpoint

DOCS = Path(__file__).parents[2] / "docs"


class Exploit:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.path),)


def torch_zip(path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, path)


def torch_legacy(path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)


def torch_cut(path: Path) -> None:
    torch_zip(path)
    path.write_bytes(path.read_bytes()[:200])


def torch_script(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"")
        archive.writestr("m/constants.pkl", b"")


def tar_of_pickles(path: Path) -> None:
    torch_zip(path.with_name("inner.pth"))
    with tarfile.open(path, "w") as archive:
        archive.add(path.with_name("inner.pth"), "inner.pth")


def gzipped(path: Path) -> None:
    path.write_bytes(gzip.compress(pickle.dumps({})))


def arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


def web_page(path: Path) -> None:
    path.write_text("\n<!DOCTYPE html><title>Log in</title>")


def lfs(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")


def pickled(protocol: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps({"a": 1}, protocol))


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "torch.save": (torch_zip, "pickle"),
    "torch.save of old": (torch_legacy, "pickle"),
    "torch.save, cut": (torch_cut, "pickle"),
    "torch.jit": (torch_script, "TorchScript"),
    **{f"pickle {protocol}": (pickled(protocol), "pickle") for protocol in range(6)},
    "tar": (tar_of_pickles, "tar archive"),
    "gzip": (gzipped, "unpack it first"),
    "npz": (arrays, "arrays of NumPy"),
    "web page": (web_page, "web page"),
    "git lfs": (lfs, "git lfs pull"),
    "hdf5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "HDF5"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["model.pth", "weights.safetensors"])
def test_a_foreign_file_is_named_by_its_content(tmp_path: Path, kind: str, name: str) -> None:
    write, what = KINDS[kind]
    path = tmp_path / name
    write(path)
    for read in (load_checkpoint, read_header, import_mnad):
        with pytest.raises(CheckpointError, match=re.escape(name)) as refused:
            read(path)
        line = str(refused.value)
        assert what in line
        assert "\n" not in line
        assert ("torch.load" in line) is (what == "pickle")


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_pickle_is_run(tmp_path: Path, legacy: bool) -> None:
    path, trap = tmp_path / "model.pth", tmp_path / "trap"
    torch.save(Exploit(trap), path, _use_new_zipfile_serialization=not legacy)
    for read in (load_checkpoint, read_header, import_mnad):
        with pytest.raises(CheckpointError, match="can run any program"):
            read(path)
    assert not trap.exists()


def test_the_commands_say_what_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "gate.pth"
    torch_zip(path)
    out = tmp_path / "out.safetensors"
    assert "pickle" in lookout("import-mnad", path, "--out", out, expect=1).one_line()
    for command in ("evaluate", "calibrate"):
        more = ("--out", out) if command == "calibrate" else ()
        words = (command, "--checkpoint", path, "--data", tmp_path, *more)
        assert "pickle" in lookout(*words, expect=1).one_line()
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", str(tmp_path / "models"))
    assert re.search(r"gate\.pth +cannot be used: gate\.pth is .*pickle", lookout("models").out)


def test_the_line_of_python_converts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shared = torch.arange(6.0).reshape(2, 3)
    torch.save({"a": shared, "b": shared.T}, "it's mine.pth")
    exec(program(Path("it's mine.pth")), {})  # noqa: S102
    converted = load_file("it's mine.safetensors")
    assert torch.equal(converted["b"], shared.T)


def test_the_page_converts_the_authors_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, _, section = (DOCS / "training.md").read_text().partition("## Weights of other programs\n")
    state_dict, authors = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    tiny = tiny_checkpoint()
    torch.save(torch.nn.DataParallel(tiny.model), "model.pth")
    torch.save(tiny.items, "keys.pt")
    exec(authors, {})  # noqa: S102
    imported = import_mnad(Path("authors.safetensors"))
    assert torch.equal(imported.items, tiny.items)
    torch.save({"state_dict": tiny.model.state_dict(), "epoch": 3}, "model.pth")
    exec(state_dict, {})  # noqa: S102
    assert load_file("model.safetensors").keys() == tiny.model.state_dict().keys()


# Headers


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny_checkpoint())
    return path


def rewrite(path: Path, change: Callable[[dict[str, object]], str]) -> None:
    header = json.loads(read_header(path).metadata()["lookout"])
    save_file(load_file(path), path, metadata={"lookout": change(header)})


@pytest.mark.parametrize("depth", [30, 500, 100_000])
def test_a_header_that_is_nested_deeply_is_refused(saved: Path, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    rewrite(saved, lambda header: json.dumps(header).replace('"format": 1', f'"format": {nested}'))
    with pytest.raises(CheckpointError, match="nested too deeply"):
        read_header(saved)


def raw(path: Path, header: str, length: int | None = None) -> None:
    size = len(header) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + header.encode() + bytes(16))


@pytest.mark.parametrize(
    "header",
    [
        '{"__metadata__":' + '{"a":' * 100_000,
        '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551615]}}',
        '{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}',
        '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
        '"b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}',
        '{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}',
        '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,16]}}',
    ],
)
def test_offsets_and_nests_of_a_raw_header_are_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "raw.safetensors"
    raw(path, header)
    for read in (load_checkpoint, read_header, import_mnad):
        with pytest.raises(CheckpointError, match=r"raw\.safetensors") as refused:
            read(path)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 400


def test_a_header_longer_than_any_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "raw.safetensors"
    raw(path, '{"a":"' + "x" * (9 * 2**20))
    with pytest.raises(CheckpointError, match="header is too long"):
        read_header(path)


@pytest.mark.parametrize(
    "options",
    [{"width": 10**6}, {"items": 2**31 - 1}, {"dim": 2**31 - 1}, {"t_length": 2**30}],
)
def test_a_header_that_claims_a_huge_model_makes_none(
    saved: Path, options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(
        saved,
        lambda header: json.dumps(header | {"config": {**dict(header["config"]), **options}}),  # type: ignore[call-overload]
    )

    def never(*_: object) -> None:
        raise AssertionError("weights were read or made")

    monkeypatch.setattr("lookout.models.checkpoint.file.load_file", never)
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors|cannot be made"):
        load_checkpoint(saved)


def test_weights_that_claim_a_huge_model_make_none(tmp_path: Path) -> None:
    """Tensors with a side of 0 take no room in the file, whatever their other sides."""
    path = tmp_path / "w.safetensors"
    tensors = dict(tiny_checkpoint().model.state_dict())
    tensors["encoder.moduleConv1.0.weight"] = torch.zeros(10**6, 12, 3, 0)
    save_file({**tensors, "m_items": tiny_checkpoint().items}, path)
    with pytest.raises(CheckpointError, match="does not fit"):
        import_mnad(path)


def test_a_header_is_read_once_and_again_when_the_file_changes(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    original = describe_foreign

    def counting(path: Path) -> str | None:
        reads.append(path)
        return original(path)

    monkeypatch.setattr("lookout.models.checkpoint.header.describe_foreign", counting)
    before = read_header(saved)
    assert read_header(saved) is before
    assert len(reads) == 1
    os.utime(saved, ns=(0, 0))
    assert read_header(saved) == before
    assert len(reads) == 2
    saved.write_bytes(b"broken")
    for _ in range(2):
        with pytest.raises(CheckpointError):
            read_header(saved)
    assert len(reads) == 3
