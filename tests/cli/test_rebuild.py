"""rebuild, diff, verify, rehearse and copy as a user has them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tracker.cli import auditing
from tracker.fold.state import from_bytes, to_bytes
from tracker.settings import Settings


def plant(path: Path, task: str = "t2") -> None:
    """Another progress, in state and column."""
    with closing(sqlite3.connect(path)) as connection, connection:
        (registers,) = connection.execute("SELECT registers FROM task WHERE id = ?", (task,)).fetchone()
        state = from_bytes(registers)
        state.fields[-1].values["progress"] = "planted"
        connection.execute("UPDATE task SET registers = ?, progress = 'planted' WHERE id = ?", (to_bytes(state), task))


@pytest.fixture
def store(filled: Path, folder: Path) -> Path:
    """``status.db`` with what the log says."""
    assert filled.exists()
    return folder / "status.db"


def test_nothing_differs(cli: Cli, store: Path) -> None:
    """The exchange is made, its figures are told, and status shows that it was."""
    done = cli("rebuild", "--json")
    assert done.code == 0, done.err
    assert {name: done.json[name] for name in ("state", "tasks", "different", "read")} == {
        "state": "swapped",
        "tasks": 4,
        "different": 0,
        "read": 12,
    }
    assert done.json["counters"] == done.json["liveCounters"]
    assert cli("status", "--json").json["rebuild"]["state"] == "swapped"
    assert "rebuild from events.jsonl: swapped" in cli("status").out
    assert store.with_name("status.db.old").exists()


def test_differences_need_an_operator(cli: Cli, store: Path) -> None:
    """Exit code 3 and the field; diff shows why on both sides; --accept goes on; --rollback and --discard-old end it."""
    plant(store)
    stopped = cli("rebuild")
    assert stopped.code == 3
    assert 'progress: planted in live, Read "400" in rebuilt' in stopped.out
    assert "--accept" in stopped.err
    different = cli("diff", "live", "shadow", "--why", "--json")
    assert different.code == 3
    [field] = different.json["differences"][0]["fields"]
    assert (field["field"], field["a"], field["whyA"]["event"]["id"]) == ("progress", "planted", field["whyB"]["event"]["id"])
    assert "rebuild from events.jsonl: different" in cli("status").out
    assert cli("rebuild", "--accept").code == 0
    assert cli("get", "t2", "--json").json["progress"] == 'Read "400"'
    assert cli("rebuild", "--rollback").code == 0
    assert cli("get", "t2", "--json").json["progress"] == "planted"
    assert cli("status", "--json").json["rebuild"]["state"] == "rolled-back"
    again = cli("rebuild", "--rollback")
    assert (again.code, "no exchange to take back" in again.err) == (1, True)


def test_purged_tasks_are_left_out_and_said_to_be(cli: Cli, store: Path) -> None:
    """By verify, by diff with the log, and by a rebuild, which keeps them; with --forget-purged they come back."""
    assert store.exists()
    assert cli("purge", "--keep-completed", "1h", "--json").json["purged"] == 1
    assert "1 purged left out: 0 different" in cli("verify").out
    assert (cli("verify", "--sample", "100", "--json").json["leftOut"], cli("verify", "--json").json["leftOut"]) == (1, 1)
    assert "4 tasks compared, 1 purged left out, 0 different" in cli("diff", "live", "events.jsonl").out
    assert "4 tasks compared, 1 purged one kept, 0 different" in cli("rebuild").out
    assert cli("get", "t1").code == 1
    done = cli("rebuild", "--forget-purged", "--json")
    assert (done.code, done.json["purged"], done.json["leftOut"]) == (0, 0, 1)
    assert cli("get", "t1").code == 0


def test_a_note_of_another_release_is_shown(cli: Cli, store: Path) -> None:
    """Status says that there is one, and no more."""
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("INSERT INTO meta VALUES ('rebuild', '{}')")
    shown = cli("status")
    assert (shown.code, "a state that this release does not know" in shown.out) == (0, True)


def test_the_old_content_is_dropped(cli: Cli, store: Path) -> None:
    """After --discard-old there is no way back, and the space is free."""
    assert cli("rebuild", "--quiet").code == 0
    assert cli("rebuild", "--discard-old").code == 0
    assert not store.with_name("status.db.old").exists()
    assert cli("rebuild", "--discard-old").code == 1


def test_a_rebuild_is_abandoned(cli: Cli, store: Path) -> None:
    """The live store is as it was, and status speaks of no rebuild."""
    plant(store)
    assert cli("rebuild", "--quiet").code == 3
    assert cli("rebuild", "--abandon").code == 0
    assert not store.with_name("status.db.rebuild").exists()
    assert cli("status", "--json").json["rebuild"] is None
    assert cli("rebuild", "--abandon").code == 1
    assert cli("get", "t2", "--json").json["progress"] == "planted"


def test_a_dry_run_changes_nothing(cli: Cli, store: Path) -> None:
    """It tells records, seconds and bytes."""
    before = store.read_bytes()
    predicted = cli("rebuild", "--dry-run", "--json")
    assert predicted.code == 0, predicted.err
    assert predicted.json["records"] == predicted.json["sampled"] == 12
    assert "about 12 records" in cli("rebuild", "--dry-run").out
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rebuild", "--store", "sqlite:///none.db"], "there is no store none.db to rebuild"),
        (["rebuild", "--store", "memory://"], "a store in memory lives and ends"),
        (["rebuild", "--source", "-"], "standard input can't be read again"),
        (["rebuild", "--rollback", "--abandon"], "give one of them"),
        (["rebuild", "--throttle", "fast"], "expected a whole number from 1"),
        (["rebuild", "--jobs", "0"], "expected a whole number from 1"),
        (["rebuild", "--source", "none.jsonl"], "none.jsonl"),
        (["diff", "live", "shadow"], "there is no store"),
        (["diff", "events.jsonl", "events.jsonl"], "expected a store on one side"),
        (["verify", "--sample", "0"], "expected a whole number from 1"),
        (["copy", "--from", "sqlite:///status.db", "--to", "memory://"], "would end with this command"),
        (["copy", "--from", "sqlite:///status.db", "--to", "sqlite:///status.db"], "not empty"),
        (["rehearse", "-"], "reads its log twice"),
        (["run", "--audit", "x"], "expected a whole number from 1"),
    ],
)
@pytest.mark.usefixtures("store")
def test_wrong_usage_is_one_sentence(cli: Cli, arguments: list[str], sentence: str) -> None:
    """What was expected, and no traceback."""
    done = cli(*arguments)
    assert done.code in (1, 2, 3)
    assert sentence in done.err
    assert done.err.count("\n") == 1


def test_another_log_is_refused(cli: Cli, store: Path, write_log: Callable[..., Path], event: Callable[..., dict[str, Any]]) -> None:
    """What the store has read and the rebuild would not is named; exit code 3."""
    assert store.exists()
    write_log(event("created", "x"), name="other.jsonl")
    done = cli("rebuild", "--source", "other.jsonl")
    assert (done.code, "its events would be missing" in done.err) == (3, True)


def test_a_store_is_verified(cli: Cli, store: Path) -> None:
    """All tasks, a sample, and diff with the log itself: 0 without a difference, 3 with one."""
    for arguments in (["verify"], ["verify", "--sample", "3", "--seed", "1"], ["diff", "live", "events.jsonl"]):
        assert cli(*arguments).code == 0, arguments
    plant(store)
    for arguments in (["verify"], ["verify", "--sample", "9"], ["diff", "events.jsonl", "live"]):
        done = cli(*arguments)
        assert (done.code, "planted" in done.out) == (3, True), arguments
    assert cli("verify", "--json").json["differences"][0]["id"] == "t2"


def test_copied_stores_are_equal(cli: Cli, store: Path, write_log: Callable[..., Path]) -> None:
    """Diff finds nothing in a copy, and says of one that has read on where it stands."""
    assert cli("copy", "--from", f"sqlite:///{store}", "--to", "sqlite:///copy.db").code == 0
    assert cli("diff", "live", "sqlite:///copy.db").code == 0
    write_log({"specversion": "1.0", "id": "2", "source": "/x", "type": "com.example.other"})
    assert cli("run", "--until-end", "--store", "sqlite:///copy.db").code == 0
    different = cli("diff", "live", "sqlite:///copy.db", "--json")
    assert (different.code, different.json["different"], len(different.json["positions"])) == (3, 0, 1)


@pytest.mark.slow
def test_a_rehearsal(cli: Cli, store: Path) -> None:
    """The seed is printed, and the end is byte-equal."""
    assert store.exists()
    done = cli("rehearse", "events.jsonl", "--seed", "5", "--kills", "1", "--json")
    assert (done.code, done.json["seed"], done.json["different"], done.json["tasks"]) == (0, 5, 0, 4)


def test_the_auditor_tells_its_meters(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a run it folds tasks again; what is not what the log says is counted."""
    plant(store)
    told: list[tuple[int, int]] = []

    class Meters:
        def on_audit(self, tasks: int, different: int) -> None:
            told.append((tasks, different))

    monkeypatch.setattr(auditing, "BETWEEN_S", 0.01)
    settings = Settings().with_flags(audit="100000", store=f"sqlite:///{store}")
    with auditing.audited(settings, Meters()):  # type: ignore[arg-type]
        deadline = time.monotonic() + 20
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert told[:2] == [(4, 1), (4, 1)]


def test_a_run_with_an_auditor_ends(cli: Cli, store: Path) -> None:
    """It holds up neither the run nor its end, and does not begin over a store in memory."""
    assert store.exists()
    assert cli("run", "--until-end", "--audit", "100").code == 0
    refused = cli("run", "--until-end", "--audit", "100", "--store", "memory://")
    assert (refused.code, "a store in memory" in refused.err) == (2, True)
