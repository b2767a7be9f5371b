"""The fields that filters, sorters and counts may name, and what kind of values each has."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import Enum
from typing import get_args

import msgspec

from tracker.model.kinds import CompletionStatus, State, TaskType

EQUALS = ("eq", "ne", "in")
ORDERED = ("gt", "ge", "lt", "le")
PARTS = ("co", "sw")


class Kind(Enum):
    """How values of a field compare, and so which operators it has."""

    ID = "id"
    """Text that compares exactly, by code point."""
    TEXT = "text"
    """Text that compares without case (Unicode casefold of both sides, then by code point)."""
    WORD = "word"
    """Likewise, one of a fixed set of upper-case words."""
    NUMBER = "number"
    TIME = "time"
    """A moment; see `tracker.query.filters.Moment`."""

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that take a value; ``isnull``, ``pr`` go with every field."""
        return EQUALS + ORDERED + (PARTS if self in (Kind.ID, Kind.TEXT, Kind.WORD) else ())


class Field(msgspec.Struct, frozen=True):
    """One field: its name in filters, and the column of `tracker.model.rows.Columns` (or ``id``) that has its value."""

    name: str
    column: str
    kind: Kind
    nullable: bool = False
    words: tuple[str, ...] = ()


FIELDS = {
    field.name: field
    for field in (
        Field("id", "id", Kind.ID),
        Field("completionStatus", "completion_status", Kind.WORD, nullable=True, words=get_args(CompletionStatus)),
        Field("type", "type", Kind.WORD, words=get_args(TaskType)),
        Field("launcher", "launcher", Kind.TEXT),
        Field("sourceId", "target_id", Kind.ID, nullable=True),
        Field("state", "state", Kind.WORD, words=get_args(State)),
        Field("uniqueName", "unique_name", Kind.TEXT),
        Field("parentId", "parent_id", Kind.ID, nullable=True),
        Field("attempt", "attempt", Kind.NUMBER),
        Field("percentComplete", "percent_complete", Kind.NUMBER),
        Field("created", "created", Kind.TIME),
        Field("modified", "modified", Kind.TIME),
        Field("launched", "launched", Kind.TIME, nullable=True),
        Field("completed", "completed", Kind.TIME, nullable=True),
    )
}
"""By name. ``sourceId`` is SailPoint's name for the id of the task's target."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """The sentence ``; did you mean "…"?`` for a word that is near a known one, else nothing."""
    by_fold = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return f'; did you mean "{by_fold[near[0]]}"?' if near else ""
