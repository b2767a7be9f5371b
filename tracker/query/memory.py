"""Reading a memory store: the same answers as from a file, by Python predicates and sorts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, cmp_to_key
from itertools import islice
from typing import Any

from tracker.model.records import Place
from tracker.query.base import Facts, Row, Scan, Stored
from tracker.query.fields import Field
from tracker.query.filters import Node
from tracker.query.pages import BY_ID, Key, Order
from tracker.query.predicate import Predicate, compile_predicate, reader
from tracker.query.scan import Scalar, counts, decided, ends, moments, most, values
from tracker.stores.base import Write
from tracker.stores.memory import MemoryStore


class MemorySnapshot:
    """The tasks of one moment; see `tracker.query.base.Snapshot`. Positions and parked records are as they are when asked for."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._tasks, self._revision = store.moment()
        self.store = store.name
        self.parked = store.parked
        self.parked_record = store.parked_record
        self.partitions = store.partitions
        self.limits = store.limits

    def _living(self, where: Node | None) -> Iterator[Row]:
        matches: Predicate = (lambda _row: True) if where is None else compile_predicate(where)
        for write, revision in self._tasks.values():
            if write.columns is not None and matches(row := _row(write, revision)):
                yield row

    @property
    def indexed(self) -> Mapping[str, Place]:
        """None: every task is looked at."""
        return {}

    @property
    def kept_by(self) -> str:
        """No database."""
        return "this process"

    def revision(self) -> int:
        """Of the moment of the tasks: what came later is not there."""
        return self._revision

    def task(self, id: str) -> Row | None:
        """The task, deleted or not."""
        held = self._tasks.get(id)
        return None if held is None else _row(*held)

    def tasks(self, ids: Sequence[str]) -> Iterator[Row]:
        """Those of them that are there, deleted or not."""
        return (_row(*self._tasks[id]) for id in ids if id in self._tasks)

    def rows(
        self,
        where: Node | None,
        order: Order,
        *,
        after: Key | None = None,
        offset: int = 0,
        limit: int | None = None,
        scan: Scan | None = None,
    ) -> Iterator[Row]:
        """Matching tasks in the order."""
        rest = None
        if where is not None and scan is not None:
            # A scan counts the rows that a database would look at, so that pages end alike.
            from tracker.query.clauses import split

            where, rest = split(where)
        reads = [reader(sort.field) for sort in order]
        found = list(self._living(where))
        for row in found:
            row.key = tuple(read(row) for read in reads)
        later = _later(order)
        found.sort(key=lambda row: later(row.key))
        wanted: Iterable[Row] = found
        if after is not None:
            wanted = (row for row in found if later(after) < later(row.key))
        if rest is not None:
            wanted = decided(wanted, rest, scan)
        yield from islice(wanted, offset, None if limit is None else offset + limit)

    def stored(self, where: Node | None, order: Order) -> Iterator[Stored]:
        """Matching tasks in the order, as they are stored."""
        return ((row.id, row.revision, row.registers) for row in self.rows(where, order))

    def count(self, where: Node | None, *, stop: int | None = None, scan: Scan | None = None) -> int:
        """How many tasks match."""
        found = self._living(where) if scan is None or scan.limit is None else self.rows(where, BY_ID, scan=scan)
        return sum(1 for _ in islice(found, stop))

    def counts(self, where: Node | None, by: Field, *, limit: int | None = None) -> dict[Scalar, int]:
        """How many matching tasks have each value."""
        return most(counts(self._living(where), by), limit)

    def ends(self, where: Node | None, field: Field) -> tuple[str, str] | None:
        """The least and the greatest time."""
        return ends(self._living(where), field)

    def moments(self, where: Node | None, field: Field, length: int, by: Field | None) -> Iterable[tuple[str, Scalar, int]]:
        """How many matching tasks have each beginning of a time and each value."""
        return moments(self._living(where), field, length, by)

    def values(self, where: Node | None, fields: Sequence[Field]) -> Iterator[tuple[Any, ...]]:
        """Matching tasks' values."""
        return values(self._living(where), fields)

    def children(self, ids: Sequence[str], limit: int) -> Iterator[Row]:
        """Tasks with these parents, by parent and id; the key is the parent's id."""
        return islice((row for parent in sorted(ids) for row in self._by_parent.get(parent, ())), limit)

    def parents_among(self, ids: Sequence[str]) -> set[str]:
        """Those of them that are a task's parent."""
        return self._by_parent.keys() & set(ids)

    @cached_property
    def _by_parent(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in sorted(self._living(None), key=lambda row: row.id):
            if row.columns is not None and (parent := row.columns.parent_id) is not None:
                row.key = (parent,)
                found.setdefault(parent, []).append(row)
        return found

    def changed(self, revision: int, where: Node | None) -> Iterator[Row]:
        """Tasks of later revisions, by revision and id."""
        matches: Predicate = (lambda _row: True) if where is None else compile_predicate(where)
        changed = sorted((at, id) for id, (_, at) in self._tasks.items() if at > revision)
        for at, id in changed:
            write, _ = self._tasks[id]
            row = _row(write, at)
            if write.columns is None or matches(row):
                yield row

    def changed_ids(self, revision: int) -> Iterator[tuple[str, int]]:
        """Ids and revisions of the tasks of later revisions, by revision and id."""
        return iter([(id, at) for at, id in sorted((at, id) for id, (_, at) in self._tasks.items() if at > revision)])

    def changed_count(self, revision: int, stop: int) -> int:
        """How many tasks are of later revisions, up to ``stop``."""
        return min(stop, sum(at > revision for _, at in self._tasks.values()))

    def facts(self) -> Facts:
        """What the store says of itself."""
        reasons = Counter(parked.reason for parked in self._store.parked(limit=2**62))
        return Facts(
            partitions=self._store.partitions(),
            jumps=self._store.jumps(),
            parked_by_reason=dict(sorted(reasons.items())),
            tasks=self.count(None),
            size=None,
            purged=self._store.purged_count(),
            revision=self._revision,
        )


def _row(write: Write, revision: int) -> Row:
    return Row(write.task_id, revision, write.registers, columns=write.columns)


def _later(order: Order) -> Callable[[Key], Any]:
    """A wrapper of keys that compares as the order says: text by code point, nulls last in both directions."""

    def compare(one: Key, other: Key) -> int:
        for sort, mine, theirs in zip(order, one, other, strict=True):
            if mine == theirs:
                continue
            if mine is None or theirs is None:
                return 1 if mine is None else -1
            greater = 1 if mine > theirs else -1  # type: ignore[operator]
            return -greater if sort.descending else greater
        return 0

    return cmp_to_key(compare)


class MemoryReader:
    """A memory store that is open in this process."""

    quick = False
    """A snapshot copies the table of tasks."""

    def __init__(self, store: MemoryStore) -> None:
        self._store, self.limits = store, store.limits

    @contextmanager
    def snapshot(self, timeout_s: float | None = None, stop: threading.Event | None = None) -> Iterator[MemorySnapshot]:  # noqa: ARG002 - as readers have it
        """The tasks as they are now."""
        yield MemorySnapshot(self._store)

    def commits(self) -> MemoryCommits:
        """What waits for commits."""
        return MemoryCommits(self._store)

    def close(self) -> None:
        """Nothing to close."""


class MemoryCommits:
    """See `tracker.query.base.CommitWait`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._seen = -1

    def wait(self, stop: threading.Event) -> bool:
        """Until there was a commit (at once the first time), or ``stop``."""
        with self._store.committed:
            self._store.committed.wait_for(lambda: stop.is_set() or self._store.revision() != self._seen)
            self._seen = self._store.revision()
        return not stop.is_set()

    def wake(self) -> None:
        """Look at ``stop``."""
        with self._store.committed:
            self._store.committed.notify_all()

    def close(self) -> None:
        """Nothing to close."""
