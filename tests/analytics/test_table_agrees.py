"""What the table says is what the store says: statuses read back from it equal the store's, byte for byte in canonical JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from tests.analytics.stores import all_logs, events_of, in_memory, in_sqlite, sqlite_url
from tests.naive.logs import logs
from tracker.analytics import arrow_reader, to_arrow, to_documents
from tracker.analytics.arrow import arrow_schema
from tracker.analytics.files import ArrowFile, ArrowStream, ParquetFile, write_all
from tracker.cli import main
from tracker.fold.json_text import canonical
from tracker.query.blocking import BlockingQuery


def told(tasks: BlockingQuery) -> list[bytes]:
    """Each status with its extension, as the store shows them."""
    return [canonical(document) for document in tasks.documents(extension=True)]


def read_back(table: pa.Table) -> list[bytes]:
    """Each status with its extension, as the table has it."""
    return [canonical(document) for document in to_documents(table, extension=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store is."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Iterator[tuple[BlockingQuery, list[bytes]]]:
    """A SQLite store with every log of the tests, and what it tells."""
    with in_sqlite(folder, all_logs()) as (_, tasks):
        expected = told(tasks)
        assert len(expected) > 300
        yield tasks, expected


def test_arrow_is_the_store(whole: tuple[BlockingQuery, list[bytes]]) -> None:
    """Of SQLite, every log of the tests."""
    tasks, expected = whole
    assert read_back(to_arrow(tasks)) == expected


def test_memory_is_sqlite(whole: tuple[BlockingQuery, list[bytes]]) -> None:
    """A memory store with the same logs gives the same table, but for the revisions."""
    with in_memory(all_logs()) as tasks:
        ours, other = to_arrow(tasks).drop_columns(["revision"]), to_arrow(whole[0]).drop_columns(["revision"])
        assert ours.equals(other)


@pytest.mark.parametrize("made", [ParquetFile, ArrowFile, ArrowStream])
def test_files_are_the_store(whole: tuple[BlockingQuery, list[bytes]], made: Any) -> None:
    """Written in groups and read back, from Parquet and both forms of Arrow, with the schema as it was."""
    tasks, expected = whole
    sink, reader = io.BytesIO(), arrow_reader(tasks)
    write_all(made(sink, reader.schema), reader)
    sink.seek(0)
    read = {ParquetFile: pq.read_table, ArrowFile: pa.ipc.open_file, ArrowStream: pa.ipc.open_stream}
    found = read[made](sink)
    table = found if isinstance(found, pa.Table) else found.read_all()
    assert read_back(table) == expected
    assert table.schema.equals(reader.schema)
    assert table.schema.metadata == reader.schema.metadata


def test_json_lines_are_the_store(
    folder: Path, whole: tuple[BlockingQuery, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`export --format jsonl` and the table tell the same."""
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--store", sqlite_url(folder), "--extension", "--out", "all.jsonl", "--quiet"]) == 0
    with Path("all.jsonl").open(encoding="utf-8") as file:
        assert [canonical(json.loads(line)) for line in file] == whole[1]


@given(logs())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_log(log: list[Any]) -> None:
    """Whatever the log, the table of its tasks is valid Arrow and tells what the store does."""
    with in_memory(events_of(log)) as tasks:
        table = to_arrow(tasks)
        table.validate(full=True)
        assert table.schema.equals(arrow_schema())
        assert read_back(table) == told(tasks)
