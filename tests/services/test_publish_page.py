"""The page on publishing is true: its snippets run against a real broker, one after the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.snippets import ROOT, Block, blocks, run

from .kafka import Broker

PAGE = ROOT / "docs" / "how-to" / "publish-statuses.md"
BROKER = "localhost:9092"
pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not PAGE.exists(), reason="the pages are part of the source tree"),
    pytest.mark.timeout(180),
]


def test_the_snippets_run(kafka: Broker, tmp_path: Path) -> None:
    """What the command publishes, the consumer of the page reads: of two tasks the one that is finished."""
    event = {"specversion": "1.0", "source": "/made", "time": "2026-01-31T09:00:00Z"}
    made = [("created", "import-7", {}), ("created", "done-1", {}), ("completed", "done-1", {"completionStatus": "SUCCESS"})]
    lines = [
        {**event, "id": str(number), "type": f"io.tracker.task.{kind}", "subject": task, "data": data}
        for number, (kind, task, data) in enumerate(made)
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(Block("sh", "", "tracker replay events.jsonl"), "", tmp_path)
    told = [run(block._replace(text=block.text.replace(BROKER, kafka.bootstrap)), "", tmp_path) for block in blocks(PAGE)]
    assert told[-1] == "['done-1']\n"


def test_the_page_uses_the_address_that_the_test_replaces() -> None:
    """Or a snippet would be run against nothing."""
    assert all(BROKER in block.text for block in blocks(PAGE))
