"""What `TaskQuery` asks of a store. Reading blocks, so it is done in threads; one snapshot is used by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from tracker.errors import UsageError
from tracker.fold.state import TaskState, from_bytes
from tracker.fold.view import columns
from tracker.model.limits import Limits
from tracker.model.records import Place
from tracker.model.rows import Columns
from tracker.query.fields import FIELDS, Field, suggestion
from tracker.query.filters import Node, parse
from tracker.query.pages import Key, Order
from tracker.stores.base import Jump, ParkedRecord, PartitionStatus, StoreSize

T = TypeVar("T")
Filters: TypeAlias = str | Node | None
"""A filter as text or as its tree; None: all tasks."""


def parsed(filters: Filters, now: datetime | None = None) -> Node | None:
    """The tree of a filter; ``now`` is the moment that its relative times go from. Raises UsageError where the text is wrong."""
    return parse(filters, now=now) if isinstance(filters, str) else filters


def field_named(name: str, what: str) -> Field:
    """The field that is asked for by its name; the UsageError begins with ``what`` ("counts are by")."""
    field = FIELDS.get(name)
    if field is None:
        raise UsageError(f'{what} a field, and there is no "{name}"{suggestion(name, FIELDS) or "; fields are " + ", ".join(FIELDS)}')
    return field


Stored: TypeAlias = tuple[str, int, bytes]
"""What a `Row` is made of: id, revision and registers."""


class Row:
    """One task as a snapshot has it. Its state, and the columns that follow from it, are read out when they are first asked for."""

    __slots__ = ("_columns", "_state", "id", "key", "registers", "revision")

    def __init__(self, id: str, revision: int, registers: bytes, key: Key = (), columns: Columns | None = None) -> None:
        self.id = id
        self.revision = revision
        self.registers = registers
        self.key = key
        """The values of the fields that the listing is sorted by."""
        self._state: TaskState | None = None
        self._columns = columns

    @property
    def state(self) -> TaskState:
        """Raises `StoreError` where the stored bytes are damaged."""
        if self._state is None:
            self._state = from_bytes(self.registers)
        return self._state

    @property
    def columns(self) -> Columns | None:
        """The scalar fields; None if the task is deleted."""
        if self._columns is None:
            self._columns = columns(self.id, self.state)
        return self._columns


class Scan(msgspec.Struct):
    """How far a listing may look where its filter has to be decided row by row, and how far it looked."""

    limit: int | None = None
    """Rows that may be looked at; None: all."""
    bytes_left: int = 100_000_000
    """Of the states that may be looked at, where there is a limit: another bound of the same second of work, for great ones."""
    looked_at: int = 0
    """Rows decided one by one; 0 where the store found what matches by itself."""
    last: Key = ()
    """The key of the last row looked at."""
    ended: bool = False
    """Whether the limit ended it: there are rows that were not looked at."""


class Facts(msgspec.Struct):
    """What a store says of itself."""

    partitions: Sequence[PartitionStatus]
    jumps: Sequence[Jump]
    parked_by_reason: dict[str, int]
    tasks: int
    purged: int
    """Tasks of which attempts were purged."""
    size: StoreSize | None
    """None for a store in memory."""
    revision: int
    rebuild: dict[str, Any] | None = None
    """How the last rebuild stands, as it has noted it; None if there was none."""


class Snapshot(Protocol):
    """The store as it was at one moment. Tasks that are deleted are not there, except in ``task``, ``tasks`` and ``changed``."""

    limits: Limits

    @property
    def store(self) -> str:
        """The store's own name: its revisions mean nothing in another."""
        ...

    @property
    def kept_by(self) -> str:
        """What keeps the store, with its version, for people."""
        ...

    @property
    def indexed(self) -> Mapping[str, Place]:
        """The attributes that have an index, and the place in the store's changes up to which it goes; see `tracker.query.attributes`."""
        ...

    def task(self, id: str) -> Row | None: ...

    def tasks(self, ids: Sequence[str]) -> Iterator[Row]:
        """Those of them that the store has, deleted or not, in any order."""
        ...

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
        """Matching tasks in the order, those after the key, without the first ``offset``; read as they are asked for."""
        ...

    def stored(self, where: Node | None, order: Order) -> Iterator[Stored]:
        """`rows` as they are stored: for who reads a million of them, each object counts."""
        ...

    def count(self, where: Node | None, *, stop: int | None = None, scan: Scan | None = None) -> int:
        """How many match; counted no further than ``stop``."""
        ...

    def counts(self, where: Node | None, by: Field, *, limit: int | None = None) -> dict[str | int | None, int]:
        """How many have each value; with a limit those values that most have (of equally many the least)."""
        ...

    def ends(self, where: Node | None, field: Field) -> tuple[str, str] | None:
        """The least and the greatest value of a time among matching tasks; None if none has one."""
        ...

    def moments(self, where: Node | None, field: Field, length: int, by: Field | None) -> Iterable[tuple[str, str | int | None, int]]:
        """How many matching tasks have each beginning of a time (its first ``length`` characters) and each value of ``by``."""
        ...

    def values(self, where: Node | None, fields: Sequence[Field]) -> Iterator[tuple[Any, ...]]:
        """Matching tasks' values of fields that have a column, read as they are asked for, in no order; no state is read where SQL can say
        the filter. Times are 27 characters, as in `tracker.model.rows.Columns`.
        """
        ...

    def children(self, ids: Sequence[str], limit: int) -> Iterator[Row]:
        """Tasks with one of these parents, by parent and id, at most ``limit`` (1 or more); each row's key is its parent's id."""
        ...

    def parents_among(self, ids: Sequence[str]) -> set[str]:
        """Those of them that are a task's parent."""
        ...

    def changed(self, revision: int, where: Node | None) -> Iterator[Row]:
        """Tasks of later revisions, by revision and id; deleted ones are among them whatever the filter."""
        ...

    def changed_ids(self, revision: int) -> Iterator[tuple[str, int]]:
        """Ids and revisions of the tasks of later revisions, by revision and id, deleted ones among them; no state is read."""
        ...

    def changed_count(self, revision: int, stop: int) -> int:
        """How many tasks, deleted ones among them, are of later revisions; counted no further than ``stop``."""
        ...

    def revision(self) -> int: ...

    def partitions(self) -> Sequence[PartitionStatus]: ...

    def facts(self) -> Facts: ...

    def parked(self, *, after: int, limit: int, reason: str | None) -> Sequence[ParkedRecord]: ...

    def parked_record(self, number: int) -> ParkedRecord | None: ...


Question: TypeAlias = Callable[[Snapshot], T]
"""What can be asked of a snapshot."""


class Reader(Protocol):
    """An open store, for reading."""

    limits: Limits
    quick: bool
    """Whether a snapshot and a row cost some microseconds, less than a hop to another thread does."""

    def snapshot(self, timeout_s: float | None = None, stop: threading.Event | None = None) -> AbstractContextManager[Snapshot]:
        """The store as it is now. With a time limit, reading it raises `TooLong` later than that; with a ``stop``, once that is set; with
        either, once the reader is closed. A store in memory, which is small, knows neither.
        """
        ...

    def commits(self) -> CommitWait:
        """What waits for commits, for one thread. Raises `StoreError`."""
        ...

    def close(self) -> None: ...


class CommitWait(Protocol):
    """Waits for commits of whoever, in one thread."""

    def wait(self, stop: threading.Event) -> bool:
        """True after a commit (the first time at once, then never later than 50 ms after it), False once ``stop`` is set."""
        ...

    def wake(self) -> None:
        """From another thread: look at ``stop`` now."""
        ...

    def close(self) -> None: ...
