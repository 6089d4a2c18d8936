"""Recognise what a file is by its first bytes where it is no safetensors file. Nothing is run."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

FOREIGN_SUFFIXES = (
    ".pth",
    ".pt",
    ".pkl",
    ".pickle",
    ".tar",
    ".bin",
    ".ckpt",
    ".npz",
    ".h5",
    ".onnx",
)
"""Names that other programs give to weights; what a file is, its content says."""

PAGE = "docs/training.md, Weights of other programs"

_PICKLE = re.compile(rb"\x80[\x01-\x05]|[}\]]q\x00|\(?[dl]p?\d*\n|\(i|c[a-z_.]+\n")
"""Beginning of a pickle: of protocol 1 to 5, or of the old one in text."""

_KNOWN = (
    (0, b"\x1f\x8b", "is compressed (gzip): unpack it first"),
    (257, b"ustar", f"is a tar archive: unpack it first; pickles are not read ({PAGE})"),
    (0, b"BZh", "is compressed (bzip2): unpack it first"),
    (0, b"\xfd7zXZ", "is compressed (xz): unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "is compressed (zstd): unpack it first"),
    (0, b"7z\xbc\xaf", "is an archive (7z): unpack it first"),
    (0, b"Rar!", "is an archive (rar): unpack it first"),
    (0, b"\x89HDF", f"is an HDF5 file, which is not read ({PAGE})"),
    (0, b"\x93NUMPY", f"is an array of NumPy, which is not read ({PAGE})"),
    (0, b"GGUF", "is a GGUF file, which is not read"),
    (
        0,
        b"version https://git-lfs",
        "is a pointer of Git LFS, not the file: `git lfs pull` fetches it",
    ),
)
"""Offset, the bytes there, and what the file is."""

_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)


def describe_foreign(path: Path) -> str | None:
    """Return what a file is and what to do with it, to stand behind its name.

    None for a file that begins as a safetensors file does, or that nothing here recognises. Raises
    OSError.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "is empty"
    if start[8:9] == b"{":
        return None
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _describe_zip(path)
    if _PICKLE.match(start):
        return pickled(path, "a pickle")
    if _WEB_PAGE.match(start):
        return "is a web page, not weights: download the file itself"
    found = (what for at, magic, what in _KNOWN if start[at:].startswith(magic))
    return next(found, None)


def pickled(path: Path, what: str) -> str:
    """Return the line about a pickle: why it is not read, and the Python that converts it."""
    return (
        f"is {what} (torch.save), which is not read, since a pickle can run any program. Where you "
        f"trust its source, this Python makes a safetensors file of its tensors: {program(path)}  "
        f"(more: {PAGE})"
    )


def program(path: Path) -> str:
    """Return a line of Python that converts a state dict saved by torch."""
    out = f"{path.stem}.safetensors"
    return (
        "import torch; from safetensors.torch import save_file; "
        f"w = torch.load({path.name!r}, map_location='cpu', weights_only=True); "
        f"save_file({{k: t.clone().contiguous() for k, t in w.items()}}, {out!r})"
    )


def _describe_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return pickled(path, "a zip file that is cut off, perhaps of a pickle")
    if any(name.endswith("constants.pkl") for name in names):
        return f"is a TorchScript program, which is not read ({PAGE})"
    if any(name.endswith(".pkl") for name in names):
        return pickled(path, "a zip file with a pickle")
    if names and all(name.endswith(".npy") for name in names):
        return f"is arrays of NumPy, which are not read ({PAGE})"
    return "is a zip archive: unpack it first"


def find_foreign(*folders: Path) -> dict[str, str]:
    """Return the files of models folders that are weights of other programs, with the reason."""
    found = {}
    for folder in reversed(folders):
        for path in folder.glob("*"):
            if path.suffix in FOREIGN_SUFFIXES and path.name.isprintable() and path.is_file():
                try:
                    what = describe_foreign(path)
                except OSError as error:
                    what = f"cannot be read: {error.strerror}"
                found[path.name] = f"{path.name} {what or 'is no safetensors file'}"
    return dict(sorted(found.items()))
