"""What an emitter promises: events are written to a log, and it says where each one stands."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import msgspec

from tracker.model.records import Position


class Outgoing(msgspec.Struct, frozen=True):
    """One event to write."""

    task_id: str
    """The key of a Kafka record, so that a task's events stay in one partition and in order."""
    value: bytes
    """The whole event in structured form: JSON in UTF-8, on one line, without a newline."""


class Emitter(Protocol):
    """Writes events to one log.

    Promises:

    1. ``emit`` returns once all events are written durably, in the order given, and gives for each the position *after* it: a reader
       whose position has reached that has folded the event. Position and source speak of the same topic, partition and identity.
    2. Where it raises `EmitError`, some events may have been written (a repetition does no harm: an event is known by its identity).
    3. It never blocks the event loop.
    4. ``why_unread`` says beforehand why a projection at these positions would never fold what is written; None where it would.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    async def emit(self, events: Sequence[Outgoing]) -> list[Position]:
        """The position after each event, in the order given."""
        ...

    async def why_unread(self, positions: Sequence[Position]) -> str | None:
        """One sentence; None where a reader at these positions comes to what is written."""
        ...
