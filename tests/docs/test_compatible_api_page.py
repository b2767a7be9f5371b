"""docs/compatible-api.md names tests that there are, and routes that there are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tracker.query.api import open_query
from tracker.web.access import read_access
from tracker.web.app import create_app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatible-api.md").read_text()


def test_each_row_names_a_test_that_there_is() -> None:
    """Every oddity is shown by a test of tests/web."""
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    defined = {name for path in (ROOT / "tests" / "web").glob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    tables = PAGE.split("## What the original leaves open")[1].split("## Who is let in")[0]
    rows = [row for row in tables.splitlines() if row.startswith("| ") and not row.endswith("| shown by |")]
    assert len(rows) > 40
    assert named <= defined
    assert [row for row in rows if "`test_" not in row] == []


def test_the_routes_are_there() -> None:
    """Each path of the first table, in each version."""
    paths = create_app(open_query("sqlite:///nothing.db")).openapi()["paths"]
    for method, path in re.findall(r"`(GET|PATCH|POST) (/[^`]+)`", PAGE):
        for version in ("beta", "v2024", "v2025", "v2026"):
            assert method.lower() in paths[path.replace("{version}", version)]


def test_the_access_file_is_one(tmp_path: Path) -> None:
    """The example can be used as it is."""
    [example] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    tomllib.loads(example)
    (tmp_path / "access.toml").write_text(example)
    assert not read_access(str(tmp_path / "access.toml")).is_open
