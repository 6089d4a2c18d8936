"""`python -m deploy` writes every generated file; with a directory, files for others to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from deploy import api_page, metrics_page
from deploy.dashboards import dashboards
from deploy.importable import importable

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


def main() -> None:
    """Write the generated files, or those for another Grafana and Prometheus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "directory", nargs="?", type=Path, help="for dashboards and rules to import"
    )
    parser.add_argument("--docs-url", help="address below which docs/ is, for runbook links")
    asked = parser.parse_args()
    if asked.directory is None:
        files = generated()
    else:
        if asked.docs_url is None:
            parser.error("importable rules need --docs-url")
        try:
            texts = importable(asked.docs_url)
        except ValueError as error:
            parser.error(str(error))
        asked.directory.mkdir(parents=True, exist_ok=True)
        files = {asked.directory / name: text for name, text in texts.items()}
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
