"""The ``data`` of each kind of event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import NoneType
from typing import Annotated, Any, Self, TypeVar, Union, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from tracker.model.json_values import check_json, check_size
from tracker.model.kinds import CompletionStatus, MessageType, TaskType
from tracker.model.status import Count, LocalizedMessage, Part, Target, TaskDefinitionSummary, Text, to_moment

T = TypeVar("T")
RFC3339 = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
"""The form of a time in an event, for schemas; `tracker.model.times` says what else holds."""


class Given:
    """In ``Annotated[X | None, Given()]``: None in Python says that the field is not there; on the wire it can't be null."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of X alone: defaults are not validated, so None stays possible as one."""
        return handler.generate_schema(Union[tuple(part for part in get_args(source) if part is not NoneType)])  # noqa: UP007 - from a list


def to_micros_text(moment: datetime) -> str:
    """RFC 3339 in UTC with ``Z``, and with six digits of a second where it has a fraction."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _fits(value: T) -> T:
    """The field's value, if it is JSON as it is shown (known members, defaults filled in), and not too long."""
    shown = value.model_dump() if isinstance(value, BaseModel) else value
    check_json(shown)
    check_size(shown)
    return value


def _each_fits(attributes: dict[str, Any]) -> dict[str, Any]:
    for value in attributes.values():
        _fits(value)
    return attributes


EventTime = Annotated[
    datetime,
    BeforeValidator(to_moment),
    PlainSerializer(to_micros_text, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": RFC3339}),
]
ShortText = Annotated[Text, AfterValidator(_fits)]
Attributes = Annotated[dict[Text, Any], AfterValidator(_each_fits)]
ShortTarget = Annotated[Target, AfterValidator(_fits)]
ShortDefinition = Annotated[TaskDefinitionSummary, AfterValidator(_fits)]


class EventData(Part):
    """The base of all: a field that is not there is not set (see ``model_fields_set``), which differs from null."""

    @model_validator(mode="before")
    @classmethod
    def _integers_fit(cls, data: Any) -> Any:
        """Anywhere inside a known field, be it in a member that is not shown, integers must have 64 bits."""
        if isinstance(data, Mapping):
            for field in cls.model_fields.values():
                if isinstance(value := data.get(field.alias), dict | list):
                    check_json(value)
        return data


class CreatedData(EventData):
    """What a task is. Each field counts on its own: the latest event that has it wins."""

    type: Annotated[TaskType | None, Given()] = Field(default=None, description="Kind of scheduling that the task runs under.")
    unique_name: Annotated[ShortText | None, Given()] = Field(default=None, description="Name of the task.")
    description: Annotated[ShortText | None, Given()] = Field(default=None, description="What the task does.")
    parent_name: ShortText | None = Field(default=None, description="Name of the task that started this one; null takes it away.")
    parent_id: ShortText | None = Field(default=None, description="Id of the task that started this one; null takes it away.")
    launcher: Annotated[ShortText | None, Given()] = Field(default=None, description="Service or user that launched the task.")
    target: ShortTarget | None = Field(default=None, description="What the task works on; null takes it away.")
    task_definition_summary: ShortDefinition | None = Field(default=None, description="What the task was made from; null takes it away.")
    attributes: Annotated[Attributes | None, Given()] = Field(default=None, description="Attributes to set, key by key.")


class UpdatedData(CreatedData):
    """What changed in a task's description: the same fields as when it was created."""


class LaunchedData(EventData):
    """Who launched an attempt."""

    launcher: Annotated[ShortText | None, Given()] = Field(default=None, description="Service or user that launched the task.")
    attributes: Annotated[Attributes | None, Given()] = Field(default=None, description="Attributes to set, key by key.")


class ProgressedData(EventData):
    """How far an attempt is."""

    progress: ShortText | None = Field(default=None, description="How far the attempt is, in words; null takes it away.")
    percent_complete: Annotated[Count | None, Given(), Field(ge=0, le=100)] = Field(
        default=None, description="How far the attempt is, in per cent."
    )
    attributes: Annotated[Attributes | None, Given()] = Field(default=None, description="Attributes to set, key by key.")


class MessagedData(EventData):
    """One message: its fields count as one."""

    type: MessageType = Field(description="How serious the message is.")
    key: Text = Field(description="Key of the text in a catalogue of messages.")
    localized_text: LocalizedMessage = Field(description="The text, for people.")
    parameters: list[dict[Text, Any] | Text] | None = Field(
        default_factory=list, description="What the text was filled in with: objects and strings."
    )

    @model_validator(mode="after")
    def _whole_fits(self) -> Self:
        _fits(self.model_dump())
        return self


class ReturnedData(EventData):
    """The name of a value that a task returns, and the attribute that holds it."""

    name: ShortText = Field(description="Name of the value, for people.")
    attribute_name: ShortText = Field(description="Key in `attributes` under which the value stands.")


class CompletedData(EventData):
    """How an attempt ended."""

    completion_status: CompletionStatus = Field(description="How it ended; TEMPERROR is over when the attempt is launched again.")
    attributes: Annotated[Attributes | None, Given()] = Field(default=None, description="Attributes to set, key by key.")


class CorrectedData(EventData):
    """An operator's word on how an attempt ended."""

    completion_status: CompletionStatus = Field(description="How it ended, in truth.")
    completed: Annotated[EventTime | None, Given()] = Field(default=None, description="When it ended; without it, the event's own time.")


class DeletedData(EventData):
    """Nothing is known of a deletion."""
