"""Promises 4 to 7 of a store: revisions, states, limits, and what is there afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.errors import StoreMismatch
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import TopicPartition
from tracker.stores.base import Commit, Counters, Retried, StatusStore, Write
from tracker.testing.stores.values import AT, COLUMNS, ODD_IDS, OTHER, advance, everything, jump, parked, position, status, write
from tracker.testing.stores.workers import StoreTests


class ContentTests(StoreTests):
    """What a store gives back."""

    def test_revisions_grow(self, store: StatusStore) -> None:
        """Promise 4: each commit's revision is greater than all before, with and without tasks."""
        commits = [Commit(writes=[write("a")]), Commit(advances=[advance(0, 1)]), Commit(writes=[write("b")]), Commit(jumps=[jump(1)])]
        revisions = [0, *map(store.commit, commits)]

        assert revisions == sorted(set(revisions))

    def test_a_revision_stands_on_every_row_of_its_commit(self, store: StatusStore) -> None:
        """Promise 4: tasks that a commit wrote carry its revision, others keep theirs."""
        first = store.commit(Commit(writes=[write("a"), write("b")]))
        second = store.commit(Commit(writes=[write("b", loaded=first), write("c")]))

        assert {id: loaded.revision for id, loaded in store.load(["a", "b", "c"]).items()} == {"a": first, "b": second, "c": second}

    def test_the_store_says_its_newest_revision(self, store: StatusStore) -> None:
        """Promise 4: ``revision`` is 0 in a new store, then what the last commit returned."""
        before = store.revision()
        revision = store.commit(Commit(writes=[write("a")]))

        assert (before, store.revision()) == (0, revision)

    def test_an_unknown_task_is_absent(self, store: StatusStore) -> None:
        """Promise 5: an id that the store does not have is not among the loaded."""
        store.commit(Commit(writes=[write("a")]))

        assert set(store.load(["a", "b"])) == {"a"}

    def test_loading_nothing_gives_nothing(self, store: StatusStore) -> None:
        """Promise 5: no ids, no states."""
        assert store.load([]) == {}

    def test_thousands_of_tasks_are_loaded_at_once(self, store: StatusStore) -> None:
        """Promise 5: 2,501 ids give 2,501 states, each its own."""
        ids = [f"task-{index}" for index in range(2_501)]
        store.commit(Commit(writes=[write(id, id.encode()) for id in ids]))

        assert {id: loaded.registers for id, loaded in store.load(ids).items()} == {id: id.encode() for id in ids}

    def test_ids_are_told_apart_by_code_point(self, store: StatusStore) -> None:
        """Promise 5: case, accents, spaces and quotes count."""
        store.commit(Commit(writes=[write(id, id.encode()) for id in ODD_IDS]))

        assert {id: loaded.registers for id, loaded in store.load(ODD_IDS).items()} == {id: id.encode() for id in ODD_IDS}

    def test_registers_come_back_byte_for_byte(self, store: StatusStore) -> None:
        """Promise 5: a state is any bytes, zeros and none at all among them."""
        states = {"all": bytes(range(256)) * 5, "none": b"", "zero": b"\0", "long": b"x" * 300_000}
        store.commit(Commit(writes=[write(id, registers) for id, registers in states.items()]))

        assert {id: loaded.registers for id, loaded in store.load(list(states)).items()} == states

    def test_values_of_any_text_are_taken(self, store: StatusStore) -> None:
        """Promise 5: texts of the columns may hold U+0000 and anything else that an event may."""
        odd = COLUMNS._replace(unique_name="a\0b", description="\U0001f600" * 50_000, launcher="", progress="\x7f")
        revision = store.commit(Commit(writes=[Write("a", b"state", odd, None)]))

        assert store.load(["a"])["a"].revision == revision

    def test_a_deleted_task_is_loaded_but_not_counted(self, store: StatusStore) -> None:
        """Promise 5: a tombstone is a state; ``task_count`` leaves it out."""
        first = store.commit(Commit(writes=[write("a"), write("b")]))
        store.commit(Commit(writes=[Write("a", b"tombstone", None, first), Write("c", b"tombstone", None, None)]))

        assert store.load(["a"])["a"].registers == b"tombstone"
        assert store.task_count() == 1

    def test_a_store_remembers_its_limits(self, tmp_path: Path) -> None:
        """Promise 6: who opens without limits gets those that the store was made with."""
        limits = Limits(messages=7, max_record_bytes=1_000)
        with self.open(tmp_path, limits=limits):
            pass
        with self.open(tmp_path) as store:
            assert store.limits == limits

    def test_a_store_is_made_with_the_default_limits(self, tmp_path: Path) -> None:
        """Promise 6: unless told others."""
        with self.open(tmp_path) as store:
            assert store.limits == DEFAULT_LIMITS

    def test_other_limits_are_refused(self, tmp_path: Path) -> None:
        """Promise 6: a worker with other limits would make other statuses."""
        with self.open(tmp_path):
            pass
        with pytest.raises(StoreMismatch, match=r"(?i)limits"):
            self.open(tmp_path, limits=Limits(messages=7))

    def test_equal_limits_are_taken(self, tmp_path: Path) -> None:
        """Promise 6: limits are compared by value."""
        with self.open(tmp_path, limits=Limits(messages=7)):
            pass
        with self.open(tmp_path, limits=Limits(messages=7)) as store:
            assert store.limits.messages == 7

    def test_reopening_keeps_everything(self, tmp_path: Path) -> None:
        """Promise 7: tasks, positions, counters, parked records, jumps, ends and the revision survive closing."""
        if not self.durable:
            pytest.skip("declared: it lives as long as its process")
        with self.open(tmp_path) as store:
            store.claim([position(), position(OTHER)])
            store.commit(Commit(writes=[write("a")], advances=[advance(0, 5)], parked=[parked(1), parked(2)], jumps=[jump(1)]))
            store.commit(Commit(retried=[Retried(number=2, at=AT, outcome="ignored")]))
            store.drop_parked([1])
            store.report_ends([position(next_offset=9)], "2026-01-01T00:00:00Z")
            before = everything(store)
        with self.open(tmp_path) as store:
            assert everything(store) == before

    def test_another_worker_sees_a_commit_at_once(self, tmp_path: Path) -> None:
        """Promise 7: what ``commit`` has returned from, every other connection reads."""
        with self.open(tmp_path) as first, self.open(tmp_path) as second:
            first.claim([position()])
            first.commit(Commit(writes=[write("a")], advances=[advance(0, 5)], parked=[parked(1)]))

            assert everything(second) == everything(first)

    def test_jumps_are_remembered_in_order(self, store: StatusStore) -> None:
        """Each as it was given, oldest first."""
        first, second = jump(1), jump(2)
        store.commit(Commit(jumps=[first]))
        store.commit(Commit(jumps=[second]))

        assert store.jumps() == [first, second]

    def test_ends_are_remembered_with_their_time(self, store: StatusStore) -> None:
        """The last report counts; partitions that were not in it keep theirs."""
        store.report_ends([position(next_offset=9), position(OTHER, next_offset=4)], "2026-01-01T00:00:00Z")
        store.report_ends([position(next_offset=12)], "2026-01-01T00:00:02Z")

        assert (status(store).end_offset, status(store).end_seen_at) == (12, "2026-01-01T00:00:02Z")
        assert (status(store, OTHER).end_offset, status(store, OTHER).end_seen_at) == (4, "2026-01-01T00:00:00Z")

    def test_ends_of_unknown_partitions_are_passed_over(self, store: StatusStore) -> None:
        """A partition that nobody has claimed has no row, and gets none."""
        before = everything(store)
        store.report_ends([position(TopicPartition("events", 5))], "2026-01-01T00:00:00Z")

        assert everything(store) == before

    def test_ends_move_no_position(self, store: StatusStore) -> None:
        """They are for lag displays: the next commit is expected where it was."""
        store.report_ends([position(next_offset=9)], "2026-01-01T00:00:00Z")
        store.commit(Commit(advances=[advance(0, 5)]))

        assert status(store).position.next_offset == 5

    def test_partitions_are_listed_in_order(self, tmp_path: Path) -> None:
        """By topic, then by number: 10 after 9."""
        wanted = [TopicPartition("a", 2), TopicPartition("a", 9), TopicPartition("a", 10), TopicPartition("b", 0)]
        with self.open(tmp_path) as store:
            store.claim(map(position, reversed(wanted)))
            assert [each.position.at for each in store.partitions()] == wanted

    def test_a_claim_says_who_holds_a_partition(self, tmp_path: Path) -> None:
        """The last one who said so, for all to see; commits, ends and a claim without a name leave it be."""
        with self.open(tmp_path) as first, self.open(tmp_path) as second:
            first.claim([position(), position(OTHER)], "one")
            second.claim([position(OTHER)], "two")
            first.commit(Commit(advances=[advance(0, 5)]))
            first.report_ends([position(next_offset=9)], "2026-01-01T00:00:00Z")
            first.claim([position()])

            assert [status(second).worker, status(second, OTHER).worker] == ["one", "two"]
            assert (status(second).claimed_at or "") >= "2026"

    def test_nobody_is_said_to_hold_what_nobody_claimed_by_name(self, store: StatusStore) -> None:
        """Both columns are empty then."""
        assert (status(store).worker, status(store).claimed_at) == (None, None)

    def test_what_a_store_gave_is_not_changed_later(self, store: StatusStore) -> None:
        """A status that was asked for is of that moment."""
        before = status(store)
        store.commit(Commit(advances=[advance(0, 5)]))

        assert before.position == position()
        assert before.counters == Counters()
