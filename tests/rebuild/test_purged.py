"""Purges, and what compares a store with its log: the log still has what retention has taken away."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from tests.naive.workload import task_id
from tests.rebuild.logs import TASKS, hash_of, log_in, plant, rebuilt, url, worked
from tracker import replay
from tracker.errors import StoreMismatch, UsageError
from tracker.model.kinds import TaskType
from tracker.projector.retention import purge
from tracker.rebuild.copying import copy
from tracker.rebuild.differences import Comparison, differing
from tracker.rebuild.logs import Logs
from tracker.rebuild.run import noted, to_text
from tracker.rebuild.verifying import Verified, verify_all, verify_some
from tracker.stores.open import open_contents, open_shadow, open_store

LATER = datetime(2100, 1, 1, tzinfo=UTC)
SOME: Mapping[TaskType, float] = {"QPOC": 1.0}
"""All tasks of the log have ended; those of one type are purged."""
AGAIN = (
    '{{"specversion":"1.0","type":"io.tracker.task.launched","id":"again","source":"test","time":"2026-06-01T00:00:00Z",'
    '"attempt":9,"subject":"{}"}}\n'
)


def purged_in(store: Path, ages_s: Mapping[TaskType, float] = SOME) -> list[str]:
    """Purge; ids of all that was purged."""
    with open_store(url(store)) as opened:
        purge(opened, ages_s, LATER)
        return list(opened.purged())


def opened_again(store: Path, log: Path, task: str) -> None:
    """Another attempt of the task, in log and store."""
    with log.open("a") as file:
        file.write(AGAIN.format(task))
    worked(store, log)


def sampled(store: Path, log: Path) -> Verified:
    """A sample of all tasks, folded again."""
    return asyncio.run(verify_some(lambda: open_contents(url(store)), Logs(source=str(log)), 10 * TASKS, Random(1)))


def verified(store: Path, log: Path) -> Verified:
    """All of them."""
    return asyncio.run(verify_all(lambda: open_contents(url(store)), Logs(source=str(log))))


def test_purged_tasks_stay_purged(live: Path, log: Path) -> None:
    """A rebuild finds no difference and changes no byte, of tasks that a later attempt has opened again neither."""
    purged = purged_in(live)
    opened_again(live, log, purged[0])
    before = hash_of(live)
    note = rebuilt(live, log).note
    assert 5 < len(purged) < TASKS - 5
    assert (note.state, note.purged, note.left_out, note.different) == ("swapped", len(purged), 0, 0)
    assert hash_of(live) == before
    assert purged_in(live) == purged


def test_other_tasks_are_still_compared(live: Path, log: Path) -> None:
    """A difference in one that was not purged is found, and none in one that was."""
    purged = purged_in(live)
    kept = next(task_id(number) for number in range(TASKS) if task_id(number) not in purged)
    plant(live, kept)
    outcome = rebuilt(live, log)
    assert (outcome.note.state, [pair.id for pair in outcome.pairs]) == ("different", [kept])


@pytest.mark.parametrize("seam", ["building", "all is folded", "catching-up", "verifying", "verified", "swapping"])
def test_what_is_purged_meanwhile_stays_purged(live: Path, log: Path, monkeypatch: pytest.MonkeyPatch, seam: str) -> None:
    """Whenever retention comes during a run, before it is compared or after; and whatever comes of the task then."""
    monkeypatch.setattr(replay, "PARALLEL_FROM_BYTES", 0)  # else not every seam is passed
    purged: list[str] = []

    def at(name: str) -> None:
        if name == seam and not purged:
            purged.extend(purged_in(live))
            opened_again(live, log, purged[0])

    note = rebuilt(live, log, seam=at).note
    assert (note.state, note.different) == ("swapped", 0)
    with open_contents(url(live)) as contents:
        assert contents.purged() == purged
        marked = contents.some(purged)
    worked(live, log)
    with open_contents(url(live)) as contents:
        assert contents.some(purged) == marked


def test_a_rollback_brings_the_marks(live: Path, log: Path) -> None:
    """As they were at the exchange: what is purged afterwards comes back until it is purged again."""
    purged = purged_in(live)
    before = hash_of(live)
    rebuilt(live, log)
    purged_in(live, {"QUARTZ": 1.0})
    shadow = open_shadow(url(live))
    note = noted(shadow)
    assert note is not None
    shadow.roll_back(to_text(note))
    assert hash_of(live) == before
    with open_contents(url(live)) as contents:
        assert contents.purged() == purged


def test_purges_can_be_forgotten(live: Path, log: Path) -> None:
    """With --forget-purged all tasks are again as the log has them, those that were opened again with their first attempts."""
    purged = purged_in(live)
    opened_again(live, log, purged[0])
    note = rebuilt(live, log, forget_purged=True).note
    assert (note.state, note.purged, note.left_out, note.different) == ("swapped", 0, len(purged), 0)
    with open_contents(url(live)) as contents:
        assert contents.purged() == []
    found = verified(live, log)
    assert (found.tasks, found.left_out, found.different) == (TASKS, 0, 0)


def test_a_run_goes_on_as_it_began(live: Path, log: Path) -> None:
    """What was carried over can't be forgotten half way."""
    purged = purged_in(live)
    plant(live, next(task_id(number) for number in range(TASKS) if task_id(number) not in purged))
    rebuilt(live, log)
    with pytest.raises(UsageError, match="go on with the same sources, limits and flags"):
        rebuilt(live, log, forget_purged=True)
    assert rebuilt(live, log, forget_purged=True, accept=True, restart=True).note.state == "swapped"


@pytest.mark.parametrize("check", [sampled, verified], ids=["a sample", "all"])
def test_verifying_leaves_out_what_was_purged(live: Path, log: Path, check) -> None:
    """Those are counted, the others are compared."""
    purged = purged_in(live)
    opened_again(live, log, purged[0])
    found = check(live, log)
    assert (found.tasks, found.left_out, found.different) == (TASKS - len(purged), len(purged), 0)


def test_stores_differ_by_purges_alone(live: Path, tmp_path: Path) -> None:
    """What one of them has purged is counted, and no difference; the hashes are of the rest."""
    other = tmp_path / "other.db"
    other.write_bytes(live.read_bytes())
    purged = purged_in(other)
    comparison = Comparison()
    with open_contents(url(live)) as a, open_contents(url(other)) as b:
        assert list(differing(a, b, comparison)) == []
    assert (comparison.tasks, comparison.left_out, comparison.hash_a) == (TASKS, len(purged), comparison.hash_b)


def test_a_copy_has_the_marks(live: Path, log: Path, tmp_path: Path) -> None:
    """In state and row: they are compared, as both sides have them."""
    purged = purged_in(live)
    opened_again(live, log, purged[0])
    other = tmp_path / "other.db"
    with open_contents(url(live)) as contents, open_store(url(other)) as target:
        copy(contents, target)
        assert list(target.purged()) == purged
    comparison = Comparison()
    with open_contents(url(live)) as a, open_contents(url(other)) as b:
        assert list(differing(a, b, comparison)) == []
    assert (comparison.left_out, comparison.hash_a) == (0, comparison.hash_b)


def test_who_holds_a_partition_is_still_so(live: Path, log: Path) -> None:
    """An exchange changes nothing that the workers have said: the log's end, and who reads it since when."""
    with open_store(url(live)) as store:
        store.claim([store.partitions()[0].position], "me")
        before = store.partitions()[0]
    rebuilt(live, log)
    with open_store(url(live)) as store:
        after = store.partitions()[0]
    assert (after.worker, after.claimed_at, after.end_offset, after.end_seen_at) == (
        "me",
        before.claimed_at,
        before.end_offset,
        before.end_seen_at,
    )


def test_where_the_log_ends_is_still_known_after_a_rollback(live: Path, log: Path) -> None:
    """A store that has gone back knows that there is more to read, so that no purge takes a task whose next attempt stands there."""
    rebuilt(live, log)
    log_in(live.parent, 1, first_task=TASKS)
    worked(live, log)
    with open_store(url(live)) as store:
        store.report_ends([store.partitions()[0].position], "2026-01-01T00:00:00Z")
    open_shadow(url(live)).roll_back("{}")
    with open_store(url(live)) as store:
        [partition] = store.partitions()
    assert partition.end_offset == log.stat().st_size > partition.position.next_offset


def test_a_store_of_an_earlier_schema_says_what_to_do(live: Path) -> None:
    """It has no marks yet: whoever writes to it next brings it up to date, and the comparison says so."""
    with closing(sqlite3.connect(live)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
    with pytest.raises(StoreMismatch, match="of an earlier release: what writes to it next"), open_contents(url(live)):
        pass
