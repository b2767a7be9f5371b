"""What a topic of statuses promises: the newest status of each task under its id, and with it how far the store was published."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

import msgspec


class StatusRecord(NamedTuple):
    """What is said of one task."""

    task_id: str
    """The record's key."""
    value: bytes | None
    """The status as JSON in UTF-8; None, a tombstone, where there is no such task any more."""
    revision: int
    """The status is that of the store at this revision, or a later one."""


class Publication(msgspec.Struct, frozen=True, rename="camel"):
    """One run through a store from its beginning. A topic may have had several, one after the other; each record says of which it is."""

    number: int
    """From 1."""
    store: str
    """The store's own name, which a rebuild changes: revisions of one mean nothing in another."""
    place: str = ""
    """What stands for the store's address, which a rebuild does not change."""
    extension: bool = False
    """Whether statuses have the key ``tracker``."""


class Reached(NamedTuple):
    """The last that is published, read off the topic itself: everything before it, by revision and task id, is published too."""

    publication: Publication
    revision: int
    task_id: str


class StatusTopic(Protocol):
    """A topic that one publisher at a time writes to.

    Promises:

    1. ``open`` takes the topic over: whoever had opened it before writes nothing more, and what he had begun is as if it had never been.
       It gives what is reached by then; None where there is nothing. It can be called again after `EmitUnavailable`.
    2. ``write`` is all or nothing: who reads only what is committed sees all of the records, or none. Where it raises `EmitUnavailable`, which of
       the two is not known, and ``open`` tells.
    3. A task's records stay in the order in which they were written.
    4. ``task_ids`` gives the ids of all tasks that have a status in the topic when it is called, some of them more than once, and maybe some that
       have had one. Raises `TopicUnfit` for a record that no publisher has written.
    5. Nothing waits longer than a minute for a broker: `EmitUnavailable` (retriable). `TopicUnfit` is what an operator must decide.
    """

    name: str
    """As messages have it."""

    async def open(self) -> Reached | None:
        """Take it over, and tell how far it is published."""
        ...

    def is_source(self, topic: str, identity: str) -> bool:
        """Whether a log that a store has read is this very topic."""
        ...

    async def write(self, publication: Publication, records: Sequence[StatusRecord]) -> None:
        """All of them in one transaction."""
        ...

    def task_ids(self) -> AsyncGenerator[Sequence[str], None]:
        """The ids of the tasks that it has, in chunks."""
        ...

    async def close(self) -> None:
        """Let go of it, within some seconds."""
        ...
