"""Print how the product's Python reads, in numbers: `python tools/house.py [ROOT [FOLDER…]]`.

Each row is counted with `ast` over every file below `service/`, `models/` and `contrib/` of the
checkout ROOT (default: this one), or below the given folders of it. Tests are left out.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

FOLDERS = ("service", "models", "contrib")
OPENINGS = {"What", "Who", "Of", "As", "How", "When", "Where", "Whose"}
SMALL_FILE_LINES = 50
WIDEST = 100

Function = ast.FunctionDef | ast.AsyncFunctionDef


def type_aliases(statement: ast.stmt) -> list[str]:
    """Return the names in CapWords that a statement of a module assigns: `Floats = NDArray[…]`."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if name[0].isupper() and not name.isupper()]


class Figure(NamedTuple):
    """One row of the table."""

    name: str
    value: float
    limit: float  # the most that the house allows
    note: str = ""


@dataclass
class Count:
    """Sums over the files read so far."""

    files: int = 0
    lines: int = 0
    functions: int = 0
    private_functions: int = 0
    used_once: int = 0
    tuple_assignments: int = 0
    conditional: int = 0
    wide_lines: int = 0
    riddles: int = 0
    small_files: int = 0
    loose_files: int = 0
    types: Counter[str] = field(default_factory=Counter)

    def add(self, path: Path, *, is_loose: bool = False) -> None:
        """Count one file. Raise SyntaxError where it does not parse."""
        text = path.read_text()
        lines = text.splitlines()
        self.files += 1
        self.lines += len(lines)
        self.wide_lines += sum(len(line) > WIDEST for line in lines)
        is_entry = path.name in ("__init__.py", "__main__.py")
        self.small_files += len(lines) <= SMALL_FILE_LINES and not is_entry
        self.loose_files += is_loose and not is_entry
        for node in ast.walk(ast.parse(text)):
            self._add_node(node, text)

    def _add_node(self, node: ast.AST, text: str) -> None:
        if isinstance(node, Function):
            self.functions += 1
            if node.name.startswith("_") and not node.name.startswith("__"):
                self.private_functions += 1
                self.used_once += len(re.findall(rf"\b{node.name}\b", text)) == 2
        if isinstance(node, ast.ClassDef):
            self.types[node.name] += 1
        if isinstance(node, ast.Module):
            self.types.update(alias for statement in node.body for alias in type_aliases(statement))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                self.riddles += docstring.split()[0].rstrip(":,") in OPENINGS
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            self.tuple_assignments += isinstance(node.value, ast.Tuple)
        self.conditional += isinstance(node, ast.IfExp)

    def figures(self) -> list[Figure]:
        """Return the rows of the table, in the order in which they are printed."""
        per_1000 = 1000 / max(1, self.lines)
        private_share = 100 * self.private_functions / max(1, self.functions)
        twice = sorted(name for name, times in self.types.items() if times > 1)
        return [
            Figure("files on the ground floor of service/", self.loose_files, 0),
            Figure("private functions, %", private_share, 15),
            Figure("private helpers used once, per 1,000 lines", self.used_once * per_1000, 6),
            Figure("tuple assignments per 1,000 lines", self.tuple_assignments * per_1000, 2),
            Figure("conditional expressions per 1,000 lines", self.conditional * per_1000, 10),
            Figure(f"lines over {WIDEST} columns", self.wide_lines, 0),
            Figure("docstrings that open with What/Who/Of/As/How/When/…", self.riddles, 0),
            Figure(f"files of {SMALL_FILE_LINES} lines or less", self.small_files, 14),
            Figure("type names defined twice or more", len(twice), 0, " ".join(twice)),
        ]


def count_product(root: Path, folders: Sequence[str] = FOLDERS) -> Count:
    """Count every Python file below `folders` of the checkout at `root`."""
    count = Count()
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            count.add(path, is_loose=path.parent == root / "service")
    return count


def main() -> None:
    """Print the table for the checkout and the folders named on the command line."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    count = count_product(root, sys.argv[2:] or FOLDERS)
    print(f"{count.files} files, {count.lines} lines")
    for figure in count.figures():
        print(
            f"{figure.name:52} {figure.value:6.1f}  limit {figure.limit:<3} {figure.note}".rstrip()
        )


if __name__ == "__main__":
    main()
