"""The task events as pydantic models, one a kind: what contract.md says of an event that stands on its own.

These are for people who write events, and for the schemas; the hot path has its own reader (``tracker.fold.decode``), which a
test holds to the same verdict. Wire names are camelCase, Python names snake_case::

    TaskCreated(id="1", source="/me", subject="t1", time="2026-01-31T09:30:00Z", data=CreatedData(unique_name="x"))

Attributes of an event that are missing from a Kafka record (``subject``, ``time``) are filled in by the decoder before.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from tracker.model.event_data import (
    CompletedData,
    CorrectedData,
    CreatedData,
    DeletedData,
    EventData,
    EventTime,
    LaunchedData,
    MessagedData,
    ProgressedData,
    ReturnedData,
    UpdatedData,
    to_micros_text,
)
from tracker.model.kinds import KINDS, TYPE_PREFIX, Kind
from tracker.model.limits import MAX_ATTEMPT, MAX_ID_CODE_POINTS, MAX_SEQUENCE
from tracker.model.status import Part, Text

__all__ = [
    "EVENTS",
    "KINDS",
    "TYPE_PREFIX",
    "CompletedData",
    "CorrectedData",
    "CreatedData",
    "DeletedData",
    "EventData",
    "LaunchedData",
    "MessagedData",
    "ProgressedData",
    "ReturnedData",
    "Stamp",
    "TaskCompleted",
    "TaskCorrected",
    "TaskCreated",
    "TaskDeleted",
    "TaskEvent",
    "TaskLaunched",
    "TaskMessaged",
    "TaskProgressed",
    "TaskReturned",
    "TaskUpdated",
    "UpdatedData",
    "parse",
    "to_json",
]

_NO_CONTROLS = r"^[^\u0000-\u001F\u007F-\u009F]*$"
_DIGITS = re.compile("[0-9]+")


def _named(text: str) -> str:
    if not text or any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("expected a non-empty string without control characters")
    return text


def _task_id(text: str) -> str:
    if len(text) > MAX_ID_CODE_POINTS:
        raise ValueError(f"expected at most {MAX_ID_CODE_POINTS} code points, got {len(text)}")
    return text


def _integer(value: object) -> object:
    """Digits as the integer they stand for; leading zeros go first, as Python reads no more than 4,300 digits."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int((value.lstrip("0") or "0")[:30])
    return value


def _number(least: int, greatest: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": greatest}, {"type": "string", "pattern": "^[0-9]+$"}]}


Name = Annotated[Text, AfterValidator(_named), WithJsonSchema({"type": "string", "minLength": 1, "pattern": _NO_CONTROLS})]
TaskId = Annotated[
    Text,
    AfterValidator(_named),
    AfterValidator(_task_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_ID_CODE_POINTS, "pattern": _NO_CONTROLS}),
]
Attempt = Annotated[int, Field(strict=True, ge=1, le=MAX_ATTEMPT), BeforeValidator(_integer), WithJsonSchema(_number(1, MAX_ATTEMPT))]
Sequence = Annotated[int, Field(strict=True, ge=0, le=MAX_SEQUENCE), BeforeValidator(_integer), WithJsonSchema(_number(0, MAX_SEQUENCE))]


class Stamp(NamedTuple):
    """What events are ordered by, from left to right; strings compare by code point."""

    attempt: int
    sequence: int
    time: datetime
    source: str
    id: str


class CloudEvent(Part):
    """The attributes that all task events share (CloudEvents 1.0); any extension is let through unread."""

    model_config = ConfigDict(alias_generator=None, extra="allow")

    specversion: Literal["1.0"] = Field(default="1.0", description="Version of CloudEvents.")
    source: Name = Field(description="Who tells of it, a URI reference; with `id` the identity of the event.", examples=["/scheduler/eu-1"])
    id: Name = Field(description="Id of the event, unique within its source.", examples=["7d0c3f4e-1f5f-4f0e-9a52-6a3c9d5d0f11"])
    subject: TaskId = Field(description="Id of the task. In Kafka, where it is missing the record's key stands in.")
    time: EventTime = Field(
        description="When it happened: RFC 3339 with an offset, kept to the microsecond. In Kafka, where it is missing the record's "
        "timestamp stands in.",
        examples=["2026-01-31T09:30:00.123456Z"],
    )
    attempt: Attempt = Field(default=1, description="Which attempt at the task it belongs to; a retry is the next attempt.")
    sequence: Sequence = Field(default=0, description="The task's own event number: number all of a task's events, or none.")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, attributes: Any) -> Any:
        """An attribute that is null is a missing one."""
        if not isinstance(attributes, Mapping):
            return attributes
        if attributes.get("data_base64") is not None:
            raise ValueError("expected data as JSON, got data_base64")
        return {name: value for name, value in attributes.items() if value is not None}

    @property
    def kind(self) -> Kind:
        """The last word of the event's ``type``."""
        return _KIND[type(self)]

    @property
    def stamp(self) -> Stamp:
        """What the event is ordered by."""
        return Stamp(self.attempt, self.sequence, self.time, self.source, self.id)

    def to_json(self) -> bytes:
        """See `to_json`."""
        return to_json(self)


class TaskCreated(CloudEvent):
    """A task came to be."""

    type: Literal["io.tracker.task.created"] = Field(default="io.tracker.task.created", description="What happened.")
    data: CreatedData = Field(default_factory=CreatedData, description="What the task is.")


class TaskUpdated(CloudEvent):
    """Something that describes a task changed."""

    type: Literal["io.tracker.task.updated"] = Field(default="io.tracker.task.updated", description="What happened.")
    data: UpdatedData = Field(default_factory=UpdatedData, description="What changed; a field that is not there stays.")


class TaskLaunched(CloudEvent):
    """An attempt at a task began."""

    type: Literal["io.tracker.task.launched"] = Field(default="io.tracker.task.launched", description="What happened.")
    data: LaunchedData = Field(default_factory=LaunchedData, description="Who launched it.")


class TaskProgressed(CloudEvent):
    """An attempt got further."""

    type: Literal["io.tracker.task.progressed"] = Field(default="io.tracker.task.progressed", description="What happened.")
    data: ProgressedData = Field(default_factory=ProgressedData, description="How far it is.")


class TaskMessaged(CloudEvent):
    """A task left a message."""

    type: Literal["io.tracker.task.messaged"] = Field(default="io.tracker.task.messaged", description="What happened.")
    data: MessagedData = Field(description="The message.")


class TaskReturned(CloudEvent):
    """A task names a value that it returns."""

    type: Literal["io.tracker.task.returned"] = Field(default="io.tracker.task.returned", description="What happened.")
    data: ReturnedData = Field(description="The value's name, and where it stands.")


class TaskCompleted(CloudEvent):
    """An attempt ended; with TEMPERROR it may be launched again."""

    type: Literal["io.tracker.task.completed"] = Field(default="io.tracker.task.completed", description="What happened.")
    data: CompletedData = Field(description="How it ended.")


class TaskCorrected(CloudEvent):
    """An operator says how an attempt ended; it outranks what the task itself says."""

    type: Literal["io.tracker.task.corrected"] = Field(default="io.tracker.task.corrected", description="What happened.")
    data: CorrectedData = Field(description="How it ended, in truth.")


class TaskDeleted(CloudEvent):
    """A task is to be forgotten, for good."""

    type: Literal["io.tracker.task.deleted"] = Field(default="io.tracker.task.deleted", description="What happened.")
    data: DeletedData = Field(default_factory=DeletedData, description="Nothing.")


TaskEvent = Annotated[
    TaskCreated | TaskUpdated | TaskLaunched | TaskProgressed | TaskMessaged | TaskReturned | TaskCompleted | TaskCorrected | TaskDeleted,
    Field(discriminator="type"),
]
EVENTS: dict[Kind, type[CloudEvent]] = {
    "created": TaskCreated,
    "updated": TaskUpdated,
    "launched": TaskLaunched,
    "progressed": TaskProgressed,
    "messaged": TaskMessaged,
    "returned": TaskReturned,
    "completed": TaskCompleted,
    "corrected": TaskCorrected,
    "deleted": TaskDeleted,
}
"""Each kind's model."""
_KIND = {model: kind for kind, model in EVENTS.items()}
_BY_TYPE = {TYPE_PREFIX + kind: model for kind, model in EVENTS.items()}


def parse(document: object) -> TaskEvent | None:
    """A parsed JSON value as an event; None for a CloudEvent of another type, which is none of ours and is not looked into.

    Only wire names count here: `unique_name` in a document is an unknown field. Raises ValueError (a pydantic ValidationError
    where a field is wrong) for what the contract refuses as ``not-an-event`` or ``invalid-data``. Depth, encoding and the
    size of the whole record are the decoder's to judge, as they are facts of bytes.
    """
    if not isinstance(document, dict):
        raise ValueError(f"expected a JSON object, got {type(document).__name__}")
    type_ = document.get("type")
    if not isinstance(type_, str) or not type_:
        raise ValueError(f"expected type to be a string such as {TYPE_PREFIX}created")
    model = _BY_TYPE.get(type_)
    if model is None:
        return None
    if document.get("specversion") is None:
        raise ValueError('expected specversion to be "1.0", got none')
    return cast("TaskEvent", model.model_validate(document, by_alias=True, by_name=False))


def to_json(event: CloudEvent) -> bytes:
    """The structured event in one line of UTF-8 JSON, without newline: ``specversion``, ``type`` and the fields that were set."""
    dumped = event.model_dump(exclude_unset=True)
    head = {"specversion": event.specversion, "type": TYPE_PREFIX + event.kind}
    return json.dumps(head | dumped, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=to_micros_text).encode()
