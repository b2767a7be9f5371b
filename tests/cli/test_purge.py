"""`tracker purge`, and `tracker run --keep-completed`: what is said of it, and how a purged task is told of afterwards."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.query_store import commit, write
from tests.unit.query_store import event as decoded_event
from tracker.cli import purging
from tracker.fold.state import from_bytes
from tracker.settings import Settings, age_s
from tracker.stores.base import Commit, StatusStore
from tracker.stores.memory import MemoryStore
from tracker.stores.open import open_store

PURGED = "'t1' was purged at "
ENDED = "attempt 1 had ended with SUCCESS at 2026-01-31T09:00:03.000Z"


@pytest.mark.usefixtures("filled")
def test_a_purge_says_what_it_did(cli) -> None:
    """One line for people; the task that ended is gone, the one that runs and the one that waits are there."""
    result = cli("purge", "--keep-completed", "1h")

    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("1 task (1 QUEUED_TASK) was purged in ")
    assert {each["id"] for each in cli("list", "--format", "json").json} == {"t2", "é"}


@pytest.mark.usefixtures("filled")
def test_a_purge_in_json_has_the_promised_shape(cli) -> None:
    """Scripts rely on these names."""
    document = cli("purge", "--keep-completed", "1h", "--json").json

    assert list(document) == ["purged", "due", "byType", "until", "freedBytes", "storeBytes", "storeFreeBytes", "seconds"]
    assert (document["purged"], document["due"], document["byType"]) == (1, 1, {"QUARTZ": 0, "QPOC": 0, "QUEUED_TASK": 1})


@pytest.mark.usefixtures("filled")
def test_an_event_that_a_purged_task_ignores_is_warned_of(cli) -> None:
    """It is written all the same; one of a later attempt, which opens the task again, is no matter."""
    cli("purge", "--keep-completed", "1h")

    result = cli("emit", "launched", "t1")
    assert (result.code, "warning: task " + PURGED in result.err, "--attempt" in result.err) == (0, True, True)
    assert "warning" not in cli("emit", "launched", "t1", "--attempt", "2").err


@pytest.mark.usefixtures("filled")
def test_a_dry_run_counts_and_changes_nothing(cli, folder: Path) -> None:
    """Not even a revision."""
    before = cli("status", "--json").json["revision"]
    document = cli("purge", "--keep-completed", "1h", "--dry-run", "--json").json

    assert (document["purged"], document["due"]) == (0, 1)
    assert cli("purge", "--keep-completed", "1h", "--dry-run").out == "1 task (1 QUEUED_TASK) would be purged\n"
    assert (cli("status", "--json").json["revision"], cli("get", "t1").code) == (before, 0)
    assert folder.joinpath("status.db").exists()


@pytest.mark.usefixtures("filled")
def test_types_have_ages_of_their_own(cli) -> None:
    """The age of its type counts, longer or shorter than that of all; the environment has names for both."""
    assert cli("purge", "--keep-completed", "1h", "--keep-completed-type", "QUARTZ=1h,QUEUED_TASK=36500d", "--json").json["purged"] == 0
    assert cli("purge", "--keep-completed-type", "QPOC=1h", "--json").json["byType"] == {"QPOC": 0}
    assert cli("purge", "--keep-completed", "36500d", "--keep-completed-type", "QUEUED_TASK=1h", "--json").json["purged"] == 1


@pytest.mark.usefixtures("filled")
def test_settings_come_from_the_environment(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRACKER_KEEP_COMPLETED and TRACKER_KEEP_COMPLETED_TYPE."""
    monkeypatch.setenv("TRACKER_KEEP_COMPLETED", "1h")
    monkeypatch.setenv("TRACKER_KEEP_COMPLETED_TYPE", "QPOC=2d")

    assert cli("purge", "--json").json["purged"] == 1


@pytest.mark.usefixtures("filled")
def test_a_purged_task_is_said_to_be_purged(cli) -> None:
    """`get` and `tree` end with exit code 1 as for a missing task, and say when it was purged and how it had ended; `why` says it too."""
    cli("purge", "--keep-completed", "1h")
    for command in ("get", "tree"):
        result = cli(command, "t1")
        assert (result.code, result.out) == (1, "")
        assert PURGED in result.err
        assert ENDED in result.err
    reasons = cli("why", "t1", "--json").json
    assert list(reasons) == ["purged"]
    assert ENDED in reasons["purged"]["rule"]
    assert "there is no task gone" in cli("get", "gone").err


@pytest.mark.usefixtures("filled")
def test_status_counts_what_was_purged(cli) -> None:
    """And says the store's size, and what of it is free; the sums are as they were."""
    before = cli("status", "--json").json
    cli("purge", "--keep-completed", "1h")
    after = cli("status", "--json").json

    assert (before["purged"], after["purged"]) == (0, 1)
    assert (before["tasks"], after["tasks"]) == (3, 2)
    assert after["counters"] == before["counters"]
    assert (after["storeBytes"] > 0, after["storeFreeBytes"] >= 0) == (True, True)
    assert "2 tasks, 1 purged, revision" in cli("status").out


@pytest.mark.usefixtures("filled")
def test_replaying_the_log_again_brings_nothing_back(cli) -> None:
    """`replay --again` over a purged task counts its events as unchanged."""
    cli("purge", "--keep-completed", "1h")
    totals = cli("replay", "events.jsonl", "--again", "--json").json

    assert (totals["applied"], totals["tasks"]) == (0, 2)
    assert cli("get", "t1").code == 1


@pytest.mark.usefixtures("filled")
def test_watch_tells_a_purge_from_a_deletion(cli) -> None:
    """Each of both kinds is told as such."""
    cli("purge", "--keep-completed", "1h")
    result = cli("watch", "--since", "0", "--limit", "4", "--json")

    kinds = {change["id"]: change["kind"] for change in map(json.loads, result.out.splitlines())}
    assert kinds == {"t1": "purged", "gone": "deleted", "t2": "changed", "é": "changed"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "how long are tasks kept? give --keep-completed 90d"),
        (["--keep-completed", "90"], "expected an age with its unit, such as 90d"),
        (["--keep-completed", "soon"], "expected an age with its unit, such as 90d"),
        (["--keep-completed-type", "QUARZ=1d"], "did you mean QUARTZ?"),
        (["--keep-completed-type", "QUARTZ"], "expected types with an age, such as QUARTZ=30d,QPOC=7d"),
        (["--keep-completed-type", "QUARTZ=1"], "expected an age with its unit"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_wrong_usage_is_one_clear_sentence(cli, arguments: list[str], message: str) -> None:
    """Exit code 2, nothing on standard output, and nothing is purged."""
    result = cli("purge", *arguments)

    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert cli("get", "t1").code == 0


def test_a_store_that_is_not_there_is_not_made(cli, folder: Path) -> None:
    """A purge of nothing is a mistake in the name."""
    assert cli("purge", "--keep-completed", "1d").code == 1
    assert not folder.joinpath("status.db").exists()


def test_ages_have_a_unit() -> None:
    """Whole and broken numbers of any unit."""
    assert (age_s("90d", "x"), age_s("1.5h", "x"), age_s(" 30m ", "x")) == (7_776_000.0, 5_400.0, 1_800.0)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.usefixtures("filled")
async def test_a_run_purges_now_and_then(folder: Path, kind: str) -> None:
    """Beside whoever writes, again and again: what ends later is purged by a later look."""
    settings = Settings(store=f"sqlite:///{folder}/status.db", keep_completed=3600.0)
    with open_store(settings.store) as filled:
        store = MemoryStore() if kind == "memory" else filled
        if isinstance(store, MemoryStore):
            copy(filled, store)
        async with purging.in_background(settings, store, after_s=0.0, every_s=0.01):
            await asyncio.to_thread(until, lambda: store.purged_count() == 1)
            end(store, "t2")
            await asyncio.to_thread(until, lambda: store.purged_count() == 2)


def copy(store: StatusStore, other: MemoryStore) -> None:
    """Tasks of one store into another."""
    other.commit(Commit(writes=[write(id, from_bytes(each.registers)) for id, each in store.load(["t1", "t2", "é"]).items()]))


def end(store: StatusStore, task: str) -> None:
    """The task ends, long ago."""
    commit(store, [decoded_event(task, "completed", "2026-01-31T09:10:00Z", completionStatus="ERROR")])


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, with a deadline."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def test_without_an_age_nothing_is_purged(folder: Path) -> None:
    """No thread is started, and no store opened."""
    before = len(asyncio.all_tasks())
    async with purging.in_background(Settings(store=f"sqlite:///{folder}/none.db"), MemoryStore()):
        assert len(asyncio.all_tasks()) == before
    assert not folder.joinpath("none.db").exists()


@pytest.mark.usefixtures("filled")
def test_an_older_store_gives_space_back_after_one_vacuum(folder: Path) -> None:
    """As the page says: a store that was made without is converted by SQLite's own VACUUM, once."""
    path = folder / "status.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA auto_vacuum=NONE; VACUUM;")
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    with open_store(f"sqlite:///{path}") as store:
        assert store.shrink(1_000_000) == 0
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA auto_vacuum=INCREMENTAL; VACUUM;")
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


@pytest.mark.usefixtures("filled")
async def test_a_stop_does_not_wait_for_a_purge_that_opens_its_store(folder: Path) -> None:
    """A database that takes the connection and says nothing has ten seconds otherwise, and a run five to stop."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/nothing"
        with open_store(f"sqlite:///{folder}/status.db") as store:
            async with purging.in_background(Settings(store=url, keep_completed=86_400.0), store, after_s=0.0):
                connection, _ = await asyncio.to_thread(silent.accept)
                stopped = time.monotonic()
            assert time.monotonic() - stopped < 3
        connection.close()
