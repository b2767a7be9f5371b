"""What `TaskQuery` asks of a store. Reading blocks, so it is done in threads; one snapshot is used by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from tracker.fold.state import TaskState, from_bytes
from tracker.fold.view import columns
from tracker.model.limits import Limits
from tracker.model.rows import Columns
from tracker.query.fields import Field
from tracker.query.filters import Node
from tracker.query.pages import Key, Order
from tracker.stores.base import Jump, ParkedRecord, PartitionStatus


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


class Facts(msgspec.Struct):
    """What a store says of itself."""

    partitions: Sequence[PartitionStatus]
    jumps: Sequence[Jump]
    parked_by_reason: dict[str, int]
    tasks: int
    store_bytes: int | None
    """Size of its files; None for a store in memory."""
    revision: int


class Snapshot(Protocol):
    """The store as it was at one moment. Tasks that are deleted are not there, except in ``task`` and ``changed``."""

    limits: Limits

    @property
    def store(self) -> str:
        """The store's own name: its revisions mean nothing in another."""
        ...

    def task(self, id: str) -> Row | None: ...

    def rows(self, where: Node | None, order: Order, *, after: Key | None = None, limit: int | None = None) -> Iterator[Row]:
        """Matching tasks in the order, those after the key; read as they are asked for."""
        ...

    def count(self, where: Node | None) -> int: ...

    def counts(self, where: Node | None, by: Field) -> dict[str | int | None, int]: ...

    def changed(self, revision: int, where: Node | None) -> Iterator[Row]:
        """Tasks of later revisions, by revision and id; deleted ones are among them whatever the filter."""
        ...

    def revision(self) -> int: ...

    def partitions(self) -> Sequence[PartitionStatus]: ...

    def facts(self) -> Facts: ...

    def parked(self, *, after: int, limit: int, reason: str | None) -> Sequence[ParkedRecord]: ...

    def parked_record(self, number: int) -> ParkedRecord | None: ...


class Reader(Protocol):
    """An open store, for reading."""

    limits: Limits

    def snapshot(self) -> AbstractContextManager[Snapshot]: ...

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
