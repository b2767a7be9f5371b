"""Promises 1 to 3 of a store: claims, and commits that are all or nothing behind two fences."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.errors import PositionConflict, StateConflict
from tracker.model.records import TopicPartition
from tracker.stores.base import Advance, Commit, Counters, Retried, StatusStore
from tracker.testing.stores.values import AT, OTHER, advance, everything, jump, parked, position, status, write
from tracker.testing.stores.workers import StoreTests


class FenceTests(StoreTests):
    """What a commit is compared with, and what it leaves when it is refused."""

    def test_a_claim_of_a_new_partition_gives_its_beginning(self, tmp_path: Path) -> None:
        """Promise 1: where nothing is stored, the given beginning is the position."""
        with self.open(tmp_path) as store:
            assert store.claim([position(next_offset=7), position(OTHER)]) == {AT: position(next_offset=7), OTHER: position(OTHER)}

    def test_a_claim_gives_the_stored_position(self, store: StatusStore) -> None:
        """Promise 1: a position that is stored outranks the beginning."""
        store.commit(Commit(advances=[advance(0, 5)]))

        assert store.claim([position(next_offset=3)]) == {AT: position(next_offset=5)}

    def test_a_claim_gives_what_was_asked_for_alone(self, store: StatusStore) -> None:
        """Promise 1: positions of partitions that others hold are not among the claimed."""
        assert set(store.claim([position(OTHER)])) == {OTHER}

    def test_a_claim_seeds_the_position(self, tmp_path: Path) -> None:
        """Promise 1: after a claim the beginning is stored, so that a second worker's claim gives it too."""
        with self.open(tmp_path) as store, self.open(tmp_path) as second:
            store.claim([position(next_offset=7)])
            assert second.claim([position(next_offset=9)]) == {AT: position(next_offset=7)}

    def test_the_first_commit_is_guarded(self, tmp_path: Path) -> None:
        """Promise 1: of two workers that begin at the same seed, the second's commit is refused."""
        with self.open(tmp_path) as first, self.open(tmp_path) as second:
            first.claim([position()])
            second.claim([position()])
            first.commit(Commit(advances=[advance(0, 5)]))
            with pytest.raises(PositionConflict):
                second.commit(Commit(advances=[advance(0, 5)]))

    def test_a_partition_that_was_never_claimed_is_refused(self, store: StatusStore) -> None:
        """Promise 1: without a claim there is no position to go on from."""
        with pytest.raises(PositionConflict):
            store.commit(Commit(advances=[advance(0, 5, at=TopicPartition("events", 2))]))

    def test_a_claim_learns_the_identity_of_a_log_seeded_without(self, tmp_path: Path) -> None:
        """Promise 1: a log that was empty when it was first claimed has its identity now."""
        with self.open(tmp_path) as store:
            store.claim([position(identity="")])
            assert store.claim([position()]) == {AT: position()}

    def test_a_claim_leaves_a_known_identity(self, store: StatusStore) -> None:
        """Promise 1: the stored identity is what the source compares with; a claim never changes it."""
        assert store.claim([position(identity="log:2")]) == {AT: position()}

    def test_a_commit_moves_every_position(self, store: StatusStore) -> None:
        """Promise 2: each advance's next position is the stored one afterwards."""
        store.commit(Commit(advances=[advance(0, 5), advance(0, 3, at=OTHER)]))

        assert [each.position for each in store.partitions()] == [position(next_offset=5), position(OTHER, next_offset=3)]

    def test_a_position_may_move_without_records(self, store: StatusStore) -> None:
        """Promise 2: markers and compacted parts move a position, and count nothing."""
        store.commit(Commit(advances=[Advance(expected=position(), next=position(next_offset=4), counters=Counters())]))

        assert status(store).position.next_offset == 4
        assert status(store).counters == Counters()

    def test_a_position_may_go_back(self, store: StatusStore) -> None:
        """Promise 2: reading a log again from its start is a commit like any other."""
        store.commit(Commit(advances=[advance(0, 5)]))
        store.commit(Commit(advances=[advance(5, 0)]))

        assert status(store).position == position()

    def test_a_commit_carries_the_identity_along(self, store: StatusStore) -> None:
        """Promise 2: the next position may be in another log (a file that was rotated)."""
        rotated = position(identity="log:2", next_offset=3)
        store.commit(Commit(advances=[Advance(expected=position(), next=rotated, counters=Counters())]))

        assert status(store).position == rotated

    def test_another_offset_is_a_conflict(self, store: StatusStore) -> None:
        """Promise 2: an expected offset that is not the stored one is refused."""
        with pytest.raises(PositionConflict, match="events, partition 0"):
            store.commit(Commit(advances=[advance(1, 5)]))

    def test_another_identity_is_a_conflict(self, store: StatusStore) -> None:
        """Promise 2: the same offset of another log is refused."""
        moved = Advance(expected=position(identity="log:2"), next=position(identity="log:2", next_offset=5), counters=Counters())
        with pytest.raises(PositionConflict):
            store.commit(Commit(advances=[moved]))

    def test_counters_add_up(self, store: StatusStore) -> None:
        """Promise 2: each commit adds its counts to the partition's."""
        store.commit(Commit(advances=[advance(0, 5, counters=Counters(5, 1, 2, 1, 1))]))
        store.commit(Commit(advances=[advance(5, 7, counters=Counters(2, 1, 1, 0, 0)), advance(0, 1, at=OTHER)]))

        assert status(store).counters == Counters(7, 2, 3, 1, 1)
        assert status(store).counters.balanced

    def test_the_newest_time_only_grows(self, store: StatusStore) -> None:
        """Promise 2: the newest event time is the greatest of all commits, and a commit without events leaves it."""
        for expected, time in enumerate(("2026-01-02T00:00:00.000000", "2026-01-01T00:00:00.000000", "")):
            moved = Advance(
                expected=position(next_offset=expected),
                next=position(next_offset=expected + 1),
                counters=Counters(),
                newest_event_time=time,
            )
            store.commit(Commit(advances=[moved]))

        assert status(store).newest_event_time == "2026-01-02T00:00:00.000000"

    def test_a_partition_without_commits_has_no_times(self, store: StatusStore) -> None:
        """A claim is no commit: nothing is known of events, ends or commits."""
        claimed = status(store)
        assert (claimed.newest_event_time, claimed.end_offset, claimed.end_seen_at, claimed.committed_at) == (None, None, None, None)

    def test_a_commit_is_dated(self, store: StatusStore) -> None:
        """Each partition that moved says when, RFC 3339 in UTC."""
        store.commit(Commit(advances=[advance(0, 5)]))

        committed_at = status(store).committed_at
        assert committed_at is not None
        assert committed_at.endswith("Z")
        assert status(store, OTHER).committed_at is None

    @pytest.mark.parametrize("part", ["offset", "identity", "new task", "known task", "retried", "retried twice"])
    def test_a_refused_commit_writes_nothing(self, store: StatusStore, part: str) -> None:
        """Promise 2: whichever part of a commit is refused, all that is stored stays as it was."""
        revision = store.commit(
            Commit(writes=[write("a"), write("b"), write("z")], advances=[advance(0, 5)], parked=[parked(1), parked(2)], jumps=[jump(1)])
        )
        store.commit(Commit(writes=[write("z", loaded=revision)]))
        advances = [advance(0, 1, at=OTHER), advance(5, 9, counters=Counters(4, 4))]
        writes = [write("a", b"changed", loaded=revision), write("new", b"new")]
        retried = [Retried(number=1, at=AT, outcome="applied")]
        if part == "offset":
            advances.append(advance(4, 9))
        elif part == "identity":
            advances.append(Advance(expected=position(identity="log:2", next_offset=9), next=position(), counters=Counters()))
        elif part == "new task":
            writes.append(write("z"))
        elif part == "known task":
            writes.append(write("z", loaded=revision))
        else:
            retried.append(Retried(number=99 if part == "retried" else 1, at=AT, outcome="applied"))
        refused = Commit(writes=writes, advances=advances, parked=[parked(7)], retried=retried, jumps=[jump(2)])

        before = everything(store)
        with pytest.raises((PositionConflict, StateConflict)):
            store.commit(refused)

        assert everything(store) == before

    def test_what_was_refused_can_be_committed_afterwards(self, store: StatusStore) -> None:
        """Promise 2: a refusal leaves nothing locked and nothing reserved."""
        with pytest.raises(PositionConflict):
            store.commit(Commit(writes=[write("a")], advances=[advance(1, 5)]))
        store.commit(Commit(writes=[write("a")], advances=[advance(0, 5)]))

        assert set(store.load(["a"])) == {"a"}

    def test_a_new_task_that_another_writer_made_is_a_conflict(self, store: StatusStore) -> None:
        """Promise 3: who did not see the task may not overwrite it."""
        store.commit(Commit(writes=[write("a", b"theirs")]))
        with pytest.raises(StateConflict) as caught:
            store.commit(Commit(writes=[write("a", b"ours")]))

        assert caught.value.task_ids == ("a",)
        assert store.load(["a"])["a"].registers == b"theirs"

    def test_a_task_that_another_writer_changed_is_a_conflict(self, store: StatusStore) -> None:
        """Promise 3: who loaded an older revision may not overwrite the newer."""
        loaded = store.commit(Commit(writes=[write("a", b"first")]))
        store.commit(Commit(writes=[write("a", b"theirs", loaded=loaded)]))
        with pytest.raises(StateConflict) as caught:
            store.commit(Commit(writes=[write("a", b"ours", loaded=loaded)]))

        assert caught.value.task_ids == ("a",)
        assert store.load(["a"])["a"].registers == b"theirs"

    def test_a_revision_of_a_task_that_is_not_there_is_a_conflict(self, store: StatusStore) -> None:
        """Promise 3: a task can't have been loaded that the store has not."""
        with pytest.raises(StateConflict) as caught:
            store.commit(Commit(writes=[write("a", loaded=1)]))

        assert caught.value.task_ids == ("a",)

    def test_a_conflict_names_exactly_the_changed_tasks(self, store: StatusStore) -> None:
        """Promise 3: of new and known tasks, those are named that another writer made or changed, and no others."""
        loaded = store.commit(Commit(writes=[write(f"known-{index:04}") for index in range(600)]))
        changed = [f"known-{index:04}" for index in (0, 7, 599)]
        made = [f"new-{index:04}" for index in (0, 300, 599)]
        store.commit(Commit(writes=[*(write(id, loaded=loaded) for id in changed), *map(write, made)]))
        known = [write(f"known-{index:04}", b"ours", loaded=loaded) for index in range(600)]
        new = [write(f"new-{index:04}", b"ours") for index in range(600)]
        with pytest.raises(StateConflict) as caught:
            store.commit(Commit(writes=known + new))

        assert set(caught.value.task_ids) == {*changed, *made}

    def test_after_a_reload_the_commit_passes(self, store: StatusStore) -> None:
        """Promise 3: the revision that a reload gives is the one that a commit is held to."""
        store.commit(Commit(writes=[write("a", b"theirs")]))
        with pytest.raises(StateConflict):
            store.commit(Commit(writes=[write("a", b"ours")]))
        store.commit(Commit(writes=[write("a", b"both", loaded=store.load(["a"])["a"].revision)]))

        assert store.load(["a"])["a"].registers == b"both"

    def test_other_tasks_of_another_writer_are_no_conflict(self, tmp_path: Path) -> None:
        """Promise 3: writers with different tasks and partitions never meet."""
        with self.open(tmp_path) as first, self.open(tmp_path) as second:
            first.claim([position()])
            second.claim([position(OTHER)])
            first.commit(Commit(writes=[write("a")], advances=[advance(0, 1)]))
            second.commit(Commit(writes=[write("b")], advances=[advance(0, 1, at=OTHER)]))

            assert set(first.load(["a", "b"])) == {"a", "b"}
