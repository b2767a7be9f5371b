"""REDUCERS: one small function a kind (``deleted`` leaves nothing to reduce), from an event to the registers that it speaks for.

A reducer changes the state and says whether it did. It is total (any kind may come first, and any may never come) and pure:
no clock, no counter, no offset, no arrival order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import UNSET, to_builtins

from tracker.fold.event import TaskEvent
from tracker.fold.registers import (
    attempt_entry,
    forgotten_attempts,
    set_attributes,
    set_created,
    set_deleted,
    set_launched,
    set_message,
    set_return,
    set_times,
    set_values,
    set_verdict,
)
from tracker.fold.state import TaskState
from tracker.model.limits import DEFAULT_LIMITS, Limits

Reducer = Callable[[TaskState, TaskEvent, Limits], bool]


_SCALARS = ("type", "uniqueName", "description", "parentName", "parentId", "launcher")


def _described_values(data: Any) -> dict[str, Any]:
    """The members that the event has, in the form in which they are shown."""
    values = {name: value for name in _SCALARS if (value := getattr(data, name)) is not UNSET}
    target, definition = data.target, data.taskDefinitionSummary
    if target is not UNSET:
        values["target"] = target and {"id": target.id, "type": target.type, "name": target.name}
    if definition is not UNSET:
        values["taskDefinitionSummary"] = to_builtins(definition)
    return values


def _updated(state: TaskState, event: TaskEvent, limits: Limits) -> bool:
    data: Any = event.data
    values = _described_values(data)
    changed = bool(values) and set_values(state.fields, event.stamp, values)
    if data.attributes is not UNSET:
        changed = set_attributes(state, event.stamp, data.attributes, limits) or changed
    return changed


def _created(state: TaskState, event: TaskEvent, limits: Limits) -> bool:
    changed = set_created(state, event.time)
    return _updated(state, event, limits) or changed


def _launched(state: TaskState, event: TaskEvent, limits: Limits) -> bool:
    data: Any = event.data
    changed = _end(state, event, limits, 0, "", "")
    if data.launcher is not UNSET:
        changed = set_values(state.fields, event.stamp, {"launcher": data.launcher}) or changed
    if data.attributes is not UNSET:
        changed = set_attributes(state, event.stamp, data.attributes, limits) or changed
    return changed


def _progressed(state: TaskState, event: TaskEvent, limits: Limits) -> bool:
    data: Any = event.data
    values: dict[str, Any] = {}
    if data.progress is not UNSET:
        values["progress"] = data.progress
    if data.percentComplete is not UNSET:
        values["percentComplete"] = data.percentComplete
    changed = bool(values) and set_values(state.fields, event.stamp, values)
    if data.attributes is not UNSET:
        changed = set_attributes(state, event.stamp, data.attributes, limits) or changed
    return changed


def _messaged(state: TaskState, event: TaskEvent, limits: Limits) -> bool:
    data: Any = event.data
    return set_message(state, event.stamp, data, limits)


def _returned(state: TaskState, event: TaskEvent, limits: Limits) -> bool:
    data: Any = event.data
    return set_return(state, event.stamp, data.name, data.attributeName, limits)


def _completed(state: TaskState, event: TaskEvent, limits: Limits) -> bool:
    data: Any = event.data
    level = 0 if data.completionStatus == "TEMPERROR" else 1
    changed = _end(state, event, limits, level, data.completionStatus, event.time)
    if data.attributes is not UNSET:
        changed = set_attributes(state, event.stamp, data.attributes, limits) or changed
    return changed


def _corrected(state: TaskState, event: TaskEvent, limits: Limits) -> bool:
    data: Any = event.data
    completed = event.time if data.completed is UNSET else data.completed
    return _end(state, event, limits, 2, data.completionStatus, completed)


def _end(state: TaskState, event: TaskEvent, limits: Limits, level: int, status: str, completed: str) -> bool:
    truncated = state.truncated
    entry = attempt_entry(state, event.attempt, limits)
    if entry is None:
        return state.truncated is not truncated
    changed = set_verdict(entry, level, event.stamp, status, completed)
    if event.kind == "launched":
        changed = set_launched(entry, event.stamp) or changed
    return changed


REDUCERS: Mapping[str, Reducer] = {
    "created": _created,
    "updated": _updated,
    "launched": _launched,
    "progressed": _progressed,
    "messaged": _messaged,
    "returned": _returned,
    "completed": _completed,
    "corrected": _corrected,
}


def apply(state: TaskState, event: TaskEvent, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Fold one event into its task's state, in place; True if the state changed (applied), False if not (unchanged)."""
    if event.kind == "deleted":
        return set_deleted(state)
    if state.forgotten is not False and event.attempt <= forgotten_attempts(state):
        return False
    changed = REDUCERS[event.kind](state, event, limits)
    time = event.time
    if time > state.modified and state.first and event.attempt <= state.attempt:  # nearly always: the next event of its attempt
        state.modified = time
        return True
    return set_times(state, event.attempt, time) or changed


def fold(state: TaskState, events: Iterable[TaskEvent], limits: Limits = DEFAULT_LIMITS) -> int:
    """Fold the events of one task into its state, in place; how many of them were applied (the others were unchanged)."""
    return sum([apply(state, event, limits) for event in events])
