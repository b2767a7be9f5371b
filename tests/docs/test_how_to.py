"""The how-to pages are true: their snippets run, in order, beside a live tracker, and show what the page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from .snippets import ROOT, Block, blocks, command, environment, run

PAGES = ROOT / "docs" / "how-to"
DEADLINE_S = 50
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PAGES.exists(), reason="the pages are part of the source tree"),
    pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="the snippets need bash and curl"),
    pytest.mark.timeout(180),
]
Outputs = list[tuple[Block, str]]


def wait_for(what: Callable[[], str], log: Path) -> str:
    """What this gives once it gives something."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    pytest.fail(f"not there within {DEADLINE_S} s; the process said:\n{log.read_text(encoding='utf-8')}")


@contextmanager
def server(folder: Path, *arguments: str) -> Iterator[str]:
    """A process of the command line while inside; gives the address at which it answers."""
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tracker", *arguments, "--log-format", "json"], cwd=folder, stdout=file, stderr=file, env=environment()
        )

    def address() -> str:
        found = re.search(r'"url":\s*"http://([^/"]+)', log.read_text(encoding="utf-8"))
        return found[1] if found else ""

    try:
        yield wait_for(address, log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def first_lines(block: Block, address: str, folder: Path, until: str) -> str:
    """What a block without an end writes, up to a line."""
    process = subprocess.Popen(
        command(block, address), cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if line.strip() == until:
                break
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
    return "".join(lines)


@pytest.fixture
def outputs(tmp_path: Path) -> Callable[[str], Outputs]:
    """Runs a page beside a live tracker in which ``import-7`` runs and is silent, and ``done-1`` has ended."""

    def of(name: str) -> Outputs:
        event = {"specversion": "1.0", "source": "/made", "time": "2026-01-31T09:00:00Z"}
        made = [("created", "import-7", {"launcher": "sweep"}), ("launched", "import-7", {}), ("created", "done-1", {})]
        made += [("completed", "done-1", {"completionStatus": "SUCCESS"}), ("created", "new-1", {})]
        lines = [
            json.dumps({**event, "id": str(number), "type": f"io.tracker.task.{kind}", "subject": task, "data": data})
            for number, (kind, task, data) in enumerate(made)
        ]
        (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        with server(tmp_path, "run", "--follow", "--serve", "127.0.0.1:0") as address:
            run(Block("sh", "", "until tracker count >/dev/null 2>&1 && test $(tracker count) = 3; do sleep 0.1; done"), address, tmp_path)
            return [
                (block, first_lines(block, address, tmp_path, "event: ready") if block.word == "endless" else run(block, address, tmp_path))
                for block in blocks(PAGES / name)
            ]

    return of


def test_the_follower_goes_on_where_it_stood(tmp_path: Path) -> None:
    """Run again, the program is told only what changed: a task that was deleted goes, one that is new comes, the others are left alone."""
    [follower] = [block for block in blocks(PAGES / "follow-changes.md") if block.language == "python"]
    between = "tracker emit deleted b; tracker emit created c; tracker run --until-end"

    run(Block("sh", "", "touch events.jsonl; tracker emit created a; tracker emit created b; tracker run --until-end"), "", tmp_path)
    assert run(follower, "", tmp_path) == "2 tasks\n"
    with closing(sqlite3.connect(tmp_path / "other.db")) as other, other:
        other.execute("UPDATE task SET status = 'as it was' WHERE id = 'a'")
    run(Block("sh", "", between), "", tmp_path)
    assert run(follower, "", tmp_path) == "2 tasks\n"
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        assert other.execute("SELECT id, status FROM task ORDER BY id").fetchall() == [("a", "as it was"), ("c", None)]


def test_find_what_is_stuck(outputs) -> None:
    """The silent task is found by command line, HTTP and Python, and is ended at the end."""
    found = outputs("find-what-is-stuck.md")
    listings = [text for block, text in found if "silence gt 10m" in block.text and "--by" not in block.text and "--cap" not in block.text]
    assert len(listings) == 3
    assert all("import-7" in text and "done-1" not in text for text in listings)
    assert any(text.strip() == "1  sweep" for text in "".join(text for _, text in found).splitlines())
    assert '"completionStatus":"TERMINATED"' in found[-1][1]


def test_wait_for_my_write(outputs) -> None:
    """Each reader sees its own write: by `--wait`, by `wait_for`, by PATCH and in Python."""
    shown = [text for _, text in outputs("wait-for-my-write.md")]
    assert '"launched":"20' in shown[0]
    assert json.loads(shown[1])["percentComplete"] == 50
    assert json.loads(shown[2])["completionStatus"] == "ERROR"
    assert shown[3] == "Import 8\n"


def test_follow_changes(outputs) -> None:
    """The other table has every task, the feed and the streams begin, and a stream that comes back is told no snapshot."""
    shown = [text for _, text in outputs("follow-changes.md")]
    assert shown[0] == "3 tasks\n"
    assert [sorted(json.loads(line)) for line in shown[1].splitlines()] == [["id", "kind", "status", "token"]] * 3
    assert "event: snapshot" in shown[2]
    assert '"import-7"' in shown[2]
    assert "event: snapshot" not in shown[3]


def test_keep_the_store_small(outputs) -> None:
    """The dry run and the purge find the one task that has ended; `why` and SQL tell of its mark afterwards."""
    shown = [text for _, text in outputs("keep-the-store-small.md")]
    assert shown[0].startswith("1 task (1 QUEUED_TASK) would be purged\n")
    assert shown[1].startswith("1 task (1 QUEUED_TASK) was purged in ")
    assert "attempt 1 had ended with SUCCESS" in " ".join(shown[2].split())
    assert shown[3] == "1 purged\n"


def test_run_many_workers(outputs) -> None:
    """The worker that holds the log stands in the table, and in the document with its times."""
    shown = [text for _, text in outputs("run-many-workers.md")]
    [partition] = json.loads(shown[1])["partitions"]
    assert "worker" in shown[0]
    assert str(partition["worker"]).partition(":")[0] in shown[0]
    assert partition["claimedAt"] <= partition["committedAt"]


def test_rebuild(outputs) -> None:
    """Beside the live tracker: predicted, done, taken back, done again; verified, rehearsed and copied, each without a difference."""
    shown = [text for _, text in outputs("rebuild.md")]
    assert shown[0].startswith("about 5 records")
    assert "has the new content" in shown[1]
    assert "was taken back" in shown[4]
    assert [line.rpartition(": ")[2] for line in shown[5].splitlines()[:2]] == ["0 different", "0 different"]
    assert "0 different" in shown[6]
    assert "0 different" in shown[7]


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")) or [PAGES], ids=lambda page: page.stem)
def test_the_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file."""
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")) or [PAGES], ids=lambda page: page.stem)
def test_every_block_is_looked_at(page: Path) -> None:
    """A block in another language, or with another word, would be run by nothing."""
    tested = {("sh", ""), ("sh", "endless"), ("sh", "server"), ("sh", "check"), ("sh", "live")}
    tested |= {
        ("python", ""),
        ("python", "sdk"),
        ("toml", "access.toml"),
        ("nginx", ""),
        ("caddy", ""),
        ("sql", ""),
        ("python", "sqlite"),
        ("python", "postgres"),
    }
    assert {(block.language, block.word) for block in blocks(page)} <= tested
