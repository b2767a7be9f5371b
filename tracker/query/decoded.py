"""Values of fields that no column has, read from a task's state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tracker.fold.event import stamp_time
from tracker.fold.state import Layer, TaskState
from tracker.fold.view import cut_fields
from tracker.query.fields import Field, Kind

_LISTS: dict[str, Callable[[TaskState], Iterable[Any]]] = {
    "messages": lambda state: (said.message.localizedText.message for said in state.messages.values()),
    "messages.type": lambda state: (said.message.type for said in state.messages.values()),
    "messages.key": lambda state: (said.message.key for said in state.messages.values()),
    "messages.localizedText.locale": lambda state: (said.message.localizedText.locale for said in state.messages.values()),
    "returns": lambda state: state.returns,
    "returns.attributeName": lambda state: (name for of_name in state.returns.values() for name in of_name),
    "attempts.attempt": lambda state: (entry.number for entry in state.attempts),
    "attempts.launched": lambda state: (stamp_time(entry.launched) + "Z" for entry in state.attempts if entry.launched),
    "attempts.completed": lambda state: (entry.completed + "Z" for entry in state.attempts if entry.status),
    "attempts.completionStatus": lambda state: (entry.status for entry in state.attempts if entry.status),
    "truncated": cut_fields,
}
_LISTS["messages.localizedText.message"] = _LISTS["messages"]
_LISTS["returns.name"] = _LISTS["returns"]


def many(field: Field) -> Callable[[TaskState], Iterable[Any]]:
    """A function that gives the values, none of them null, of a field that has any number of them."""
    if field.kind is not Kind.JSON:
        return _LISTS[field.name]
    first, *inside = field.keys
    if field.name.startswith("attributes."):
        return lambda state: _within(_latest(state.attributes, first), inside)
    return lambda state: _within(_latest(state.fields, "taskDefinitionSummary"), ["arguments", *field.keys])


def one(field: Field) -> Callable[[TaskState], Any]:
    """A function that gives the value, or None, of a member of the task's definition."""
    member = field.name.removeprefix("taskDefinitionSummary.")
    return lambda state: (_latest(state.fields, "taskDefinitionSummary") or {}).get(member)


def _latest(layers: list[Layer], name: str) -> Any:
    return next((layer.values[name] for layer in layers if name in layer.values), None)


def _within(value: Any, keys: list[str]) -> Iterator[Any]:
    """What stands at the keys, in each member of an array; as deep as an event may be, which is 64 levels."""
    if isinstance(value, list):
        for member in value:
            yield from _within(member, keys)
    elif not keys:
        if value is not None:
            yield value
    elif isinstance(value, dict) and keys[0] in value:
        yield from _within(value[keys[0]], keys[1:])
