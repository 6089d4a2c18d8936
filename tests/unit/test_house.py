"""The product's Python stays within the figures that `tools/house.py` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.house import Count, Figure, count_product

ROOT = Path(__file__).parents[2]
NAMES = [figure.name for figure in Count().figures()]
SOURCE = '''"""What a module is."""

Alias = int


class Alias:
    def _once(self):
        return 1

    def twice(self):
        """Return a number."""
        a, b = 1, 2
        return self._once() if a else b
'''


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    """The figures of the whole tree by name."""
    return {figure.name: figure for figure in count_product(ROOT).figures()}


@pytest.mark.parametrize("name", NAMES)
def test_the_house_keeps_its_figures(figures: dict[str, Figure], name: str) -> None:
    assert figures[name].value <= figures[name].limit, figures[name]


def test_each_figure_counts_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE + "# " + "x" * 99 + "\n")
    count = Count()
    count.add(path, is_loose=True)
    counts = {figure.name.split(",")[0]: figure.value for figure in count.figures()}
    per_line = 1000 / count.lines
    assert counts == {
        "files on the ground floor of service/": 1,
        "private functions": 50,
        "private helpers used once": per_line,
        "tuple assignments per 1": per_line,
        "conditional expressions per 1": per_line,
        "lines over 100 columns": 1,
        "docstrings that open with What/Who/Of/As/How/When/…": 1,
        "files of 50 lines or less": 1,
        "type names defined twice or more": 1,
    }
