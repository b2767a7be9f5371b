"""The shapes of the common event, for msgspec: what is exactly so is an event, whatever else goes to the exact reader.

Nothing is skipped while these are decoded (unknown members are refused), because msgspec does not check UTF-8, surrogates
or numbers in what it skips. A refusal here is no verdict: ``exact.py`` looks again, and it alone names reasons.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tracker.model.kinds import TYPE_PREFIX
from tracker.model.limits import MAX_ATTEMPT, MAX_SEQUENCE

# Free values of the common shape: integers that msgspec can check (2**63 and above go to the exact reader), and three
# levels of arrays and objects, so that neither the range nor the depth needs a look from Python.
Small = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Flat = str | Small | float | bool | None
Nested = Flat | list[Flat] | dict[str, Flat]
Free = Flat | list[Nested] | dict[str, Nested]


class Shape(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The base of all: unknown members are refused, and no cycles can arise."""


class Target(Shape):
    """``target``, in the order in which it is shown."""

    id: str | None = None
    type: Literal["APPLICATION", "IDENTITY"] | None = None
    name: str | None = None


class Definition(Shape, kw_only=True):
    """``taskDefinitionSummary``, in the order in which it is shown."""

    id: str
    uniqueName: str
    description: str | None = None
    parentName: str
    executor: str | None = None
    arguments: dict[str, Free] = msgspec.field()


class LocalizedText(Shape):
    """A message's text."""

    locale: str
    message: str


class Message(Shape):
    """``data`` of messaged, and one entry of ``messages``, in the order in which it is shown."""

    type: Literal["INFO", "WARN", "ERROR"]
    localizedText: LocalizedText
    key: str
    parameters: list[dict[str, Free] | str] | None = msgspec.field(default_factory=list)


class Described(Shape):
    """``data`` of created and updated: each member counts on its own, so a missing one differs from a null."""

    type: Literal["QUARTZ", "QPOC", "QUEUED_TASK"] | UnsetType = UNSET
    uniqueName: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    parentName: str | None | UnsetType = UNSET
    parentId: str | None | UnsetType = UNSET
    launcher: str | UnsetType = UNSET
    target: Target | None | UnsetType = UNSET
    taskDefinitionSummary: Definition | None | UnsetType = UNSET
    attributes: dict[str, Free] | UnsetType = UNSET


class Launch(Shape):
    """``data`` of launched."""

    launcher: str | UnsetType = UNSET
    attributes: dict[str, Free] | UnsetType = UNSET


class Progress(Shape):
    """``data`` of progressed."""

    progress: str | None | UnsetType = UNSET
    percentComplete: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    attributes: dict[str, Free] | UnsetType = UNSET


class Return(Shape):
    """``data`` of returned, and one entry of ``returns``."""

    name: str
    attributeName: str


class Completion(Shape):
    """``data`` of completed."""

    completionStatus: Literal["SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR"]
    attributes: dict[str, Free] | UnsetType = UNSET


class Correction(Shape):
    """``data`` of corrected. ``completed`` is RFC 3339 text in the record, 26 characters of UTC once decoded."""

    completionStatus: Literal["SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR"]
    completed: str | UnsetType = UNSET


class Nothing(Shape):
    """``data`` of deleted."""


Data = Described | Launch | Progress | Message | Return | Completion | Correction | Nothing
DATA: dict[str, type[Data]] = {
    "created": Described,
    "updated": Described,
    "launched": Launch,
    "progressed": Progress,
    "messaged": Message,
    "returned": Return,
    "completed": Completion,
    "corrected": Correction,
    "deleted": Nothing,
}
"""Each kind's data."""
NEEDS_DATA = frozenset({"messaged", "returned", "completed", "corrected"})
"""Kinds with a required field: without data they are no events."""


class Envelope(Shape, kw_only=True):
    """A CloudEvent's attributes; of the extensions only well-known ones, so that a typical event has no unknown member."""

    specversion: Literal["1.0"]
    id: str
    source: str
    subject: str | None = None
    time: str | None = None
    attempt: Annotated[int, Meta(ge=1, le=MAX_ATTEMPT)] = 1
    sequence: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)] = 0
    datacontenttype: str = ""
    dataschema: str = ""
    traceparent: str = ""
    tracestate: str = ""
    partitionkey: str = ""


def _event(kind: str, data: type[Data]) -> type[Envelope]:
    """The whole event of one kind: ``type`` is its tag, and ``data`` may be missing or null where nothing is required."""
    field: tuple[str, Any] | tuple[str, Any, Any] = ("data", data) if kind in NEEDS_DATA else ("data", data | None, None)
    shape: Any = msgspec.defstruct(
        kind.capitalize(), [field], bases=(Envelope,), tag_field="type", tag=TYPE_PREFIX + kind, gc=False, kw_only=True
    )
    return cast("type[Envelope]", shape)


EVENTS: dict[type[Envelope], str] = {_event(kind, data): kind for kind, data in DATA.items()}
"""Each event's shape, with its kind."""
