"""The log as a table: what the decoder says of each record, and that none is missing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.naive.logs import logs
from tests.naive.workload import lines
from tracker.analytics import log_reader, log_to_arrow
from tracker.analytics.log import record_batches
from tracker.analytics.records import Rows
from tracker.errors import NotFound
from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent, stamp_parts
from tracker.model.records import Record


@given(logs())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_each_record_has_its_row(log: list[Record]) -> None:
    """Of any log: events with their stamp, what is refused with its reason; the counts add up."""
    rows = Rows()
    found = [row for batch in record_batches(log, rows) for row in batch.to_pylist()]
    assert [(row["topic"], row["partition"], row["offset"]) for row in found] == [
        (record.topic, record.partition, record.offset) for record in log
    ]
    assert sum(rows.counts.values()) == len(log)
    for row, verdict in zip(found, map(Decoder().decode, log), strict=True):
        if isinstance(verdict, TaskEvent):
            assert (row["outcome"], row["kind"], row["subject"]) == ("event", verdict.kind, verdict.task_id)
            if not verdict.stamp:
                assert (row["kind"], row["time"], row["data"]) == ("deleted", None, None)
                continue
            stamp = stamp_parts(verdict.stamp)
            assert (row["attempt"], row["sequence"], row["source"], row["id"]) == (
                stamp.attempt,
                stamp.sequence,
                stamp.source,
                stamp.id,
            )
            assert row["time"].replace(tzinfo=None).isoformat(timespec="microseconds") == verdict.time
            assert isinstance(json.loads(row["data"]), dict)
        else:
            assert row["outcome"] != "event"
            assert (row["reason"] is None) == (row["outcome"] == "ignored")


def test_files_are_read_one_after_the_other(tmp_path: Path) -> None:
    """Globs in order, compressed ones too; a topic is the file's absolute path, an offset the byte where the line begins."""
    some = [line + b"\n" for line in lines(3)]
    (tmp_path / "a.jsonl").write_bytes(b"".join(some[:10]))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(some[10:]).rstrip(b"\n")))
    table = log_to_arrow(str(tmp_path / "*.jsonl*"))
    assert table.num_rows == len(some)
    assert table.column("topic").unique().to_pylist() == [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl.gz")]
    assert table.column("offset")[10].as_py() == 0
    assert table.column("offset")[9].as_py() == sum(map(len, some[:9]))


def test_a_missing_file_is_told_at_once(tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(NotFound, match=r"none\.jsonl is not there; check the name"):
        log_reader(str(tmp_path / "none.jsonl"))
