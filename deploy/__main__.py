"""`python -m deploy` writes every generated file."""

from __future__ import annotations

from pathlib import Path

from deploy import api_page, metrics_page
from deploy.dashboards import dashboards

ROOT = Path(__file__).parents[1]


def generated() -> dict[Path, str]:
    """Return the content of each generated file."""
    boards = {
        ROOT / "deploy" / "grafana" / "dashboards" / name: text
        for name, text in dashboards().items()
    }
    api = ROOT / "docs" / "api.md"
    pages = {
        ROOT / "docs" / "metrics.md": metrics_page.page(),
        api: api_page.page(api.read_text()),
    }
    return pages | boards


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
