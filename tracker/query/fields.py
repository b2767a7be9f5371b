"""The fields that filters, sorters and counts may name, and what kind of values each has."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import Enum
from typing import get_args

import msgspec

from tracker.model.kinds import CompletionStatus, MessageType, State, TargetType, TaskType

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
    """Likewise, one of a fixed set of words."""
    NUMBER = "number"
    TIME = "time"
    """A moment; see `tracker.query.tree.Moment`."""
    DURATION = "duration"
    """Whole microseconds."""
    JSON = "JSON value"
    """Any value: it compares with literals of its own JSON type only, strings without case."""
    LABEL = "kind of task"
    """A name, compared as SailPoint's enumerated words are: see `label`."""

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that take a value, of a field with one value."""
        if self is Kind.LABEL:
            return EQUALS
        return EQUALS + ORDERED + (PARTS if self in (Kind.ID, Kind.TEXT, Kind.WORD, Kind.JSON) else ())


class Field(msgspec.Struct, frozen=True):
    """One field: its name in filters, and where its value is."""

    name: str
    column: str
    """Of the task table, and so of `tracker.model.rows.Columns` (or ``id``, ``revision``); empty: the value is only in the state."""
    kind: Kind
    nullable: bool = False
    words: tuple[str, ...] = ()
    many: bool = False
    """It has any number of values: a comparison is true if it is of one of them, ``isnull`` if there is none."""
    keys: tuple[str, ...] = ()
    """Of a JSON value: the attribute's key, and those of the objects inside."""

    @property
    def operators(self) -> tuple[str, ...]:
        """Its operators that take a value; ``isnull`` and ``pr`` go with every field."""
        return (*self.kind.operators, "ca") if self.many else self.kind.operators


def _by_name(*fields: Field) -> dict[str, Field]:
    return {field.name: field for field in fields}


FIELDS = _by_name(
    Field("id", "id", Kind.ID),
    Field("completionStatus", "completion_status", Kind.WORD, nullable=True, words=get_args(CompletionStatus)),
    Field("type", "type", Kind.WORD, words=get_args(TaskType)),
    Field("launcher", "launcher", Kind.TEXT),
    Field("sourceId", "target_id", Kind.ID, nullable=True),
    Field("state", "state", Kind.WORD, words=get_args(State)),
    Field("uniqueName", "unique_name", Kind.TEXT),
    Field("description", "description", Kind.TEXT),
    Field("parentName", "parent_name", Kind.TEXT, nullable=True),
    Field("parentId", "parent_id", Kind.ID, nullable=True),
    Field("target.id", "target_id", Kind.ID, nullable=True),
    Field("target.type", "target_type", Kind.WORD, nullable=True, words=get_args(TargetType)),
    Field("target.name", "target_name", Kind.TEXT, nullable=True),
    Field("progress", "progress", Kind.TEXT, nullable=True),
    Field("percentComplete", "percent_complete", Kind.NUMBER),
    Field("attempt", "attempt", Kind.NUMBER),
    Field("revision", "revision", Kind.NUMBER),
    Field("created", "created", Kind.TIME),
    Field("modified", "modified", Kind.TIME),
    Field("launched", "launched", Kind.TIME, nullable=True),
    Field("completed", "completed", Kind.TIME, nullable=True),
)
"""Those with a column, by name: they can be counted by. ``sourceId`` is SailPoint's name for ``target.id``."""

DECODED = _by_name(
    Field("taskDefinitionSummary.id", "", Kind.ID, nullable=True),
    Field("taskDefinitionSummary.uniqueName", "", Kind.TEXT, nullable=True),
    Field("taskDefinitionSummary.description", "", Kind.TEXT, nullable=True),
    Field("taskDefinitionSummary.parentName", "", Kind.TEXT, nullable=True),
    Field("taskDefinitionSummary.executor", "", Kind.TEXT, nullable=True),
    Field("messages", "", Kind.TEXT, many=True),
    Field("messages.type", "", Kind.WORD, words=get_args(MessageType), many=True),
    Field("messages.key", "", Kind.TEXT, many=True),
    Field("messages.localizedText.locale", "", Kind.TEXT, many=True),
    Field("messages.localizedText.message", "", Kind.TEXT, many=True),
    Field("returns", "", Kind.TEXT, many=True),
    Field("returns.name", "", Kind.TEXT, many=True),
    Field("returns.attributeName", "", Kind.TEXT, many=True),
    Field("attempts.attempt", "", Kind.NUMBER, many=True),
    Field("attempts.launched", "", Kind.TIME, many=True),
    Field("attempts.completed", "", Kind.TIME, many=True),
    Field("attempts.completionStatus", "", Kind.WORD, words=get_args(CompletionStatus), many=True),
    Field("truncated", "", Kind.WORD, words=("attempts", "attributes", "messages", "purged", "returns"), many=True),
)
"""Those that are decided on decoded states. ``messages`` is the messages' text, ``returns`` the returns' names."""

CLOCKED = _by_name(Field("duration", "", Kind.DURATION, nullable=True), Field("silence", "", Kind.DURATION))
"""Those that depend on when they are asked for; their comparisons become ones of times, and of `TOOK`."""

KNOWN = {**FIELDS, **DECODED, **CLOCKED}
"""All that a filter may name, but the keys of `DOCUMENTS`."""

TOOK = Field("duration", "completed - launched", Kind.DURATION, nullable=True)
"""How long a task took that was launched and is completed."""

SORTABLE = {**FIELDS, TOOK.name: TOOK}
"""All that can be sorted by."""

DOCUMENTS = ("attributes", "taskDefinitionSummary.arguments")
"""Objects with any keys: ``attributes.KEY`` is a field, and ``attributes.KEY.MEMBER`` what is inside of one."""

COMPATIBLE_TYPE = Field(
    "type",
    "unique_name",
    Kind.LABEL,
    words=(
        "CLOUD_ACCOUNT_AGGREGATION",
        "CLOUD_GROUP_AGGREGATION",
        "CLOUD_PROCESS_UNCORRELATED_ACCOUNTS",
        "CLOUD_REFRESH_ROLE",
        "SOURCE_APPLICATION_DISCOVERY",
        "AI_AGENT_AGGREGATION",
        "CLOUD_ENTITLEMENT_IMPORT",
        "CLOUD_UNCORRELATED_REFRESH",
        "CLOUD_IDENTITY_AGGREGATION",
        "CLOUD_ATTRIBUTE_SYNCHRONIZATION",
        "IDENTITY_REFRESH",
        "APPLICATION_DISCOVERY",
        "MACHINE_IDENTITY_AGGREGATION",
        "MACHINE_IDENTITY_DELETION",
        "ACCOUNT_DELETION",
    ),
)
"""What ``type`` is in SailPoint's filters: not the status's field, but the kind of task that ``uniqueName`` tells of.

Source: the list operation of SailPoint's task-management API, v1, which documents these values.
"""


def suggestion(word: str, known: Iterable[str]) -> str:
    """The sentence ``; did you mean "…"?`` for a word that is near a known one, else nothing."""
    by_fold = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return f'; did you mean "{by_fold[near[0]]}"?' if near else ""
