"""What a source of records promises; the suite in ``tracker.testing.sources`` holds every source to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Protocol, Self

from tracker.model.records import Batch, Position, TopicPartition

OnRevoked = Callable[[frozenset[TopicPartition]], Awaitable[None]]
"""Called (and awaited) before partitions are given up: finish or drop the running batch, then return."""


class Source(Protocol):
    """A set of ordered logs. One task of the event loop drives it: assigned, seek, then read until ended or reassigned.

    Promises:

    1. ``assigned`` waits until there is an assignment and gives, for each partition of it, where its log begins,
       with the log's identity. Nothing is read before ``seek`` was called for this assignment.
    2. ``seek`` raises `LostOffset` for positions outside the log (all of them in one error) and `SourceChanged` for
       a position whose identity is another log's. Then nothing has moved.
    3. ``read`` gives records in offset order, each once after a seek, at most ``max_records``, waits at most
       ``max_wait_s`` for the first one, and never blocks the event loop for long. ``positions`` of the batch go exactly to
       where the next read begins; they move over markers and compacted records too.
    4. After an assignment has changed, ``read`` gives one empty batch with ``reassigned`` and no record of the old assignment.
    5. ``ends`` are the offsets where the log ends now (Kafka: the last stable offset), exclusive.
    6. A cancelled ``read`` loses nothing that a new ``seek`` does not bring back.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    async def assigned(self) -> Mapping[TopicPartition, Position]: ...

    async def seek(self, positions: Iterable[Position]) -> None: ...

    async def read(self, max_records: int, max_wait_s: float) -> Batch: ...

    async def ends(self) -> Mapping[TopicPartition, Position]: ...

    async def committed(self, positions: Iterable[Position]) -> None:
        """The store has these positions now: tell the log, for lag displays of others. Never raises for a broker that is away."""
        ...
