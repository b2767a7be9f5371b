"""The flat tables of tasks and of events: their columns, the Arrow type of each, and a sentence. Every door gives these, and only these.

Plain data, without pyarrow: `tracker.analytics.arrow` makes Arrow's types of it, `docs/table.md` and ``schemas/`` are written from it.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, get_args

from tracker.fold.event import REASONS
from tracker.model.kinds import KINDS, CompletionStatus, State, TaskType

CHANGES = ("changed", "left", "deleted", "purged")
"""What a row says of its task, as `tracker.query.following.Change` has it."""
OUTCOMES = ("event", "ignored", "parked")
"""What a record of a log turned out to be."""


class Words(NamedTuple):
    """One of a fixed set of words, dictionary-encoded: every batch has the same dictionary, so that streams need no other."""

    words: tuple[str, ...]


class Struct(NamedTuple):
    """An object with known members."""

    members: tuple[Column, ...]


class Listed(NamedTuple):
    """A list."""

    item: Type


class Mapped(NamedTuple):
    """A map of texts to JSON texts: objects whose members are anybody's."""


class Column(NamedTuple):
    """One column, or one member of a struct."""

    name: str
    type: Type
    sentence: str
    nullable: bool = True


Type: TypeAlias = str | Words | Struct | Listed | Mapped
"""``string``, ``bool``, ``int32``, ``int64``, ``double``, ``timestamp[us, tz=UTC]`` as Arrow calls them, or one of the others."""
TIME = "timestamp[us, tz=UTC]"

TARGET = Struct(
    (
        Column("id", "string", "Id of the object that the task works on."),
        Column("type", "string", "APPLICATION or IDENTITY."),
        Column("name", "string", "Name of that object, for people."),
    )
)
MESSAGE = Struct(
    (
        Column("type", "string", "INFO, WARN or ERROR."),
        Column(
            "localizedText",
            Struct((Column("locale", "string", "Language of the text."), Column("message", "string", "The text."))),
            "The text, for people.",
        ),
        Column("key", "string", "Key of the text in a catalogue of messages."),
        Column("parameters", Listed("string"), "What the text was filled in with, each as JSON text."),
    )
)
RETURN = Struct(
    (
        Column("name", "string", "Name of the value, for people."),
        Column("attributeName", "string", "Key in `attributes` under which the value stands."),
    )
)
DEFINITION = Struct(
    (
        Column("id", "string", "Id of the task definition."),
        Column("uniqueName", "string", "Its name."),
        Column("description", "string", "What tasks of it do."),
        Column("parentName", "string", "Name of the definition that it was derived from."),
        Column("executor", "string", "What runs its tasks."),
        Column("arguments", Mapped(), "What its tasks are run with, each value as JSON text."),
    )
)
ATTEMPT = Struct(
    (
        Column("attempt", "int32", "Its number, from 1."),
        Column("launched", TIME, "When it was launched."),
        Column("completed", TIME, "When it ended; null while it is in flight."),
        Column("completionStatus", "string", "How it ended; null while it is in flight."),
    )
)

TASKS = (
    Column("id", "string", "Id of the task: the `subject` of its events.", nullable=False),
    Column("type", Words(get_args(TaskType)), "Kind of scheduling that the task runs under."),
    Column("uniqueName", "string", "Name of the task."),
    Column("description", "string", "What the task does."),
    Column("parentName", "string", "Name of the task that started this one."),
    Column("launcher", "string", "Service or user that launched the task."),
    Column("target", TARGET, "What the task works on."),
    Column("created", TIME, "When the task was created."),
    Column("modified", TIME, "When the task was last heard of."),
    Column("launched", TIME, "When the current attempt was launched; null before."),
    Column("completed", TIME, "When the current attempt ended; null while the task is in flight."),
    Column(
        "completionStatus", Words(get_args(CompletionStatus)), "How the current attempt ended; null while the task is in flight."
    ),
    Column("messages", Listed(MESSAGE), "Messages that the task left, in the order of their events."),
    Column("returns", Listed(RETURN), "Values that the task returns, in the order of their first events."),
    Column("attributes", Mapped(), "Attributes of the task, each value as canonical JSON text, keys in code point order."),
    Column("progress", "string", "How far the current attempt is, in words."),
    Column("percentComplete", "int32", "How far the current attempt is, in per cent."),
    Column("taskDefinitionSummary", DEFINITION, "What the task was made from."),
    Column("state", Words(get_args(State)), "COMPLETED if the current attempt has ended, else RUNNING if it was launched, else PENDING."),
    Column("attempt", "int32", "Number of the current attempt."),
    Column("attempts", Listed(ATTEMPT), "Each attempt that was launched, ended or corrected, ascending."),
    Column("parentId", "string", "Id of the task that started this one."),
    Column("truncated", Listed("string"), "Names of the fields of which something was dropped, as a task has a bounded size."),
    Column("waitingSeconds", "double", "From `created` to the first launch that is known; null before that."),
    Column("durationSeconds", "double", "From `launched` to `completed`; null unless there are both."),
    Column("revision", "int64", "Of the store's commit that last changed the task: opaque, and meaningful in that store only.", nullable=False),
    Column(
        "change",
        Words(CHANGES),
        "`changed`: the row is the task as it is. Else all but `id` and `revision` is null: the task was `deleted` by an event, or `purged` "
        "by retention, or has `left`, as it does not match the filter (any more). Only an export of changes has others than `changed`.",
        nullable=False,
    ),
)  # fmt: skip
"""One row a task."""

EVENTS = (
    Column("topic", "string", "The log: a topic, or the absolute path of a file.", nullable=False),
    Column("partition", "int32", "Partition of the topic; 0 of a file.", nullable=False),
    Column("offset", "int64", "Offset of the record; of a file the byte of the stream where the line begins.", nullable=False),
    Column("outcome", Words(OUTCOMES), "Whether the record is a valid task event, of a foreign type (`ignored`), or refused (`parked`).", nullable=False),
    Column("kind", Words(KINDS), "Kind of the event; null, as what follows, of what is none. A tombstone of Kafka is `deleted`, and has a `subject` and nothing else."),
    Column("subject", "string", "The task's id."),
    Column("time", TIME, "When it happened."),
    Column("attempt", "int32", "The attempt that it is of."),
    Column("sequence", "int64", "The task's own number of the event; 0 where they are not numbered."),
    Column("source", "string", "Who wrote it."),
    Column("id", "string", "Its id; with `source` its identity."),
    Column("data", "string", "What it says, as canonical JSON text of those members that the kind knows."),
    Column("reason", Words(REASONS), "Why the record was refused; null unless it was."),
    Column("detail", "string", "What was expected and what came, in one sentence; null unless it was refused."),
)  # fmt: skip
"""One row a record of a log, in the order of the log: the events, and what is none."""


def type_text(type_: Type) -> str:
    """A type as Arrow writes it."""
    if isinstance(type_, str):
        return type_
    if isinstance(type_, Words):
        return "dictionary<values=string, indices=int8, ordered=0>"
    if isinstance(type_, Struct):
        return f"struct<{', '.join(f'{member.name}: {type_text(member.type)}' for member in type_.members)}>"
    if isinstance(type_, Listed):
        return f"list<item: {type_text(type_.item)}>"
    return "map<string, string>"
