"""Waiting until the store has read so far: reached, timed out, or impossible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from tracker.model.records import Position
from tracker.query.freshness import Freshness
from tracker.query.tokens import from_vector
from tracker.sources.files import FileIdentity

Positions: TypeAlias = Position | Iterable[Position] | str
"""Positions, or the text of an earlier answer that has them."""


class Reached(msgspec.Struct, frozen=True, tag=True):
    """The store has read everything before the positions."""

    freshness: Freshness


class Behind(msgspec.Struct, frozen=True):
    """A partition that is not there yet."""

    wanted: Position
    stored: int | None
    """The next offset that the store has; None: no worker has begun with the partition."""


class TimedOut(msgspec.Struct, frozen=True, tag=True):
    """The store was still behind at the end of the time."""

    behind: Sequence[Behind]
    freshness: Freshness
    """How far it was, with the lag."""

    @property
    def reason(self) -> str:
        """One sentence."""
        first, lag = self.behind[0], self.freshness.lag_records
        at = "has not begun with it" if first.stored is None else f"is at {first.stored}"
        more = f" ({len(self.behind) - 1} more partitions are behind)" if len(self.behind) > 1 else ""
        known = (
            "; how far it is behind the log is not known: is a worker alive?" if lag is None else f"; {lag} records behind the log in all"
        )
        return f"{first.wanted.topic}, partition {first.wanted.partition}: waited for offset {first.wanted.next_offset}, the store {at}{more}{known}"


class Impossible(msgspec.Struct, frozen=True, tag=True):
    """However long one waits, this store does not get there."""

    reason: str
    """One sentence."""


Ending: TypeAlias = Reached | TimedOut | Impossible


def wanted(positions: Positions) -> list[Position]:
    """As a list. UsageError: the text is none of ours."""
    if isinstance(positions, str):
        return from_vector(positions)
    return [positions] if isinstance(positions, Position) else list(positions)


def standing(positions: Iterable[Position], freshness: Freshness) -> list[Behind] | Impossible:
    """What the store is still behind of, as it is now; nothing: reached."""
    stored = {position.at: position for position in freshness.positions}
    topics: dict[str, Position] = {}
    for each in freshness.positions:
        if each.identity or each.topic not in topics:
            topics[each.topic] = each
    behind = []
    for position in positions:
        if stored and position.topic not in topics:
            return Impossible(f"the store reads {_names(topics)}, and never {position.topic}: name the store that reads it")
        held = stored.get(position.at)
        other = topics.get(position.topic) if held is None else held
        if other is not None and not _is_same_log(position.identity, other.identity):
            return Impossible(
                f"the store's {position.topic} is another one ({other.identity}) than the position's ({position.identity}): "
                f"its offsets can't be compared"
            )
        if position.next_offset > (0 if held is None else held.next_offset):
            behind.append(Behind(position, None if held is None else held.next_offset))
    return behind


def _names(topics: Iterable[str]) -> str:
    names = sorted(topics)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _is_same_log(one: str, other: str) -> bool:
    """As far as is known: an identity may be empty, and that of a file is written anew while its first line grows."""
    if one == other or not one or not other:
        return True
    first, second = FileIdentity.parse(one), FileIdentity.parse(other)
    if first is None or second is None:
        return False
    return first.same_inode == second.same_inode or (first.length, first.digest) == (second.length, second.digest)
