"""Several workers at one store at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tracker.errors import PositionConflict, StateConflict
from tracker.stores.base import Commit
from tracker.testing.stores.values import AT, advance, in_threads, position, status, write
from tracker.testing.stores.workers import StoreTests


class ConcurrencyTests(StoreTests):
    """Writers that meet lose nothing."""

    def test_two_writers_of_the_same_tasks_lose_nothing(self, tmp_path: Path) -> None:
        """Promises 2 to 4: each write reads a number and adds 1; who conflicts reloads. In the end all additions are there."""
        ids, rounds = ["a", "b", "c"], 25
        revisions: list[int] = []

        def add_up() -> None:
            with self.open(tmp_path) as store:
                for _ in range(rounds):
                    while True:
                        loaded = store.load(ids)
                        writes = [
                            write(id, str(int(held.registers) + 1).encode(), loaded=held.revision)
                            if (held := loaded.get(id))
                            else write(id, b"1")
                            for id in ids
                        ]
                        try:
                            revisions.append(store.commit(Commit(writes=writes)))
                        except StateConflict:
                            continue
                        break

        with self.open(tmp_path) as store:
            in_threads(add_up, add_up)

            assert {id: loaded.registers for id, loaded in store.load(ids).items()} == dict.fromkeys(ids, str(2 * rounds).encode())
        assert len(set(revisions)) == 2 * rounds

    def test_two_owners_of_a_partition_read_each_offset_once(self, tmp_path: Path) -> None:
        """Promises 1 and 2: two workers that both believe they own a partition count each of its records exactly once."""
        records = 40

        def read() -> None:
            with self.open(tmp_path) as store:
                offset = store.claim([position()])[AT].next_offset
                while offset < records:
                    try:
                        store.commit(Commit(advances=[advance(offset, offset + 1)]))
                        offset += 1
                    except PositionConflict:
                        offset = store.claim([position()])[AT].next_offset

        with self.open(tmp_path) as store:
            in_threads(read, read)

            assert status(store).position.next_offset == records
            assert status(store).counters.read == records

    def test_claims_at_the_same_time_agree(self, tmp_path: Path) -> None:
        """Promise 1: of several first claims one seeds the position, and all get it."""
        claimed: list[int] = []

        def claim(offset: int) -> Callable[[], None]:
            def run() -> None:
                with self.open(tmp_path) as store:
                    claimed.append(store.claim([position(next_offset=offset)])[AT].next_offset)

            return run

        in_threads(*map(claim, range(4)))
        with self.open(tmp_path) as store:
            assert claimed == [status(store).position.next_offset] * 4
