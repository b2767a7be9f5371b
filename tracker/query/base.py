"""What `TaskQuery` asks of a store. Reading blocks, so it is done in threads; one snapshot is used by one thread at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from tracker.fold.state import TaskState
from tracker.model.limits import Limits
from tracker.query.fields import Field
from tracker.query.filters import Node
from tracker.query.pages import Key, Order
from tracker.stores.base import Jump, ParkedRecord, PartitionStatus


class Row(msgspec.Struct):
    """One task as a snapshot has it."""

    id: str
    revision: int
    state: TaskState
    key: Key = ()
    """The values of the fields that the listing is sorted by."""


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

    def facts(self) -> Facts: ...

    def parked(self, *, after: int, limit: int, reason: str | None) -> Sequence[ParkedRecord]: ...

    def parked_record(self, number: int) -> ParkedRecord | None: ...


class Reader(Protocol):
    """An open store, for reading."""

    limits: Limits

    def snapshot(self) -> AbstractContextManager[Snapshot]: ...

    def close(self) -> None: ...
