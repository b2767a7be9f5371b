"""The page on PostgreSQL is true: its snippets run against a real server."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests.services.postgres import PASSWORD

from .snippets import ROOT, blocks, run

PAGE = ROOT / "docs" / "how-to" / "use-postgresql.md"
STORE = "postgresql://tracker@localhost/tracker"
pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not PAGE.exists(), reason="the pages are part of the source tree"),
    pytest.mark.timeout(180),
]


def test_the_snippets_run(database: str, tmp_path: Path) -> None:
    """A log is replayed, listed and accounted for by the commands of the page, and read by its SQL."""
    event = {"specversion": "1.0", "source": "/made", "id": "1", "subject": "import-7", "time": "2026-01-31T09:00:00Z"}
    lines = [{**event, "type": f"io.tracker.task.{kind}", "id": kind} for kind in ("created", "launched")]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line | {"data": {"launcher": "sweep"}}) + "\n" for line in lines))
    shell = [block for block in blocks(PAGE) if block.language == "sh"]
    told = "".join(run(block._replace(text=block.text.replace(STORE, database)), "", tmp_path) for block in shell)
    assert "import-7" in told
    assert "2 read = 2 applied" in told
    assert PASSWORD not in told

    [sql] = [block.text for block in blocks(PAGE) if block.language == "sql"]
    with psycopg.connect(database) as connection:
        assert connection.execute(sql).fetchall() == []


def test_the_page_uses_the_address_that_the_test_replaces() -> None:
    """Or a snippet would be run against nothing."""
    assert all(STORE in line for block in blocks(PAGE) if block.language == "sh" for line in block.text.splitlines())
