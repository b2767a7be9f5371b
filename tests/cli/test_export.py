"""`tracker export` as tables: Parquet, Arrow and CSV, whole, by changes, in partitions; and the log."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tracker.analytics.columns import EVENTS, TASKS

NAMES = [column.name for column in TASKS]
pytestmark = pytest.mark.usefixtures("filled")


def test_parquet_has_the_table(cli, folder: Path) -> None:
    """One row a task that is there, in order of the ids, with the revision reached in the metadata."""
    assert cli("export", "--format", "parquet", "--out", "all.parquet").err == "3 statuses written to all.parquet\n"
    table = pq.read_table(folder / "all.parquet")
    assert table.schema.names == NAMES
    assert table.column("id").to_pylist() == ["t1", "t2", "é"]
    assert set(table.column("change").to_pylist()) == {"changed"}
    assert json.loads(table.schema.metadata[b"tracker"])["filters"] is None
    assert [path.name for path in folder.glob(".all*")] == []


def test_arrow_is_mapped(cli, folder: Path) -> None:
    """`--format arrow` is Arrow's file format."""
    assert cli("export", "--format", "arrow", "--out", "all.arrow", "--filter", 'state eq "RUNNING"').code == 0
    with pa.memory_map(str(folder / "all.arrow")) as mapped:
        assert pa.ipc.open_file(mapped).read_all().column("id").to_pylist() == ["t2"]


def test_standard_output_is_the_file(folder: Path) -> None:
    """Without `--out` the bytes go to standard output, and nothing else does."""
    arguments = [sys.executable, "-m", "tracker", "export", "--format", "arrow"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, timeout=50, check=True)
    assert pa.ipc.open_file(done.stdout).read_all().num_rows == 3
    assert done.stderr == b""


def test_csv_is_the_table(cli) -> None:
    """A header of the table's columns; null is empty, nested columns are JSON, times have microseconds and `Z`."""
    rows = list(csv.DictReader(io.StringIO(cli("export", "--format", "csv").out)))
    assert list(rows[0]) == NAMES
    assert [row["uniqueName"] for row in rows] == ["Nightly sweep", "Refresh, weekly", "Übung"]
    assert (rows[1]["completed"], rows[1]["progress"], rows[0]["percentComplete"]) == ("", 'Read "400"', "100")
    assert json.loads(rows[0]["attributes"]) == {"a": [1, 2.5, None], "b": 1e16}
    assert (rows[0]["created"], rows[0]["durationSeconds"], rows[2]["waitingSeconds"]) == ("2026-01-31T09:00:01.000000Z", "1.0", "")


def test_attributes_have_columns(cli, folder: Path, write_log, event) -> None:
    """`--attribute` makes a typed column; what is of another type is null there, and that is said."""
    write_log(
        event("created", "t5", 1, attributes={"n": 7, "when": "2026-01-31T10:00:00+01:00"}),
        event("created", "t6", 1, attributes={"n": "x"}),
    )
    assert cli("replay", "events.jsonl", "--quiet").code == 0
    options = ["--attribute", "n:int64", "--attribute", "at=when:timestamp", "--attribute", "raw=n"]
    done = cli("export", "--format", "parquet", "--out", "all.parquet", "--filter", "id sw t5 or id sw t6", *options)
    assert done.err.splitlines()[0] == "column n: 1 values are no int64, and null there"
    table = pq.read_table(folder / "all.parquet")
    assert table.column("n").to_pylist() == [7, None]
    assert table.column("raw").to_pylist() == ["7", '"x"']
    assert str(table.column("at")[0]) == "2026-01-31 09:00:00+00:00"
    rows = list(csv.DictReader(io.StringIO(cli("export", "--format", "csv", "--filter", "id sw t5", *options).out)))
    assert (rows[0]["n"], rows[0]["at"], rows[0]["raw"]) == ("7", "2026-01-31T09:00:00.000000Z", "7")


def test_a_scheduled_export_goes_on(cli, folder: Path, write_log, event) -> None:
    """With `--state` the first run writes everything, a later one what changed, with what was deleted told; all of it together is the store."""
    arguments = ["export", "--format", "parquet", "--state", "state.json", "--out", "tasks-{revision}.parquet"]
    assert "3 statuses written to" in cli(*arguments).err
    assert "nothing changed since revision" in cli(*arguments).err
    write_log(event("completed", "t2", 30, completionStatus="ERROR"), event("deleted", "t1", 31), event("created", "t9", 32))
    assert cli("replay", "events.jsonl", "--quiet").code == 0
    done = cli(*arguments)
    assert "3 changes after revision 1, up to 2, written to tasks-2.parquet" in done.err
    rows = {row["id"]: row for row in pq.read_table(folder / "tasks-2.parquet").to_pylist()}
    assert {id: row["change"] for id, row in rows.items()} == {"t1": "deleted", "t2": "changed", "t9": "changed"}
    assert {name for name, value in rows["t1"].items() if value is not None} == {"id", "revision", "change"}
    newest = {
        row["id"]: row["change"]
        for row in sorted(pa.concat_tables(map(pq.read_table, folder.glob("tasks-*.parquet"))).to_pylist(), key=lambda row: row["revision"])
    }
    assert sorted(id for id, change in newest.items() if change == "changed") == [
        json.loads(line)["id"] for line in cli("export").out.splitlines()
    ]
    assert json.loads((folder / "state.json").read_text())["revision"] == 2


def test_what_left_the_filter_is_told(cli, write_log, event) -> None:
    """A task that changed and does not match now is `left`, in CSV and JSON Lines too."""
    write_log(event("completed", "t2", 30, completionStatus="ERROR"))
    assert cli("replay", "events.jsonl", "--quiet").code == 0
    filters = ["--filter", 'state eq "RUNNING"', "--since", "1"]
    [row] = csv.DictReader(io.StringIO(cli("export", "--format", "csv", *filters).out))
    assert {name: value for name, value in row.items() if value} == {"id": "t2", "revision": "2", "change": "left"}
    document = cli("export", *filters).json
    assert (document["id"], document["kind"], document["status"]) == ("t2", "left", None)


def test_since_the_beginning_is_everything(cli, folder: Path) -> None:
    """`--since 0` has the deleted task too."""
    assert cli("export", "--format", "parquet", "--since", "0", "--out", "all.parquet").code == 0
    table = pq.read_table(folder / "all.parquet")
    assert dict(zip(table.column("id").to_pylist(), table.column("change").to_pylist(), strict=True))["gone"] == "deleted"


@pytest.mark.parametrize(
    ("by", "folders"),
    [
        ("day", {"day=2026-01-31": ["t1", "t2", "é"]}),
        ("status", {"status=SUCCESS": ["t1"], "status=__HIVE_DEFAULT_PARTITION__": ["t2", "é"]}),
    ],
)
def test_partitions_are_folders(cli, folder: Path, by: str, folders: dict[str, list[str]]) -> None:
    """Hive's form, which datasets read: by the day of creation, or by status; nothing else is left behind."""
    assert cli("export", "--format", "parquet", "--partition", by, "--out", "lake").code == 0
    found = {part.name: pq.read_table(next(part.iterdir())).column("id").to_pylist() for part in (folder / "lake").iterdir()}
    assert found == folders
    assert ds.dataset(folder / "lake", partitioning="hive").to_table().num_rows == 3
    assert list((folder / "lake").rglob(".*")) == []


def test_a_second_whole_export_does_not_mix(cli) -> None:
    """A folder that has files is refused, as it would have tasks twice; changes are added to it."""
    whole = ["export", "--format", "parquet", "--partition", "day", "--out", "lake"]
    assert cli(*whole).code == 0
    assert "is not empty, and would have tasks twice" in (refused := cli(*whole)).err
    assert refused.code == 2
    assert cli(*whole, "--since", "0").code == 0


def test_the_log_is_a_table(cli, folder: Path) -> None:
    """One row a record, refused ones with their reason; the counts add up to the log's records."""
    done = cli("export", "--events", "events.jsonl", "--format", "parquet", "--out", "events.parquet")
    assert "12 records = 10 events + 1 ignored + 1 parked written to events.parquet" in done.err
    table = pq.read_table(folder / "events.parquet")
    assert table.schema.names == [column.name for column in EVENTS]
    [refused] = [row for row in table.to_pylist() if row["outcome"] == "parked"]
    assert (refused["reason"], refused["subject"]) == ("not-an-event", None)
    lines = [json.loads(line) for line in cli("export", "--events", "events.jsonl", "--format", "jsonl").out.splitlines()]
    assert [line["offset"] for line in lines] == table.column("offset").to_pylist()
    rows = list(csv.DictReader(io.StringIO(cli("export", "--events", "*.jsonl", "--format", "csv").out)))
    assert (rows[0]["kind"], rows[0]["time"], rows[0]["subject"]) == ("created", "2026-01-31T09:00:01.000000Z", "t1")


def test_a_state_of_another_store_is_refused(cli, folder: Path) -> None:
    """Its revisions mean nothing here: an operator must decide."""
    (folder / "state.json").write_text('{"token": "0123456789abcdef.1", "revision": 1}')
    refused = cli("export", "--format", "parquet", "--state", "state.json", "--out", "x.parquet")
    assert refused.code == 3
    assert "belongs to another store" in refused.err
    assert "delete state.json" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "parqet"], "did you mean parquet?"),
        (["--attribute", "a:int64"], "choose --format parquet, arrow or csv"),
        (["--format", "csv", "--attribute", "a:int65"], "expected KEY:TYPE with a type of"),
        (["--since", "yesterday"], "expected a revision"),
        (["--since", "1", "--state", "x"], "give one of them"),
        (["--state", "x"], "--state needs --out"),
        (["--partition", "day", "--out", "x"], "it needs --format parquet or arrow"),
        (["--format", "parquet", "--partition", "week", "--out", "x"], "--partition can't be 'week': expected one of day, status"),
        (["--events", "events.jsonl", "--filter", "id eq t1"], "--events writes a log as it is"),
        (["--events", "-"], "a table of standard input can't be made"),
    ],
)
def test_wrong_usage(cli, arguments: list[str], message: str) -> None:
    """One sentence and exit code 2."""
    done = cli("export", *arguments)
    assert (done.code, message in done.err) == (2, True), done.err


def test_a_broken_state_is_no_state(cli, folder: Path) -> None:
    """A file that is none is refused, not replaced."""
    (folder / "state.json").write_text("[]")
    done = cli("export", "--format", "parquet", "--state", "state.json", "--out", "x.parquet")
    assert (done.code, "is no state of an export" in done.err) == (2, True)
    assert (folder / "state.json").read_text() == "[]"


def test_a_state_goes_with_its_filter(cli) -> None:
    """With another filter it would miss what the first one left out."""
    arguments = ["export", "--format", "parquet", "--state", "state.json", "--out", "x.parquet"]
    assert cli(*arguments, "--filter", 'state eq "RUNNING"').code == 0
    done = cli(*arguments)
    assert (done.code, "of an export with another filter" in done.err) == (2, True)


def test_a_revision_of_the_future_is_refused(cli) -> None:
    """A store that was put back is told, not exported as if nothing had changed."""
    done = cli("export", "--since", "99", "--format", "csv")
    assert (done.code, "leave --since out" in done.err) == (3, True)
