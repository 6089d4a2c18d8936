"""Sets of pictures as distributed, on tiny files of the same formats; the papers' protocol."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from lookout.models.data.picture_sets import (
    CIFAR_TEST,
    CIFAR_TRAIN,
    DIGITS,
    LabelledPictures,
    PictureSet,
    read_picture_set,
)
from lookout.models.errors import DataError
from lookout.models.training.one_class import OneClassOptions, run_class
from tools import one_class

SHORT = OneClassOptions(epochs=2, batch=8)


def idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Return an array as an idx file of bytes holds it."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def pixels(
    count: int, size_px: int, channels: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    shape = (count, size_px, size_px, channels)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


def write_mnist(folder: Path) -> None:
    for part, count in (("train", 40), ("t10k", 20)):
        pictures = idx(pixels(count, 28, 1)[..., 0])
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pictures))
        kinds = idx(np.arange(count, dtype=np.uint8) % 10)
        (folder / f"{part}-labels.idx1-ubyte").write_bytes(kinds)


def write_cifar(folder: Path) -> None:
    for number, name in enumerate((*CIFAR_TRAIN, CIFAR_TEST)):
        planes = pixels(20, 32, 3).transpose(0, 3, 1, 2).reshape(20, -1)
        kinds = (np.arange(20, dtype=np.uint8)[:, None] + number) % 10
        (folder / name).write_bytes(np.concatenate([kinds, planes], axis=1).tobytes())


def test_mnist_as_distributed_packed_or_not(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    found = read_picture_set(tmp_path)
    assert found.name == "MNIST"
    assert np.array_equal(found.train.pixels, pixels(40, 28, 1))
    assert np.array_equal(found.test.pixels, pixels(20, 28, 1))
    assert found.train.classes.tolist() == [*range(10)] * 4
    assert np.array_equal(found.train.of_class(3), pixels(40, 28, 1)[3::10])
    assert len(found.train.of_class(3, others=True)) == 36


def test_cifar_10_in_its_binary_version(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    found = read_picture_set(tmp_path)
    assert found.name == "CIFAR-10"
    assert found.train.pixels.shape == (100, 32, 32, 3)
    assert np.array_equal(found.train.pixels[:20], pixels(20, 32, 3))
    assert found.train.classes[20:23].tolist() == [1, 2, 3]
    assert found.test.classes[:3].tolist() == [5, 6, 7]


def refused(folder: Path, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        read_picture_set(folder)
    assert "\n" not in str(raised.value)


def test_damaged_files_of_mnist_are_one_line(tmp_path: Path) -> None:
    refused(tmp_path, "holds neither train-images-idx3-ubyte.gz")
    refused(tmp_path / "none", "is no folder")
    write_mnist(tmp_path)
    pictures = tmp_path / "train-images-idx3-ubyte.gz"
    whole = pictures.read_bytes()
    pictures.write_bytes(whole[:-300])
    refused(tmp_path, "is cut off: its gzip stream has no end")
    pictures.write_bytes(whole[:300] + bytes(40) + whole[340:])
    refused(tmp_path, "damaged gzip file|cut off")
    pictures.write_bytes(idx(np.zeros(40, np.uint8)))
    refused(tmp_path, "no idx file of 3 dimensions")
    pictures.write_bytes(gzip.decompress(whole)[:-1])
    refused(tmp_path, r"its header says \[40, 28, 28\], 31360 bytes, and it holds 31359")
    pictures.write_bytes(gzip.decompress(whole) + b"0")
    refused(tmp_path, "and it holds more")
    pictures.write_bytes(bytes((0, 0, 8, 3)) + bytes(5))
    refused(tmp_path, "cut off in its header")
    pictures.write_bytes(bytes((0, 0, 8, 3)) + b"\xff" * 12)
    refused(tmp_path, "which is not read")
    pictures.write_bytes(idx(pixels(39, 28, 1)[..., 0]))
    refused(tmp_path, "39 pictures and 40 labels of train")
    pictures.write_bytes(whole)
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx(np.full(40, 10, np.uint8)))
    refused(tmp_path, "has a class 10")


def test_damaged_files_of_cifar_are_one_line_and_no_pickle_is_read(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    part = tmp_path / CIFAR_TRAIN[2]
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    refused(tmp_path, "data_batch_3.bin is cut off")
    part.write_bytes(b"\x0a" + whole[1:])
    refused(tmp_path, "has a class 10")
    part.unlink()
    refused(tmp_path, "lacks data_batch_3.bin")
    pickled = tmp_path / "python"
    pickled.mkdir()
    (pickled / "data_batch_1").write_bytes(pickle.dumps({"data": []}))
    refused(pickled, "pickles, which run what is in them; take the binary version")


def test_the_packaged_digits_are_divided_by_class() -> None:
    digits = read_picture_set(Path(DIGITS))
    assert digits.train.pixels.shape == (1195, 28, 28, 1)
    assert len(digits.test.pixels) == 1797 - 1195
    assert digits.train.pixels.max() == 255
    share = np.bincount(digits.train.classes) / np.bincount(
        np.concatenate([digits.train.classes, digits.test.classes])
    )
    assert np.allclose(share, 2 / 3, atol=0.01)


@pytest.mark.wide
def test_a_network_of_one_digit_finds_the_others() -> None:
    found = run_class(read_picture_set(Path(DIGITS)), 0, OneClassOptions(epochs=30), seed=0)
    assert found.network > 95
    assert found.mean_picture > 95


def test_the_same_seed_gives_the_same_figure(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    pictures = read_picture_set(tmp_path)
    found = [run_class(pictures, 2, SHORT, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("whole_code", [True, False])
def test_a_set_in_colour_has_the_network_of_cifar_10(whole_code: bool, tmp_path: Path) -> None:
    write_cifar(tmp_path)
    found = run_class(
        read_picture_set(tmp_path), 3, OneClassOptions(epochs=1, batch=8, whole_code=whole_code), 0
    )
    assert found.number == 3
    assert 0 <= found.network <= 100


def test_too_few_pictures_or_another_size_are_one_line() -> None:
    few = LabelledPictures(pixels(10, 28, 1), np.arange(10, dtype=np.uint8))
    with pytest.raises(DataError, match="class 0: 1 pictures to train on"):
        run_class(PictureSet("few", few, few), 0, SHORT, 0)
    odd = LabelledPictures(pixels(40, 20, 1), np.arange(40, dtype=np.uint8) % 10)
    with pytest.raises(DataError, match=r"pictures of \(1, 20, 20\)"):
        run_class(PictureSet("odd", odd, odd), 0, SHORT, 0)


def test_the_command_prints_a_row_a_class_and_the_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mnist(tmp_path)
    assert one_class.main([str(tmp_path), "--epochs", "1", "--seeds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "MNIST: AUC in percent, 1 epochs, 1 seeds"
    assert [line.split("|")[1].strip() for line in lines[3:]] == [*map(str, range(10)), "mean"]
    assert one_class.main([str(tmp_path / "none")]) == 1
    assert "one_class: none is no folder" in capsys.readouterr().err
