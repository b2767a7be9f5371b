"""What a record turns out to be: a task event, an ignored event, or a parked record."""

from __future__ import annotations

from typing import Literal

import msgspec

from tracker.fold.shapes import Data

Reason = Literal["too-large", "not-json", "not-an-event", "invalid-data", "future-time"]
REASONS: tuple[Reason, ...] = ("too-large", "not-json", "not-an-event", "invalid-data", "future-time")
"""Why a record is parked, in the order in which the rules are looked at."""


class TaskEvent(msgspec.Struct, frozen=True, gc=False):
    """A valid event of one task. Made once an event: flat, and without datetime objects."""

    kind: str
    task_id: str
    attempt: int
    time: str
    """26 characters of UTC, see ``model.times``."""
    stamp: str
    """The contract's tuple (attempt, sequence, time, source, id) as one text that compares as the tuple does."""
    data: Data


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """An event of a type that is not ours: counted, and never looked into."""


class Parked(msgspec.Struct, frozen=True, gc=False):
    """A record that is no valid event: the first rule broken, and one sentence with what was expected and what came."""

    reason: Reason
    detail: str


IGNORED = Ignored()


class StampParts(msgspec.Struct, frozen=True):
    """A stamp taken apart."""

    attempt: int
    sequence: int
    time: str
    source: str
    id: str


def number(value: int) -> str:
    """An integer from 0 to 10**43 as text that compares as the number does: how many digits there are, then the digits."""
    digits = str(value)
    return chr(48 + len(digits)) + digits


def stamp_of(attempt: int, sequence: int, time: str, source: str, id: str) -> str:
    """One text for the stamp. Sources and ids have no control characters, so U+0000 separates them and sorts before all."""
    return f"{number(attempt)}{number(sequence)}{time}{source}\0{id}"


def stamp_head(stamp: str) -> int:
    """Where a stamp's source begins: what stands before is attempt, sequence and time."""
    sequence_at = ord(stamp[0]) - 46
    return sequence_at + ord(stamp[sequence_at - 1]) - 48 + 26


def stamp_attempt(stamp: str) -> int:
    """The attempt of a stamp."""
    return int(stamp[1 : ord(stamp[0]) - 47])


def stamp_time(stamp: str) -> str:
    """The time of a stamp, 26 characters of UTC."""
    head = stamp_head(stamp)
    return stamp[head - 26 : head]


def stamp_parts(stamp: str) -> StampParts:
    """A stamp taken apart again."""
    head = stamp_head(stamp)
    source, _, id = stamp[head:].partition("\0")
    sequence = stamp[ord(stamp[0]) - 46 : head - 26]
    return StampParts(stamp_attempt(stamp), int(sequence), stamp[head - 26 : head], source, id)
