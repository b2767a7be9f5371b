"""The published document: TaskStatus of SailPoint's task-management API, and what the tracker knows beyond it.

Wire names are camelCase, Python names snake_case; constructors take both. Members stand in the contract's order.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict, WithJsonSchema
from pydantic.alias_generators import to_camel

from tracker.model.kinds import CompletionStatus, MessageType, State, TargetType, TaskType
from tracker.model.times import to_datetime, to_utc

Text = Annotated[str, Strict()]
Count = Annotated[int, Strict()]


def to_moment(value: object) -> datetime:
    """RFC 3339 text, or an aware datetime, as a datetime in UTC. Raises ValueError for all else."""
    if isinstance(value, str):
        return to_datetime(to_utc(value))
    if isinstance(value, datetime) and value.utcoffset() is not None:
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ValueError("expected a year from 0001 to 9999 in UTC") from None
    raise ValueError("expected an RFC 3339 time with an offset, or a datetime with a zone")


def to_millis_text(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds (cut, not rounded) and ``Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


Moment = Annotated[
    datetime,
    BeforeValidator(to_moment),
    PlainSerializer(to_millis_text, when_used="json"),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"}
    ),
]


class Part(BaseModel):
    """The base of all: immutable, camelCase on the wire, members that it does not know are let through without effect."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
    )


class Target(Part):
    """What the task works on."""

    id: Text | None = Field(
        default=None, description="Id of the object that the task works on.", examples=["2c918087701c40cf01701dfdf2c61e2a"]
    )
    type: TargetType | None = Field(default=None, description="Kind of that object.", examples=["APPLICATION"])
    name: Text | None = Field(default=None, description="Name of that object, for people.", examples=["HR Employees"])


class TaskDefinitionSummary(Part):
    """What the task was made from."""

    id: Text = Field(description="Id of the task definition.", examples=["2c91808475b4334b0175e1dff64b63c5"])
    unique_name: Text = Field(description="Name of the task definition.", examples=["Cloud Account Aggregation"])
    description: Text | None = Field(default=None, description="What tasks of this definition do.")
    parent_name: Text = Field(description="Name of the definition that this one was derived from.", examples=["Audit Report"])
    executor: Text | None = Field(default=None, description="What runs the task.", examples=["sailpoint.task.ServiceTaskExecutor"])
    arguments: dict[Text, Any] = Field(description="Arguments that a task of this definition is run with: any JSON object.")


class LocalizedMessage(Part):
    """A text and its language."""

    locale: Text = Field(description="Language of the text, as a locale.", examples=["en-US"])
    message: Text = Field(description="The text.", examples=["12 accounts were skipped."])


class TaskStatusMessage(Part):
    """One message that a task left."""

    type: MessageType = Field(description="How serious the message is.")
    localized_text: LocalizedMessage = Field(description="The text, for people.")
    key: Text = Field(description="Key of the text in a catalogue of messages.", examples=["task_aggregation_skipped"])
    parameters: list[dict[Text, Any] | Text] | None = Field(
        description="What the text was filled in with; empty where the event had none, null where it had a null."
    )


class TaskReturnDetails(Part):
    """One value that a task returns: its name, and the attribute that holds it."""

    name: Text = Field(description="Name of the value, for people.", examples=["Accounts"])
    attribute_name: Text = Field(description="Key in `attributes` under which the value stands.", examples=["total"])


class TaskStatus(Part):
    """The status of one task: exactly these 18 members, always all of them, in this order."""

    model_config = ConfigDict(extra="forbid")

    id: Text = Field(description="Id of the task: the `subject` of its events.", examples=["af1b82086c194f89acce82e156ff6e61"])
    type: TaskType = Field(description="Kind of scheduling that the task runs under.")
    unique_name: Text = Field(description="Name of the task.", examples=["Cloud Account Aggregation"])
    description: Text = Field(description="What the task does.")
    parent_name: Text | None = Field(description="Name of the task that started this one.")
    launcher: Text = Field(description="Service or user that launched the task.", examples=["sweep"])
    target: Target | None = Field(description="What the task works on.")
    created: Moment = Field(description="When the task was created.")
    modified: Moment = Field(description="When the task was last heard of; never null.")
    launched: Moment | None = Field(description="When the current attempt was launched; null before.")
    completed: Moment | None = Field(description="When the current attempt ended; null exactly if `completionStatus` is.")
    completion_status: CompletionStatus | None = Field(description="How the current attempt ended; null while the task is in flight.")
    messages: list[TaskStatusMessage] = Field(description="Messages that the task left, in the order of their events.")
    returns: list[TaskReturnDetails] = Field(description="Values that the task returns, in the order of their first events.")
    attributes: dict[Text, Any] = Field(description="Attributes of the task, by key, keys in code point order.")
    progress: Text | None = Field(description="How far the current attempt is, in words.", examples=["Started"])
    percent_complete: Count = Field(ge=0, le=100, description="How far the current attempt is, in per cent.")
    task_definition_summary: TaskDefinitionSummary | None = Field(description="What the task was made from.")

    def to_json(self) -> bytes:
        """The document in compact JSON, UTF-8: equal statuses give equal bytes. Numbers are as Python's ``json`` writes them."""
        return _to_json(self)


class AttemptSummary(Part):
    """One attempt at a task."""

    attempt: Count = Field(description="Number of the attempt, from 1.")
    launched: Moment | None = Field(description="When it was launched.")
    completed: Moment | None = Field(description="When it ended; null exactly if `completionStatus` is.")
    completion_status: CompletionStatus | None = Field(description="How it ended; null while it is in flight.")


class TaskExtension(Part):
    """What the tracker knows of a task beyond the 18 members of its status."""

    state: State = Field(description="COMPLETED if the current attempt has ended, else RUNNING if it was launched, else PENDING.")
    attempt: Count = Field(description="Number of the current attempt: the greatest that any event names.")
    attempts: list[AttemptSummary] = Field(description="Each attempt that was launched, ended or corrected, ascending; the 100 greatest.")
    parent_id: Text | None = Field(description="Id of the task that started this one.")
    truncated: list[Text] = Field(description="Names of the fields of which something was dropped, as a task has a bounded size.")
    revision: Count | Text | None = Field(
        default=None, description="Of the store's commit that last changed the task: opaque, and meaningful in that store only."
    )

    def to_json(self) -> bytes:
        """The extension in compact JSON, UTF-8."""
        return _to_json(self)


def _to_json(part: Part) -> bytes:
    # Not pydantic's own writer: it prints 1e16 and 1e-7 differently from Python's json, which the contract names.
    return json.dumps(part.model_dump(), ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=to_millis_text).encode()
