"""Batches that other processes make are those that this one makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tests.analytics.stores import all_logs, in_memory
from tracker.analytics.arrow import Batches
from tracker.analytics.attributes import parse_attributes
from tracker.analytics.pool import PooledBatches
from tracker.analytics.reading import told
from tracker.cli import main

pytestmark = pytest.mark.slow
ATTRIBUTES = parse_attributes(["a:int64", "b", "k1=k1:string"])


def test_the_table_is_the_same() -> None:
    """In the same order, with the same schema and metadata, and as many values that do not fit."""
    with in_memory(all_logs()) as tasks:
        alone, pooled = Batches(ATTRIBUTES, {"token": "x"}), PooledBatches(2, ATTRIBUTES, {"token": "x"})
        expected, found = tasks.ask(
            lambda snapshot: (
                pa.Table.from_batches(alone.of(told(snapshot, None))),
                pa.Table.from_batches(pooled.of(told(snapshot, None), max_rows=50)),
            )
        )
    assert found.equals(expected, check_metadata=True)
    assert pooled.misfits == alone.misfits
    assert pooled.misfits


def test_the_command_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of processes, the file of a table of one group has the same rows."""
    import pyarrow.parquet as pq

    monkeypatch.chdir(tmp_path)
    Path("events.jsonl").touch()
    assert main(["emit", "created", "t1", "--launcher", "sweep"]) == 0
    assert main(["replay", "events.jsonl", "--quiet"]) == 0
    for processes in ("1", "2"):
        assert main(["export", "--format", "parquet", "--out", f"{processes}.parquet", "--processes", processes, "--quiet"]) == 0
    assert pq.read_table("1.parquet").equals(pq.read_table("2.parquet"))


def test_a_process_of_ours_does_without_numpy() -> None:
    """Installed or not: pyarrow finds none, and goes without."""
    said = "lean.without_numpy(); import pyarrow; pyarrow.array([1]); print({'numpy', 'pandas'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; from tracker.analytics import lean; {said}"], check=False, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")
