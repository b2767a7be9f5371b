"""A store as a whole, read or exchanged: what rebuilding, comparing and copying ask of one, whatever its database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from tracker.model.limits import Limits
from tracker.stores.base import Jump, ParkedRecord, PartitionStatus, StatusStore

STILL_SO = ("end_offset", "end_seen_at", "worker", "claimed_at")
"""Of a position's row, what the workers have said: an exchange does not change that."""


class Holding(NamedTuple):
    """One task as a store holds it."""

    id: str
    registers: bytes
    """The canonical bytes: equal in every store, whatever its database."""
    cells: tuple[Any, ...]
    """What else stands in its row, but for the revision, ``purged_at`` last; comparable in two stores of one kind of database only."""

    @property
    def is_purged(self) -> bool:
        """Whether retention has purged attempts of it, so that its log knows more than the store."""
        return self.cells[-1] is not None


class About(msgspec.Struct, frozen=True):
    """What a store says of itself."""

    store: str
    """Its own name."""
    revision: int
    fold_version: str
    limits: Limits
    tasks: int
    """Rows, deleted ones among them."""
    size_bytes: int


class Contents(Protocol):
    """Everything that a store holds, of one moment. A context manager; used by one thread at a time."""

    where: str
    """The store's URL without secrets, for messages."""
    kind: str
    """sqlite or postgresql."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def about(self) -> About: ...

    def holdings(self) -> Iterator[Holding]:
        """Every task, deleted ones too, ascending by id in code point order; read as they are asked for."""
        ...

    def some(self, task_ids: Iterable[str]) -> Mapping[str, Holding]:
        """Those of them that it has."""
        ...

    def sample(self, count: int, random: Random) -> Sequence[Holding]:
        """So many tasks (fewer where it has not so many), any of them as likely as the others or nearly so; no two the same."""
        ...

    def changed_after(self, revision: int) -> set[str]:
        """Ids of the tasks that later commits wrote."""
        ...

    def purged(self, *, after: str = "", limit: int = 1_000) -> Sequence[str]:
        """Ids of the tasks of which attempts were purged, ascending, those greater than ``after``."""
        ...

    def partitions(self) -> Sequence[PartitionStatus]: ...

    def jumps(self) -> Sequence[Jump]: ...

    def parked_records(self) -> Iterator[ParkedRecord]:
        """By number."""
        ...


class StillLive(Protocol):
    """The live store while its writers wait."""

    def partitions(self) -> Sequence[PartitionStatus]: ...

    def changed_after(self, revision: int) -> set[str]: ...

    def some(self, task_ids: Iterable[str]) -> Mapping[str, Holding]: ...

    def exchange(self, differing: set[str], note: str) -> None:
        """Give the live store the shadow's content, keep what it had, and leave ``note`` in it.

        ``differing`` are the ids of all tasks in which the two differ. Everyone who asks afterwards gets the new content, and everyone
        who asked before the old; its name is a new one, so that workers drop what they have in memory and change tokens are refused.
        """
        ...


class Shadow(Protocol):
    """A second projection beside a live store, its exchange with the live one, and the way back.

    Only one process at a time may use it (`alone`). Each method is whole or has no effect, whenever the process is killed.
    """

    folder: Path
    """For what is on its way into the shadow."""

    def alone(self) -> AbstractContextManager[None]:
        """The right to change the shadow. Raises `StoreError` while another process has it."""
        ...

    def note(self) -> str | None:
        """What `remember` left in the live store."""
        ...

    def remember(self, note: str | None) -> None:
        """Leave a text in the live store for the next run and for ``tracker status``; None takes it away."""
        ...

    @property
    def exists(self) -> bool: ...

    def open(self, limits: Limits | None) -> StatusStore:
        """The shadow as a store; made where it is missing, without secondary indexes."""
        ...

    def finish(self) -> None:
        """Make the indexes that verifying and exchanging need; what is there already stays."""
        ...

    def contents(self) -> Contents: ...

    def live_contents(self) -> Contents:
        """The live store's, of whatever fold version and limits it is."""
        ...

    def live_standing(self) -> AbstractContextManager[StillLive]:
        """The live store, and nobody else writes to it while inside."""
        ...

    def keep_old(self) -> None:
        """After an exchange: what the live store had before becomes the old one; an older one is dropped."""
        ...

    @property
    def has_old(self) -> bool: ...

    def roll_back(self, note: str) -> None:
        """Give the live store what it had when the exchange was made, positions too, and leave ``note`` in it."""
        ...

    def discard(self) -> None:
        """Drop the shadow, and what lies beside it."""
        ...

    def discard_old(self) -> None: ...

    def free_bytes(self) -> int | None:
        """Space that is left for a shadow; None where that is not known."""
        ...
