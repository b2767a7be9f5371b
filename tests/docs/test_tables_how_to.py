"""The how-to pages on the flat table are true: their snippets run over a store, in order, and show what the pages say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.services.postgres import PASSWORD
from tracker.replay import replay

from .snippets import ROOT, Block, blocks, run

PAGES = ROOT / "docs" / "how-to"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PAGES.exists(), reason="the pages are part of the source tree"),
    pytest.mark.timeout(180),
]


def lines() -> list[str]:
    """A log: of each launcher a task that ended well and some that failed yesterday, one that runs, and one that is deleted."""
    yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=30, microsecond=0) - timedelta(days=1)
    made: list[str] = []

    def add(kind: str, task: str, second: int, **data: object) -> None:
        at = (yesterday + timedelta(seconds=second)).isoformat()
        event = {"specversion": "1.0", "source": "/made", "id": f"{kind}-{task}", "type": f"io.tracker.task.{kind}", "subject": task}
        made.append(json.dumps({**event, "time": at, "data": data}))

    for task, launcher, status in (
        ("a1", "sweep", "ERROR"),
        ("a2", "sweep", "ERROR"),
        ("a3", "sweep", "SUCCESS"),
        ("b1", "nightly", "ERROR"),
    ):
        add("created", task, 0, launcher=launcher, attributes={"host": f"h-{task}"})
        add("launched", task, 10)
        add("messaged", task, 20, type="ERROR", key="k", localizedText={"locale": "en", "message": f"said by {task}"})
        add("completed", task, 100, completionStatus=status)
    add("created", "c1", 0, launcher="sweep")
    add("launched", "c1", 5)
    add("created", "gone", 0)
    add("deleted", "gone", 1)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the log, and ``status.db`` of it."""
    (tmp_path / "events.jsonl").write_text("\n".join(lines()) + "\n", encoding="utf-8")
    replay([str(tmp_path / "events.jsonl")], f"sqlite:///{tmp_path}/status.db")
    return tmp_path


def extension(name: str) -> str:
    """The file of an extension of DuckDB's, from its Python package: this machine may have no way to DuckDB's server."""
    spec = find_spec(f"duckdb_extension_{name}")
    assert spec is not None
    assert spec.origin is not None
    return str(next(Path(spec.origin).parent.rglob("*.duckdb_extension")))


def loaded(block: Block, name: str) -> Block:
    """The block with the extension loaded from its package."""
    kept = [line for line in block.text.splitlines() if "INSTALL" not in line]
    short = name.partition("_")[0]
    return block._replace(text="\n".join(kept).replace(f"LOAD {short}", f"LOAD '{extension(name)}'"))


def test_failures_in_duckdb(folder: Path) -> None:
    """By Parquet, by our door and by DuckDB's own extension the same numbers come out."""
    wanted = [block for block in blocks(PAGES / "query-with-duckdb.md") if block.word != "postgres"]
    shown = [run(loaded(block, "sqlite_scanner") if block.word == "sqlite" else block, "", folder) for block in wanted]
    _, parquet, messages, door, own = shown
    assert "sweep" in parquet
    assert "90.0" in parquet
    for text in (door, own):
        rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│")]
        assert rows[-2:] == [["sweep", "2"], ["nightly", "1"]]
    assert all(f"h-{task}" in messages and f"said by {task}" in messages for task in ("a1", "a2", "a3", "b1"))


def test_durations_in_polars_and_pandas(folder: Path) -> None:
    """Each group has its percentiles, the scan finds what was slow, pandas describes the same."""
    grouped, _, slow, pandas = (run(block, "", folder) for block in blocks(PAGES / "durations-in-polars.md"))
    assert "longest wait" in grouped
    assert grouped.count("90.0") == 4
    assert slow.index('"a1"') < slow.index('"a2"') < slow.index('"a3"') < slow.index('"b1"') if '"a1"' in slow else slow.count("90.0") == 4
    assert "sweep" in pandas
    assert "90.0" in pandas


def test_a_scheduled_export(folder: Path) -> None:
    """A second run adds what changed, and the newest rows are the tasks as they are, in polars and in SQL."""
    import duckdb

    export, union, by_day = (
        blocks(PAGES / "scheduled-export.md")[0],
        *[block for block in blocks(PAGES / "scheduled-export.md")[1:] if block.language != "sql"],
    )
    [sql] = [block.text for block in blocks(PAGES / "scheduled-export.md") if block.language == "sql"]
    run(export, "", folder)
    with (folder / "events.jsonl").open("a", encoding="utf-8") as log:
        for kind, task in (("deleted", "a1"), ("created", "new")):
            event = {"specversion": "1.0", "source": "/made", "id": f"{kind}-{task}", "type": f"io.tracker.task.{kind}", "subject": task}
            log.write(json.dumps({**event, "time": "2026-01-31T09:00:00Z"}) + "\n")
    replay([str(folder / "events.jsonl")], f"sqlite:///{folder}/status.db")
    run(export, "", folder)
    run(export, "", folder)
    assert len(list((folder / "lake").glob("*.parquet"))) == 2
    assert run(union, "", folder) == "5 tasks\n"
    found = duckdb.sql(sql.replace("lake/", f"{folder}/lake/")).fetchall()
    assert sorted(row[0] for row in found) == ["a2", "a3", "b1", "c1", "new"]
    run(by_day, "", folder)
    assert duckdb.sql(f"SELECT count(DISTINCT day) FROM read_parquet('{folder}/days/*/*.parquet')").fetchone() == (2,)


@pytest.mark.services
def test_failures_in_postgres(folder: Path, database: str) -> None:
    """DuckDB's extension and ADBC read the tables of a PostgreSQL store, and our door gives the same table as of SQLite."""
    import duckdb

    import tracker
    from tracker.analytics import to_arrow

    replay([str(folder / "events.jsonl")], database)
    address = "postgresql://tracker@db/tracker"
    [adbc] = [block for block in blocks(PAGES / "query-with-duckdb.md") if block.word == "postgres"]
    assert address in adbc.text
    shown = run(adbc._replace(text=adbc.text.replace(address, database)), "", folder)
    assert "sweep" in shown
    assert PASSWORD not in shown
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension('postgres_scanner')}'")
    connection.execute(f"ATTACH '{database}' AS store (TYPE postgres, READ_ONLY)")
    counted = "SELECT launcher, count(*) FROM store.task WHERE completion_status = 'ERROR' GROUP BY launcher ORDER BY 2 DESC, 1"
    assert connection.execute(counted).fetchall() == [("sweep", 2), ("nightly", 1)]
    with tracker.connect(database) as ours, tracker.connect(f"sqlite:///{folder}/status.db") as other:
        assert to_arrow(ours).drop_columns(["revision"]).equals(to_arrow(other).drop_columns(["revision"]))
