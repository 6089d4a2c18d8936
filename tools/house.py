"""Print how the product's Python reads, in numbers: `python tools/house.py [ROOT [FOLDER…]]`.

Each row is counted with `ast` over every file below `service/`, `models/` and `contrib/` of the
checkout ROOT (default: this one), or below the given folders of it. Tests are left out.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass
class Count:
    """Sums over the files read so far."""

    files: int = 0
    lines: int = 0
    functions: int = 0
    private_functions: int = 0
    used_once: int = 0
    tuple_assignments: int = 0
    conditional_expressions: int = 0
    wide_lines: int = 0
    docstrings: int = 0
    riddles: int = 0
    small_files: int = 0
    types: Counter[str] = field(default_factory=Counter)

    def add(self, path: Path) -> None:
        """Count one file. Raises SyntaxError where it does not parse."""
        text = path.read_text()
        lines = text.splitlines()
        self.files += 1
        self.lines += len(lines)
        self.wide_lines += sum(len(line) > WIDEST for line in lines)
        is_small = len(lines) <= SMALL_FILE_LINES and path.name not in (
            "__init__.py",
            "__main__.py",
        )
        self.small_files += is_small
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
                self.docstrings += 1
                self.riddles += docstring.split()[0].rstrip(":,") in OPENINGS
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            self.tuple_assignments += isinstance(node.value, ast.Tuple)
        self.conditional_expressions += isinstance(node, ast.IfExp)

    def rows(self, root: Path) -> list[tuple[str, str]]:
        """Name and value of each row, in the order in which they are printed."""
        per_1000 = 1000 / self.lines
        loose = [path for path in (root / "service").glob("*.py") if path.name != "__init__.py"]
        twice = sorted(name for name, times in self.types.items() if times > 1)
        return [
            ("product files, lines", f"{self.files}, {self.lines}"),
            ("loose files on the ground floor of service/", f"{len(loose)}"),
            ("private share of functions", f"{self.private_functions / self.functions:.0%}"),
            ("private helpers used once, per 1,000 lines", f"{self.used_once * per_1000:.1f}"),
            ("tuple assignments per 1,000 lines", f"{self.tuple_assignments * per_1000:.1f}"),
            (
                "conditional expressions per 1,000 lines",
                f"{self.conditional_expressions * per_1000:.1f}",
            ),
            (f"lines over {WIDEST} columns", f"{self.wide_lines / self.lines:.1%}"),
            (
                "docstrings that open with What/Who/Of/As/How/When/…",
                f"{self.riddles / self.docstrings:.0%}",
            ),
            (f"files of {SMALL_FILE_LINES} lines or less", f"{self.small_files}"),
            ("type names defined twice or more", f"{len(twice)} {' '.join(twice)}".strip()),
        ]


def main() -> None:
    """Print the table for the checkout and the folders named on the command line."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    count = Count()
    for folder in sys.argv[2:] or FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            count.add(path)
    for name, value in count.rows(root):
        print(f"{name:52} {value}")


if __name__ == "__main__":
    main()
