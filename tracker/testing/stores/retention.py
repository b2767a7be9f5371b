"""What retention asks of a store: what ended before a time, what was purged, and its size."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tracker.errors import StateConflict
from tracker.stores.base import Commit, Ended, StatusStore, Write
from tracker.testing.stores.values import COLUMNS, ODD_IDS, advance, everything, write
from tracker.testing.stores.workers import StoreTests

EARLY, MIDDLE, LATE = (f"2026-01-0{day}T00:00:00.000000Z" for day in (1, 2, 3))
PURGED_AT = "2026-06-01T00:00:00.000000Z"


def ended(task_id: str, completed: str, type: str = "QUARTZ", *, loaded: int | None = None) -> Write:
    """A task that was completed then."""
    columns = COLUMNS._replace(type=type, state="COMPLETED", completion_status="SUCCESS", completed=completed)
    return Write(task_id, b"state", columns, loaded)


def purge(task_id: str, loaded: int) -> Write:
    """What a purge writes."""
    return Write(task_id, b"mark", None, loaded, PURGED_AT)


class RetentionTests(StoreTests):
    """Old tasks are found in order; what was purged is still known by its id, and is nothing else."""

    def test_tasks_that_ended_before_a_time_are_found_in_order(self, store: StatusStore) -> None:
        """By ``completed`` and id; what ended at that time or later, or has not ended, is not among them."""
        store.commit(Commit(writes=[ended("c", EARLY), ended("b", MIDDLE), ended("a", MIDDLE), ended("d", LATE), write("running")]))

        assert list(store.ended(LATE, ["QUARTZ"])) == [(EARLY, "c"), (MIDDLE, "a"), (MIDDLE, "b")]
        assert list(store.ended(EARLY, ["QUARTZ"])) == []

    def test_they_are_paged(self, store: StatusStore) -> None:
        """``after`` and ``limit`` cut the list, also between tasks that ended at the same time."""
        store.commit(Commit(writes=[ended(f"{number}", MIDDLE) for number in range(5)]))

        assert list(store.ended(LATE, ["QUARTZ"], limit=2)) == [(MIDDLE, "0"), (MIDDLE, "1")]
        assert list(store.ended(LATE, ["QUARTZ"], after=Ended(MIDDLE, "1"), limit=2)) == [(MIDDLE, "2"), (MIDDLE, "3")]
        assert list(store.ended(LATE, ["QUARTZ"], after=Ended(MIDDLE, "4"))) == []

    def test_they_are_of_the_types_asked_for(self, store: StatusStore) -> None:
        """Others are not there."""
        store.commit(Commit(writes=[ended("a", EARLY), ended("b", EARLY, "QPOC"), ended("c", EARLY, "QUEUED_TASK")]))

        assert [each.task_id for each in store.ended(LATE, ["QPOC", "QUEUED_TASK"])] == ["b", "c"]

    def test_what_was_purged_is_not_counted_and_not_found_again(self, store: StatusStore) -> None:
        """Its bytes are loaded as they were written; it is no task, and has not ended, any more."""
        revision = store.commit(Commit(writes=[ended("a", EARLY), ended("b", EARLY)]))
        purged = store.commit(Commit(writes=[purge("a", revision)]))

        assert store.task_count() == 1
        assert [each.task_id for each in store.ended(LATE, ["QUARTZ"])] == ["b"]
        loaded = store.load(["a"])["a"]
        assert (loaded.registers, loaded.revision) == (b"mark", purged)

    def test_ids_of_what_was_purged_are_listed(self, store: StatusStore) -> None:
        """In code point order, in pages, and those that a later attempt has opened again among them; deleted ones are not."""
        revision = store.commit(Commit(writes=[ended(id, EARLY) for id in (*ODD_IDS, "kept", "gone")]))
        store.commit(Commit(writes=[*(purge(id, revision) for id in ODD_IDS), Write("gone", b"tombstone", None, revision)]))
        again = store.load(["t"])["t"].revision
        store.commit(Commit(writes=[msgspec.structs.replace(ended("t", LATE, loaded=again), purged_at=PURGED_AT)]))
        found: list[str] = []
        while page := store.purged(after=found[-1] if found else "", limit=3):
            found += page

        assert found == sorted(ODD_IDS)
        assert store.purged_count() == len(ODD_IDS)
        assert "t" in [each.task_id for each in store.ended(PURGED_AT, ["QUARTZ"])]

    def test_a_purge_meets_the_row_fence(self, tmp_path: Path) -> None:
        """Promise 3 holds for it in both directions: neither undoes what the other has written."""
        with self.open(tmp_path) as worker, self.open(tmp_path) as other:
            revision = worker.commit(Commit(writes=[ended("a", EARLY), ended("b", EARLY)]))
            worker.commit(Commit(writes=[write("a", b"new", loaded=revision)]))
            with pytest.raises(StateConflict) as caught:
                other.commit(Commit(writes=[purge("a", revision), purge("b", revision)]))
            assert caught.value.task_ids == ("a",)
            other.commit(Commit(writes=[purge("b", revision)]))
            with pytest.raises(StateConflict) as caught:
                worker.commit(Commit(writes=[write("b", b"new", loaded=revision)]))

            assert caught.value.task_ids == ("b",)
            assert {id: loaded.registers for id, loaded in worker.load(["a", "b"]).items()} == {"a": b"new", "b": b"mark"}

    def test_a_purge_of_what_is_not_there_is_a_conflict(self, store: StatusStore) -> None:
        """Nothing is written then: a mark does not come from nowhere."""
        before = everything(store)
        with pytest.raises(StateConflict):
            store.commit(Commit(writes=[purge("a", 1)]))

        assert everything(store) == before

    def test_a_purge_changes_nothing_else(self, store: StatusStore) -> None:
        """Other tasks keep their bytes and revisions, partitions their positions and counters."""
        revision = store.commit(Commit(writes=[ended("a", EARLY), write("b"), write("c")], advances=[advance(0, 3)]))
        before = everything(store)
        store.commit(Commit(writes=[purge("a", revision)]))
        after = everything(store)

        assert {id: after["tasks"][id] for id in ("b", "c")} == {id: before["tasks"][id] for id in ("b", "c")}
        assert {name: after[name] for name in ("partitions", "parked", "jumps")} == {
            name: before[name] for name in ("partitions", "parked", "jumps")
        }

    def test_shrinking_ends_and_changes_nothing(self, store: StatusStore) -> None:
        """What it gives back adds up to what was free, or it gives back nothing; then there is nothing more to give."""
        state = bytes(20_000)
        writes = [Write(f"{number:03}", state, COLUMNS, None) for number in range(200)]
        revision = store.commit(Commit(writes=writes))
        store.commit(Commit(writes=[purge(each.task_id, revision) for each in writes]))
        before, size = everything(store), store.size()
        steps = list(iter(lambda: store.shrink(100_000), 0))

        assert everything(store) == before
        if size is not None and steps:
            assert sum(steps) == size.free_bytes > 1_000_000
            assert len(steps) > 10
        assert store.shrink(100_000) == 0
