"""What our own API answers, as models for its OpenAPI document only: answers are made as bytes, tests hold them to these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tracker.fold.event import Reason
from tracker.model.status import TaskExtension, TaskStatus

Whole = Annotated[int, Field(ge=0)]
Value = str | int | float | bool | None


class Document(BaseModel):
    """The base: camelCase on the wire; members may be added in later releases."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


class PositionDocument(Document):
    """How far one partition is read."""

    topic: str
    partition: Whole
    next_offset: Whole = Field(description="The next offset to read; of a file a byte of the stream.")


class At(Document):
    """The place that an answer was read at. All of one answer is of one snapshot."""

    revision: Whole = Field(description="Of the newest commit in the store.")
    vector: str = Field(description="The positions as one opaque text, for `wait_for`.")
    lag_records: Whole | None = Field(description="Records in the logs that are not folded yet; null where unknown.")
    lag_seconds: Annotated[float, Field(ge=0)] | None = Field(description="How far behind the logs' ends; null where unknown.")
    positions: list[PositionDocument] = Field(description="By topic and partition.")


class TaskExtensionDocument(TaskExtension):
    """What the tracker knows of a task beyond the 18 members of its status."""

    revision: Whole = Field(description="Of the commit that last changed the task: opaque, and meaningful in this store only.")


class TaskDocument(TaskStatus):
    """The status of a task: its 18 members, and `tracker` with the extension."""

    tracker: TaskExtensionDocument = Field(description="What the tracker knows beyond the status.")


class TaskAnswer(TaskDocument):
    """One task, and the place that it was read at."""

    at: At


class SelectedTask(BaseModel):
    """Those members of a task that `fields` names, or all but `tracker`, and the place that it was read at."""

    model_config = ConfigDict(extra="allow")

    at: At


class TaskPage(Document):
    """Some tasks of a listing."""

    items: list[dict[str, Any]] = Field(
        description="Tasks as `getTask` gives them (without `at`), or the members of them that `fields` names."
    )
    next: str | None = Field(description="Path and query of the next page; null at the end. The `Link` header has it too.")
    looked_at: Whole | None = Field(None, description="Only where a scan limit ended the page early: how many tasks were looked at for it.")
    at: At


class EventName(Document):
    """One event, by its stamp."""

    source: str
    id: str
    time: str
    attempt: Annotated[int, Field(ge=1)]
    sequence: Whole


class ReasonDocument(Document):
    """Why a field is what it is: the event that set it, the rule that it follows, or both."""

    value: Any = Field(description="As the status shows it.")
    event: EventName | None
    rule: str | None


class Why(Document):
    """For each field that an event has set, which one."""

    id: str
    fields: dict[str, ReasonDocument] = Field(description="By field; `attributes.KEY`, `messages[N]` and `returns[N]` one by one.")
    at: At


class ValueCount(Document):
    """How many tasks have one value of the field."""

    value: Value
    count: Whole


class Counts(Document):
    """How many tasks match."""

    total: Whole
    exact: bool = Field(description="False: there are more than `total`, or there may be; counting ended there.")
    looked_at: Whole | None = Field(None, description="Only where a scan limit ended the counting: how many tasks were looked at.")
    by: str | None = Field(description="The field that `counts` are by; null if none was asked for.")
    counts: list[ValueCount] | None = Field(description="By value, ascending, null last; null without `by`.")
    other: Whole | None = Field(description="Tasks with a value that is not told; 0 where all are.")
    at: At


class BucketDocument(Document):
    """The tasks whose time is not before `start` and before the next bucket's."""

    start: str
    count: Whole
    counts: list[Whole] = Field(description="Of each of `values`; what they leave of `count` has another value.")


class Histogram(Document):
    """Tasks by a time of theirs, empty buckets included."""

    field: str
    bucket: str = Field(description="Width: a number and `s`, `m`, `h` or `d`.")
    by: str | None
    values: list[Value] = Field(description="Values of `by` that are told apart, ascending, null last.")
    buckets: list[BucketDocument]
    at: At


class TreeNodeDocument(Document):
    """One task of a tree."""

    id: str
    unique_name: str | None = Field(description="Null, as the next three, of a missing task.")
    state: str | None
    completion_status: str | None
    percent_complete: Whole | None
    mark: Literal["missing", "cycle", "cut"] | None = Field(
        description="missing: not in the store; cycle: it stands in the tree already; cut: it has more kin than is shown."
    )
    children: list[TreeNodeDocument] = Field(description="By id.")


class Tree(Document):
    """The tree around one task."""

    id: str
    tasks: Whole = Field(description="Different tasks in the tree, without missing ones.")
    cut: bool = Field(description="Whether a limit ended it, so that some kin is not shown.")
    root: TreeNodeDocument = Field(description="The topmost ancestor known; above the task each node has one child.")
    at: At


class PartitionDocument(PositionDocument):
    """One partition: how far it is read, and what became of its records."""

    end_offset: Whole | None = Field(description="Where the log ended when a worker last looked.")
    lag_records: Whole | None = Field(description="Null where unknown.")
    lag_seconds: Annotated[float, Field(ge=0)] | None = Field(description="Null where unknown.")
    read: Whole
    applied: Whole
    unchanged: Whole
    ignored: Whole
    parked: Whole
    worker: str | None = Field(description="Who claimed the partition last: an instance's name, or host and process id. Null: unknown.")
    claimed_at: str | None
    committed_at: str | None = Field(description="When a commit moved the position last.")


class CountersDocument(Document):
    """What became of records: `read = applied + unchanged + ignored + parked`."""

    read: Whole
    applied: Whole
    unchanged: Whole
    ignored: Whole
    parked: Whole


class LagUnknown(Document):
    """A partition without a lag, and since when."""

    topic: str
    partition: Whole
    since: str | None = Field(description="Null: no worker ever reported its end.")


class JumpDocument(Document):
    """A position that an operator's choice moved because the log had lost it."""

    topic: str
    partition: Whole
    stored: Whole
    chosen: Whole
    policy: str
    when: str


class Status(Document):
    """How the store stands."""

    counters: CountersDocument
    balanced: bool = Field(description="Whether the counters add up in each partition.")
    tasks: Whole = Field(description="Without the deleted ones.")
    partitions: list[PartitionDocument]
    lag_unknown: list[LagUnknown]
    parked_by_reason: dict[str, Whole]
    jumps: list[JumpDocument]
    purged: Whole = Field(description="Tasks that retention has purged; those that a later attempt opened again are among them.")
    store_bytes: Whole | None = Field(description="Size of its files; null of a store in memory.")
    store_free_bytes: Whole | None = Field(description="Of them, what is free for new rows; null of a store in memory.")
    rebuild: dict[str, Any] | None = Field(
        description="How the last rebuild stands: its `state`, `sources`, how much is `done` of the `total`, tasks compared and `different`; null if there was none."
    )
    revision: Whole
    at: At


class RetryDocument(Document):
    """What became of parked records that were tried again."""

    applied: Whole
    unchanged: Whole
    ignored: Whole
    still_parked: Whole


class DropDocument(Document):
    """How many records had bytes that were dropped."""

    dropped: Whole


class ParkedDocument(Document):
    """One refused record, without its bytes."""

    number: Annotated[int, Field(ge=1)] = Field(description="The store's own number of it.")
    topic: str
    partition: int
    offset: int
    reason: Reason
    detail: str
    key: str | None = Field(description="Null where there is none, or it is not UTF-8.")
    key_base64: str | None = Field(None, description="Only where the key is not UTF-8.")
    dropped: bool = Field(description="Its bytes were dropped by an operator; the count stays.")
    timestamp_ms: int | None = Field(description="The record's own timestamp, milliseconds since 1970.")


class ParkedWithBytes(ParkedDocument):
    """One refused record, with its bytes and headers."""

    value: str | None = Field(description="In base64; null where there is none, or it was dropped.")
    headers: list[tuple[str, str | None]] = Field(description="Names and values, these in base64.")
    at: At


class ParkedPage(Document):
    """Some refused records, by number."""

    items: list[ParkedDocument]
    next: str | None = Field(description="Path and query of the next page; null at the end.")
    at: At


class ProblemDocument(Document):
    """Problem details (RFC 9457)."""

    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str = Field(description="One sentence: what was expected, what came, what to do.")
    position: Annotated[int, Field(ge=1)] | None = Field(None, description="Of a filter: the character that it went wrong at, from 1.")
    expected: list[str] | str | None = Field(None, description="Of a filter: what may stand there.")


class Health(Document):
    """Whether the service is well."""

    status: Literal["ok", "unavailable"]
    reason: str | None = Field(None, description="Why not, or what is not known; null if there is nothing to say.")
