"""TaskState -> what people see: the 18 keys, the extension beyond them, the columns of a row, and why a field is what it is."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tracker.fold.event import StampParts, stamp_attempt, stamp_parts, stamp_time
from tracker.fold.state import Attempt, Kept, Layer, Purged, TaskState
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.rows import Columns
from tracker.model.times import shown

PhaseName = Literal["PENDING", "RUNNING", "COMPLETED"]

DEFAULTS: dict[str, Any] = {
    "type": "QUEUED_TASK",
    "description": "",
    "parentName": None,
    "parentId": None,
    "launcher": "",
    "target": None,
    "taskDefinitionSummary": None,
}
"""What a field shows that no event has set; ``uniqueName`` shows the task's id."""
TARGET = ("id", "type", "name")
DEFINITION = ("id", "uniqueName", "description", "parentName", "executor", "arguments")
"""Members in the order in which they are shown; a state's bytes have all keys sorted."""

_SCALARS = frozenset((str, int, float, bool, type(None)))
"""Most values are of these: a look here takes a third of the call that would give them back as they are."""


def view(task_id: str, state: TaskState, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """The status document: exactly the 18 keys, in the contract's order. Of a deleted or purged task there is none: KeyError."""
    if state.deleted:
        raise KeyError(task_id)
    field = field_values(state)
    launched, status, completed = _ended(current_attempt(state))
    return {
        "id": task_id,
        "type": field["type"],
        "uniqueName": field.get("uniqueName", task_id),
        "description": field["description"],
        "parentName": field["parentName"],
        "launcher": field["launcher"],
        "target": _ordered(field["target"], TARGET),
        "created": shown(state.created or state.first),
        "modified": shown(state.modified),
        "launched": launched,
        "completed": completed,
        "completionStatus": status,
        "messages": _messages(state, limits),
        "returns": _returns(state),
        "attributes": _attributes(state),
        "progress": field.get("progress"),
        "percentComplete": 100 if status in ("SUCCESS", "WARNING") else field.get("percentComplete", 0),
        "taskDefinitionSummary": _sorted_inside(_ordered(field["taskDefinitionSummary"], DEFINITION), "arguments"),
    }


def extension(state: TaskState, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """What the tracker knows beyond the 18: state, attempt, attempts, parentId, truncated (the store adds the revision)."""
    truncated = cut_fields(state)
    if len(state.messages) > limits.messages:  # `view` cuts them too, in a state that was not stored yet
        truncated.add("messages")
    return {
        "state": phase(state),
        "attempt": state.attempt,
        "attempts": [_attempt(entry) for entry in state.attempts],
        "parentId": field_values(state)["parentId"],
        "truncated": sorted(truncated),
    }


def cut_fields(state: TaskState) -> set[str]:
    """Names of the fields of which something was dropped, and ``purged`` where all of earlier attempts was."""
    return {*state.truncated, "purged"} if state.purged else set(state.truncated)


def phase(state: TaskState) -> PhaseName:
    """COMPLETED if the current attempt has a verdict, else RUNNING if it was launched, else PENDING."""
    current = current_attempt(state)
    if current is None:
        return "PENDING"
    return "COMPLETED" if current.status else "RUNNING" if current.launched else "PENDING"


def current_attempt(state: TaskState) -> Attempt | None:
    """The entry of the current attempt; None if that attempt was neither launched nor ended."""
    if state.attempts and state.attempts[-1].number == state.attempt:
        return state.attempts[-1]
    return None


def greatest_sequence(state: TaskState) -> int:
    """The greatest sequence among the events that the state remembers; 0 if they are not numbered."""
    stamps = [layer.stamp for layer in (*state.fields, *state.attributes)]
    stamps += (stamp for entry in state.attempts for stamp in (entry.launched, entry.stamp) if stamp)
    stamps += (said.head for said in state.messages.values())
    stamps += (stamp for of_name in state.returns.values() for stamp in of_name.values())
    return max((stamp_parts(stamp).sequence for stamp in stamps), default=0)


def columns(task_id: str, state: TaskState) -> Columns | None:
    """The scalar fields of a task's row; None if the task is deleted, or purged and not opened again."""
    return None if state.deleted else scalars(task_id, state, field_values(state))


def scalars(task_id: str, state: TaskState, field: dict[str, Any]) -> Columns:
    """`columns` of a task that is not deleted; ``field`` is what `field_values` gives."""
    get = field.get
    target = get("target") or {}
    status = completed = launched = None
    phase_name: PhaseName = "PENDING"
    current = current_attempt(state)
    if current is not None:
        if current.launched:
            launched, phase_name = stamp_time(current.launched) + "Z", "RUNNING"
        if current.status:
            status, completed, phase_name = current.status, current.completed + "Z", "COMPLETED"
    return Columns(
        get("type", "QUEUED_TASK"),
        get("uniqueName", task_id),
        get("description", ""),
        get("parentName"),
        get("parentId"),
        get("launcher", ""),
        target.get("id"),
        target.get("type"),
        target.get("name"),
        (state.created or state.first) + "Z",
        state.modified + "Z",
        launched,
        completed,
        status,
        get("progress"),
        100 if status in ("SUCCESS", "WARNING") else get("percentComplete", 0),
        phase_name,
        state.attempt,
    )


def field_values(state: TaskState) -> dict[str, Any]:
    """Every scalar field that is set, with the defaults of the others; progress only if it is of the current attempt."""
    field = dict(DEFAULTS)
    attempt = state.attempt
    for layer in state.fields:
        values = layer.values
        if attempt > 1 and stamp_attempt(layer.stamp) != attempt:
            values = {name: value for name, value in values.items() if name not in ("progress", "percentComplete")}
        field.update(values)
    return field


def _ended(entry: Attempt | None) -> tuple[str | None, str | None, str | None]:
    if entry is None:
        return None, None, None
    launched = shown(stamp_time(entry.launched)) if entry.launched else None
    return launched, entry.status or None, shown(entry.completed) if entry.status else None


def _attempt(entry: Attempt) -> dict[str, Any]:
    launched, status, completed = _ended(entry)
    return {"attempt": entry.number, "launched": launched, "completed": completed, "completionStatus": status}


def _messages(state: TaskState, limits: Limits) -> list[dict[str, Any]]:
    if not state.messages:
        return []
    ordered = sorted(state.messages.items(), key=lambda item: item[1].head + item[0])[-limits.messages :]
    return [_message(said.message) for _, said in ordered]


def _message(message: Kept) -> dict[str, Any]:
    text = message.localizedText
    return {
        "type": message.type,
        "localizedText": {"locale": text.locale, "message": text.message},
        "key": message.key,
        "parameters": _sorted(message.parameters),
    }


def _returns(state: TaskState) -> list[dict[str, Any]]:
    ordered = sorted((stamp, name, attribute) for name, of_name in state.returns.items() for attribute, stamp in of_name.items())
    return [{"name": name, "attributeName": attribute} for _, name, attribute in ordered]


def _attributes(state: TaskState) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for layer in state.attributes:
        held.update(layer.values)
    return {name: held[name] if type(held[name]) in _SCALARS else _sorted(held[name]) for name in sorted(held)}


def _ordered(document: Any, names: tuple[str, ...]) -> Any:
    return None if document is None else {name: document[name] for name in names}


def _sorted_inside(document: Any, name: str) -> Any:
    if document is None:
        return None
    return {**document, name: _sorted(document[name])}


def _sorted(value: Any) -> Any:
    """Every object inside with its keys in code point order."""
    if type(value) is dict:
        return {name: value[name] if type(value[name]) in _SCALARS else _sorted(value[name]) for name in sorted(value)}
    if type(value) is list:
        return [member if type(member) in _SCALARS else _sorted(member) for member in value]
    return value


class Reason(msgspec.Struct, frozen=True):
    """Why one field is what it is: the event that set it, or the rule by which it follows from several."""

    value: Any
    event: StampParts | None = None
    rule: str | None = None


def why(task_id: str, state: TaskState, limits: Limits = DEFAULT_LIMITS) -> dict[str, Reason]:
    """Each field that an event has set, with that event; ``created``, ``modified`` and ``attempt`` with their rule.

    Attributes are listed as ``attributes.KEY``, messages and returns as ``messages[N]`` and ``returns[N]``.
    """
    purged = state.purged
    if state.deleted and purged is None:
        return {"deleted": Reason(value=True, rule="a deleted event is final: nothing else of the task is kept")}
    if purged is not None:
        reasons = {"purged": Reason(shown(purged.at), rule=_purged_rule(purged))}
        return reasons if state.deleted else reasons | _why(task_id, state, limits)
    return _why(task_id, state, limits)


def purged_at(state: TaskState) -> str | None:
    """When attempts of the task were purged, as a row has it."""
    return None if state.purged is None else state.purged.at + "Z"


def _purged_rule(purged: Purged) -> str:
    return f"attempt {purged.attempt} had ended with {purged.status} at {shown(purged.completed)}; events up to that attempt are not folded any more"


def _why(task_id: str, state: TaskState, limits: Limits) -> dict[str, Reason]:
    document = {**view(task_id, state, limits), "parentId": field_values(state)["parentId"]}
    reasons = {
        "created": Reason(
            document["created"],
            rule="the smallest time of the created events" if state.created else "the smallest time of all events (none is created)",
        ),
        "modified": Reason(document["modified"], rule="the greatest time of all events"),
        "attempt": Reason(state.attempt, rule="the greatest attempt of all events"),
    }
    for layer in state.fields:
        reasons.update(_of_layer(layer, state, document))
    current = current_attempt(state)
    if current is not None:
        if current.launched:
            reasons["launched"] = Reason(document["launched"], stamp_parts(current.launched))
        for name in ("completionStatus", "completed"):
            reasons[name] = Reason(
                document[name], stamp_parts(current.stamp), None if current.status else "in flight: no end since this launch"
            )
    if document["completionStatus"] in ("SUCCESS", "WARNING") and current is not None:
        reasons["percentComplete"] = Reason(100, stamp_parts(current.stamp), "100 whenever the task ended with SUCCESS or WARNING")
    for layer in state.attributes:
        for name in layer.values:
            reasons[f"attributes.{name}"] = Reason(document["attributes"][name], stamp_parts(layer.stamp))
    said = sorted(said.head + identity for identity, said in state.messages.items())
    for index, stamp in enumerate(said[len(said) - len(document["messages"]) :]):
        reasons[f"messages[{index}]"] = Reason(document["messages"][index], stamp_parts(stamp))
    first = sorted((stamp, name, attribute) for name, of_name in state.returns.items() for attribute, stamp in of_name.items())
    for index, (stamp, _, _) in enumerate(first):
        reasons[f"returns[{index}]"] = Reason(document["returns"][index], stamp_parts(stamp))
    return reasons


def _of_layer(layer: Layer, state: TaskState, document: dict[str, Any]) -> dict[str, Reason]:
    event = stamp_parts(layer.stamp)
    of_attempt = event.attempt == state.attempt
    return {name: Reason(document[name], event) for name in layer.values if of_attempt or name not in ("progress", "percentComplete")}
