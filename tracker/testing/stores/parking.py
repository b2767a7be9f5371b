"""Parked records in a store: kept as they were, listed, dropped, tried again."""

from __future__ import annotations

import pytest

from tracker.errors import PositionConflict
from tracker.model.records import Record
from tracker.stores.base import Commit, Counters, ParkedRecord, Retried, StatusStore
from tracker.testing.stores.values import AT, advance, everything, parked, status, write
from tracker.testing.stores.workers import StoreTests


class ParkedTests(StoreTests):
    """Refused records, and the counts that they leave."""

    def test_a_parked_record_comes_back_as_it_was(self, store: StatusStore) -> None:
        """Value, key, headers and timestamp, whatever bytes they are, and why it was refused."""
        headers = (("ce_id", b"\xff\0"), ("empty", b""), ("none", None), ("ce_id", b"again"))
        given = ParkedRecord(record=Record("events", 0, 2**40, b"\0\xff", b"\xfe", headers, 2**41), reason="not-json", detail="é\0")
        store.commit(Commit(parked=[given]))
        (held,) = store.parked()

        assert (held.record, held.reason, held.detail, held.dropped) == (given.record, "not-json", "é\0", False)

    def test_a_parked_record_may_lack_all_but_its_place(self, store: StatusStore) -> None:
        """A null value, no key, no headers and no timestamp stay what they are."""
        given = Record("events", 0, 0, None)
        store.commit(Commit(parked=[ParkedRecord(record=given, reason="not-an-event", detail="")]))

        assert store.parked()[0].record == given

    def test_parked_records_are_numbered_in_order(self, store: StatusStore) -> None:
        """Numbers begin at 1 and ascend in the order of the commits and within each."""
        store.commit(Commit(parked=[parked(5), parked(3)]))
        store.commit(Commit(parked=[parked(9)]))

        assert [(each.number, each.record.offset) for each in store.parked()] == [(1, 5), (2, 3), (3, 9)]

    def test_parked_records_are_paged(self, store: StatusStore) -> None:
        """``after`` and ``limit`` cut the list by number."""
        store.commit(Commit(parked=[parked(offset) for offset in range(7)]))

        assert [each.number for each in store.parked(after=2, limit=3)] == [3, 4, 5]
        assert [each.number for each in store.parked(after=6)] == [7]
        assert store.parked(after=7) == []

    def test_parked_records_are_filtered_by_reason(self, store: StatusStore) -> None:
        """``reason`` and the paging go together."""
        store.commit(Commit(parked=[parked(offset, ("not-json", "too-large")[offset % 2]) for offset in range(8)]))

        assert [each.number for each in store.parked(reason="too-large", after=2, limit=2)] == [4, 6]
        assert store.parked(reason="future-time") == []

    def test_one_parked_record_is_found_by_its_number(self, store: StatusStore) -> None:
        """A number that is not there gives None."""
        store.commit(Commit(parked=[parked(4), parked(5)]))
        found = store.parked_record(2)

        assert found is not None
        assert (found.number, found.record.offset) == (2, 5)
        assert store.parked_record(3) is None

    def test_dropping_deletes_the_bytes_alone(self, store: StatusStore) -> None:
        """Place, reason, detail and number of a dropped record stay, and so do its partition's counts."""
        given = ParkedRecord(record=Record("events", 0, 5, b"value", b"key", (("a", b"b"),), 17), reason="not-json", detail="d")
        store.commit(Commit(advances=[advance(0, 6, counters=Counters(1, 0, 0, 0, 1))], parked=[given]))
        dropped = store.drop_parked([1])
        held = store.parked_record(1)

        assert dropped == 1
        assert held == ParkedRecord(
            record=Record("events", 0, 5, None, None, (), 17), reason="not-json", detail="d", number=1, dropped=True
        )
        assert status(store).counters.parked == 1

    def test_dropping_counts_what_had_bytes(self, store: StatusStore) -> None:
        """A record that was dropped before, and a number that is not there, do not count."""
        store.commit(Commit(parked=[parked(1), parked(2), parked(3)]))
        store.drop_parked([2])

        assert store.drop_parked([1, 2, 3, 4]) == 2
        assert store.drop_parked([]) == 0

    @pytest.mark.parametrize("outcome", ["applied", "unchanged", "ignored"])
    def test_a_retried_record_moves_its_count(self, store: StatusStore, outcome: str) -> None:
        """It leaves the list, and the sum of its partition's counters stays the same."""
        store.commit(Commit(advances=[advance(0, 4, counters=Counters(4, 1, 1, 1, 1))], parked=[parked(1)]))
        store.commit(Commit(writes=[write("a")], retried=[Retried(number=1, at=AT, outcome=outcome)]))
        counters = status(store).counters

        assert store.parked() == []
        assert (counters.read, counters.parked, getattr(counters, outcome)) == (4, 0, 2)
        assert counters.balanced

    def test_a_record_is_retried_once(self, store: StatusStore) -> None:
        """The second of two workers that retry it at the same time is refused."""
        store.commit(Commit(advances=[advance(0, 1, counters=Counters(1, 0, 0, 0, 1))], parked=[parked(0)]))
        store.commit(Commit(retried=[Retried(number=1, at=AT, outcome="ignored")]))
        with pytest.raises(PositionConflict):
            store.commit(Commit(retried=[Retried(number=1, at=AT, outcome="ignored")]))

    @pytest.mark.parametrize("outcome", ["parked", "read", "next_offset"])
    def test_a_retried_record_becomes_nothing_else(self, store: StatusStore, outcome: str) -> None:
        """Another outcome is a mistake of the program: ValueError, and nothing changes."""
        store.commit(Commit(advances=[advance(0, 1, counters=Counters(1, 0, 0, 0, 1))], parked=[parked(0)]))
        before = everything(store)
        with pytest.raises(ValueError, match=outcome):
            store.commit(Commit(writes=[write("a")], retried=[Retried(number=1, at=AT, outcome=outcome)]))

        assert everything(store) == before

    def test_a_number_is_never_given_twice(self, store: StatusStore) -> None:
        """The number of a record that was retried is not another one's later."""
        store.commit(Commit(advances=[advance(0, 2, counters=Counters(2, 0, 0, 0, 2))], parked=[parked(0), parked(1)]))
        store.commit(Commit(retried=[Retried(number=2, at=AT, outcome="ignored")]))
        store.commit(Commit(parked=[parked(7)]))

        assert [each.number for each in store.parked()] == [1, 3]
