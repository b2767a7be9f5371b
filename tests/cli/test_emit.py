"""`tracker emit`: checked, numbered, and folded like any other event."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.model.kinds import KINDS

MINIMAL = {
    "created": [],
    "updated": ["--description", "x"],
    "launched": ["--launcher", "sweep"],
    "progressed": ["--percent", "40", "--progress", "half"],
    "messaged": ["--message", "Hello"],
    "returned": ["--return-name", "Accounts", "--return-attribute", "total"],
    "completed": ["--status", "success"],
    "corrected": ["--status", "ERROR", "--completed", "2026-01-31T09:00:00Z"],
    "deleted": [],
}


def lines(path: Path) -> list[dict]:
    """The log's events."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_folded(cli, kind: str) -> None:
    """What `emit` writes is applied, never parked."""
    assert cli("emit", kind, "t1", *MINIMAL[kind]).code == 0
    totals = cli("replay", "events.jsonl", "--json").json
    assert (totals["read"], totals["applied"]) == (1, 1)


def test_json_gives_the_position_after_the_event(cli, folder: Path) -> None:
    """A reader whose position has reached `nextOffset` has folded the event."""
    done = cli("emit", "created", "t1", "--json").json
    assert (done["topic"], done["partition"]) == (str(folder / "events.jsonl"), 0)
    assert done["nextOffset"] == (folder / "events.jsonl").stat().st_size
    assert done["event"] == lines(folder / "events.jsonl")[0]


def test_friendly_options_and_data_are_joined(cli, folder: Path) -> None:
    """Options add to `--data`; an attribute's value is JSON where it can be read as such."""
    cli(
        "emit",
        "progressed",
        "t1",
        "--data",
        '{"progress":"a","attributes":{"x":1}}',
        "--percent",
        "50%",
        "--attribute",
        "n=2",
        "--attribute",
        "s=two",
    )
    assert lines(folder / "events.jsonl")[0]["data"] == {"progress": "a", "percentComplete": 50, "attributes": {"x": 1, "n": 2, "s": "two"}}


def test_attributes_of_the_event_can_be_given(cli, folder: Path) -> None:
    """Id, source, time, attempt and sequence are written as they were given."""
    cli(
        "emit", "launched", "t1", "--id", "7", "--source-name", "/me", "--time", "2026-01-31T09:00:00Z", "--attempt", "3", "--sequence", "5"
    )
    [event] = lines(folder / "events.jsonl")
    assert {name: event[name] for name in ("id", "source", "time", "attempt", "sequence")} == {
        "id": "7",
        "source": "/me",
        "time": "2026-01-31T09:00:00Z",
        "attempt": 3,
        "sequence": 5,
    }


def test_the_current_attempt_is_taken_from_the_store(cli, folder: Path) -> None:
    """An event of a task that is at its second attempt belongs to that, unless told otherwise."""
    cli("emit", "launched", "t1", "--attempt", "2")
    cli("replay", "events.jsonl", "--quiet")
    cli("emit", "completed", "t1", "--status", "SUCCESS")
    cli("emit", "completed", "t1", "--status", "ERROR", "--attempt", "1")
    assert [event["attempt"] for event in lines(folder / "events.jsonl")] == [2, 2, 1]
    cli("replay", "events.jsonl", "--quiet")
    assert cli("get", "t1", "--json").json["completionStatus"] == "SUCCESS"


def test_numbered_events_are_warned_of(cli) -> None:
    """An event without sequence among numbered ones would rank before them all: that is said, with the next number."""
    cli("emit", "launched", "t1", "--sequence", "4")
    cli("replay", "events.jsonl", "--quiet")
    assert "--sequence 5" in cli("emit", "completed", "t1", "--status", "SUCCESS").err
    assert "warning" not in cli("emit", "completed", "t1", "--status", "SUCCESS", "--sequence", "5").err
    assert "warning" not in cli("emit", "launched", "t2").err


def test_nothing_is_written_of_an_event_that_is_not_valid(cli, folder: Path) -> None:
    """The models are asked before the log is touched."""
    assert cli("emit", "progressed", "t1", "--percent", "101").code == 2
    assert not (folder / "events.jsonl").exists()


def test_nothing_is_written_of_an_event_that_would_be_parked(cli, folder: Path) -> None:
    """The decoder is asked too, about the very bytes: the models let unknown members through."""
    assert cli("emit", "created", "t1", "--data", '{"zzz":NaN}').code == 2
    assert not (folder / "events.jsonl").exists()


def test_a_long_value_is_not_repeated(cli) -> None:
    """A value that is too long is cut in the sentence about it."""
    assert len(cli("emit", "created", "t1", "--description", "x" * 2**16).err) < 300


@pytest.mark.usefixtures("filled")
def test_parked_records_are_retried_and_dropped(cli) -> None:
    """`retry` leaves what is still refused, `drop` deletes the bytes and keeps the count; the sums add up."""
    assert cli("parked", "retry", "--all", "--json").json == {"applied": 0, "unchanged": 0, "ignored": 0, "stillParked": 1}
    [parked] = cli("parked", "list", "--json").json
    assert cli("parked", "show", str(parked["number"]), "--raw").out == '{"not": "an event"}'
    assert cli("parked", "drop", str(parked["number"]), "--json").json == {"dropped": 1}
    assert cli("parked", "retry", str(parked["number"])).code == 1
    assert cli("parked", "retry", "--all", "--json").json["stillParked"] == 0
    status = cli("status", "--json").json
    assert (status["counters"]["parked"], status["healthy"]) == (1, True)


def test_a_write_is_waited_for(cli, folder: Path) -> None:
    """`--wait` returns once a worker has folded the event: the next `get` shows it."""
    (folder / "events.jsonl").touch()
    assert cli("emit", "created", "t1").code == 0
    assert cli("run", "--until-end").code == 0
    worker = subprocess.Popen([sys.executable, "-m", "tracker", "run", "--follow"], cwd=folder, stderr=subprocess.DEVNULL)
    try:
        assert cli("emit", "launched", "t1", "--wait", "30s").code == 0
        assert cli("get", "t1", "--json").json["launched"] is not None
    finally:
        worker.terminate()
        worker.wait(timeout=30)


def test_a_wait_that_is_too_short_says_how_far_the_store_is(cli, folder: Path) -> None:
    """The event is written all the same, and that is said."""
    (folder / "events.jsonl").touch()
    assert cli("emit", "created", "t1").code == 0
    assert cli("run", "--until-end").code == 0
    result = cli("emit", "launched", "t1", "--wait", "10ms", "--json")
    assert result.code == 1
    assert "the event is written" in result.err
    assert "waited for offset" in result.err
    assert result.json["vector"]
