"""The shapes that scripts rely on, the same in every release."""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tracker.model.records import Position, Record, TopicPartition
from tracker.query.sqlite import SqliteReader
from tracker.stores.base import Advance, Commit, Counters, ParkedRecord
from tracker.stores.open import open_store

KEYS = [
    *("id", "type", "uniqueName", "description", "parentName", "launcher", "target", "created", "modified", "launched", "completed"),
    *("completionStatus", "messages", "returns", "attributes", "progress", "percentComplete", "taskDefinitionSummary"),
]
TOTALS = ["read", "applied", "unchanged", "ignored", "parked", "tasks", "seconds"]


def test_replay_json_ends_with_the_totals(cli, write_log, event) -> None:
    """`replay --json` writes one document: the counters of this run, the store's tasks, and the seconds."""
    write_log(event("created", "t1", 1), event("created", "t2", 1), event("deleted", "t2", 2), b"{", event("created", "t1", 1))
    result = cli("replay", "events.jsonl", "--json")
    assert list(result.json) == TOTALS
    assert {**result.json, "seconds": 0} == {"read": 5, "applied": 3, "unchanged": 1, "ignored": 0, "parked": 1, "tasks": 1, "seconds": 0}


def test_run_json_ends_with_the_totals(cli, write_log, event) -> None:
    """`run --until-end --json` ends with the same shape."""
    write_log(event("created", "t1", 1))
    result = cli("run", "--until-end", "--json")
    assert list(json.loads(result.out.splitlines()[-1])) == TOTALS


@pytest.mark.usefixtures("filled")
def test_replay_counts_this_run_and_tasks_are_the_stores(cli, write_log, event) -> None:
    """A second replay reads what is new only; `tasks` counts the whole store."""
    write_log(event("created", "t9", 1))
    totals = cli("replay", "events.jsonl", "--json").json
    assert (totals["read"], totals["applied"], totals["tasks"]) == (1, 1, 4)


@pytest.mark.usefixtures("filled")
def test_replay_says_where_it_went_on(cli) -> None:
    """A file that the store has read goes on where it ended, and that is said."""
    result = cli("replay", "events.jsonl")
    assert result.code == 0
    assert "went on there" in result.err
    assert "0 read = 0 applied + 0 unchanged + 0 ignored + 0 parked" in result.out


def test_standard_input_never_goes_on(folder: Path, write_log, event) -> None:
    """Of standard input nothing is said to go on: it is another stream each time."""
    path = write_log(event("created", "t1", 1))
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "tracker", "replay", "-"],
            input=path.read_bytes(),
            capture_output=True,
            cwd=folder,
            timeout=30,
            check=True,
        )
        assert b"1 read" in done.stdout
        assert b"went on there" not in done.stderr


@pytest.mark.usefixtures("filled")
def test_replay_again_changes_no_status(cli) -> None:
    """`--again` reads from the start: counters change, statuses can't."""
    before = cli("export").out
    totals = cli("replay", "events.jsonl", "--again", "--json").json
    assert (totals["read"], totals["unchanged"]) == (12, 10)
    assert cli("export").out == before


@pytest.mark.usefixtures("filled")
def test_export_is_one_status_a_line_in_order_of_ids(cli) -> None:
    """Compact JSON in UTF-8, exactly the 18 keys in order, ids in code point order."""
    lines = cli("export", "--format", "jsonl").out.splitlines()
    documents = [json.loads(line) for line in lines]
    assert [document["id"] for document in documents] == ["t1", "t2", "é"]
    assert [list(document) for document in documents] == [KEYS] * 3
    assert lines[2] == json.dumps(documents[2], ensure_ascii=False, separators=(",", ":"))
    assert '"b":1e+16' in lines[0]


@pytest.mark.usefixtures("filled")
def test_get_and_list_write_the_same_documents(cli) -> None:
    """`get --json` and `list --format jsonl` write what `export` does."""
    exported = cli("export").out.splitlines()
    assert cli("list", "--sort", "id", "--format", "jsonl").out.splitlines() == exported
    assert [cli("get", task, "--json").out.rstrip("\n") for task in ("t1", "t2", "é")] == exported


@pytest.mark.usefixtures("filled")
def test_extension_adds_one_key(cli) -> None:
    """`--extension` adds `tracker` with the six members."""
    document = cli("get", "t1", "--json", "--extension").json
    assert list(document) == [*KEYS, "tracker"]
    assert set(document["tracker"]) == {"state", "attempt", "attempts", "parentId", "truncated", "revision"}
    exported = json.loads(cli("export", "--extension").out.splitlines()[0])
    assert exported == document


def test_status_json(cli, filled: Path) -> None:
    """`counters` has the five in all, `partitions` the same per partition with position and lag."""
    status = cli("status", "--json").json
    assert status["counters"] == {"read": 12, "applied": 9, "unchanged": 1, "ignored": 1, "parked": 1}
    [partition] = status["partitions"]
    assert list(partition) == [
        *("topic", "partition", "nextOffset", "endOffset", "lagRecords", "lagSeconds"),
        *("read", "applied", "unchanged", "ignored", "parked"),
        *("worker", "claimedAt", "committedAt"),
    ]
    assert (partition["topic"], partition["partition"], partition["nextOffset"]) == (str(filled), 0, filled.stat().st_size)


def test_parked_list_json(cli, filled: Path) -> None:
    """An array of documents that begin with topic, partition, offset, reason, detail and key."""
    [parked] = cli("parked", "list", "--json").json
    assert list(parked)[:6] == ["topic", "partition", "offset", "reason", "detail", "key"]
    assert (parked["topic"], parked["partition"], parked["reason"], parked["key"]) == (str(filled), 0, "not-an-event", None)
    assert "value" not in parked


@pytest.mark.usefixtures("filled")
def test_parked_list_json_with_values(cli) -> None:
    """`--values` adds the bytes in base64."""
    [parked] = cli("parked", "list", "--json", "--values").json
    assert base64.b64decode(parked["value"]) == b'{"not": "an event"}'


@pytest.mark.usefixtures("folder")
def test_parked_key_that_is_not_utf8(cli) -> None:
    """Such a key is null, with `keyBase64`."""
    at, begin = TopicPartition("t", 0), Position("t", 0, 0)
    records = [Record("t", 0, 0, b"{", key=b"\xff\x00"), Record("t", 0, 1, None, key="ü".encode())]
    with open_store("sqlite:///status.db") as store:
        store.claim([begin])
        parked = [ParkedRecord(record=record, reason="not-json", detail="no") for record in records]
        advance = Advance(expected=begin, next=Position(*at, 2), counters=Counters(read=2, parked=2))
        store.commit(Commit(advances=[advance], parked=parked))
    first, second = cli("parked", "list", "--json").json
    assert (first["key"], base64.b64decode(first["keyBase64"])) == (None, b"\xff\x00")
    assert (second["key"], "keyBase64" in second) == ("ü", False)


@pytest.mark.usefixtures("filled")
def test_list_json_is_one_array(cli) -> None:
    """`--json` is `--format json`."""
    result = cli("list", "--json", "--sort", "id")
    assert [task["id"] for task in result.json] == ["t1", "t2", "é"]
    assert cli("list", "--format", "json", "--sort", "id").out == result.out


@pytest.mark.usefixtures("filled")
def test_csv(cli) -> None:
    """A list as CSV: a header of the 18 keys; null is empty, objects are JSON; what needs quotes has them."""
    rows = list(csv.DictReader(io.StringIO(cli("list", "--sort", "id", "--format", "csv").out)))
    assert list(rows[0]) == KEYS
    assert [row["uniqueName"] for row in rows] == ["Nightly sweep", "Refresh, weekly", "Übung"]
    assert (rows[1]["completed"], rows[1]["progress"], rows[0]["percentComplete"]) == ("", 'Read "400"', "100")
    assert json.loads(rows[0]["attributes"]) == {"a": [1, 2.5, None], "b": 1e16}


@pytest.mark.usefixtures("filled")
def test_export_into_a_file_is_whole_or_not_there(cli, folder: Path) -> None:
    """`--out` writes the same bytes, leaves nothing else behind, and a failure leaves the old file."""
    assert cli("export", "--out", "all.jsonl").code == 0
    assert (folder / "all.jsonl").read_text(encoding="utf-8") == cli("export").out
    assert cli("export", "--out", "all.jsonl", "--filter", "nonsense eq").code == 2
    assert (folder / "all.jsonl").read_text(encoding="utf-8") == cli("export").out
    assert [path.name for path in folder.glob(".all*")] == []


@pytest.mark.usefixtures("filled")
def test_count(cli) -> None:
    """A plain number, or one document."""
    assert cli("count").out == "3\n"
    assert cli("count", "--json", "--filter", 'state eq "RUNNING"').json == {"count": 1}
    assert {row["state"]: row["count"] for row in cli("count", "--by", "state", "--json").json} == {
        "PENDING": 1,
        "RUNNING": 1,
        "COMPLETED": 1,
    }


@pytest.mark.usefixtures("filled")
def test_why(cli) -> None:
    """Each field's event with its source, id, time and attempt; a rule where no single event decides."""
    reasons = cli("why", "t1", "--json").json
    assert reasons["completionStatus"]["event"] == {
        "source": "/test",
        "id": "completed-t1-3",
        "time": "2026-01-31T09:00:03.000000Z",
        "attempt": 1,
        "sequence": 0,
    }
    assert reasons["modified"]["rule"] == "the greatest time of all events"


@pytest.mark.usefixtures("filled")
def test_list_says_when_there_are_more(cli) -> None:
    """A limit never cuts silently."""
    result = cli("list", "--limit", "2")
    assert len(result.out.splitlines()) == 2
    assert "2 of 3 tasks" in result.err


@pytest.mark.usefixtures("filled")
def test_watch_json_from_the_beginning(cli) -> None:
    """`watch --json` writes a line a change; a deleted task has no status."""
    lines = [json.loads(line) for line in cli("watch", "--json", "--since", "0", "--limit", "4").out.splitlines()]
    assert {line["id"] for line in lines} == {"t1", "t2", "é", "gone"}
    assert [list(line) for line in lines] == [["id", "kind", "token", "status"]] * 4
    assert [line["id"] for line in lines if line["kind"] == "deleted"] == ["gone"]


def test_schema_writes_and_checks(cli, folder: Path) -> None:
    """What was written is up to date; a changed file is found, with exit code 3."""
    assert cli("schema", "out").code == 0
    assert cli("schema", "out", "--check").code == 0
    (folder / "out" / "asyncapi.json").write_text("{}")
    result = cli("schema", "out", "--check")
    assert (result.code, result.out) == (3, "asyncapi.json\n")


@pytest.mark.usefixtures("filled")
def test_counting_looks_at_no_task(folder: Path) -> None:
    """The number of tasks comes from an index alone, and leaves out the deleted ones."""
    with closing(SqliteReader(str(folder / "status.db"))) as reader, reader.snapshot() as snapshot:
        seen: list[str] = []
        snapshot._connection.set_trace_callback(seen.append)
        assert snapshot.count(None) == 3
        snapshot._connection.set_trace_callback(None)
        [plan] = snapshot._connection.execute(f"EXPLAIN QUERY PLAN {seen[0]}")
    assert "COVERING INDEX task_state" in plan[3]
