"""The joins: how a value enters a register, and how two states of one task become the state of both their events.

Each function changes its first argument and says whether it changed. All are total: any order, any repetition, no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from tracker.fold.event import stamp_head
from tracker.fold.json_text import canonical
from tracker.fold.shapes import Message
from tracker.fold.state import Attempt, Kept, Layer, Purged, Said, TaskState, copy, keep_latest_messages, mark_truncated
from tracker.model.limits import DEFAULT_LIMITS, MAX_ATTEMPT, Limits


def set_values(layers: list[Layer], stamp: str, values: dict[str, Any]) -> bool:
    """Each name takes the value of the greatest stamp; of one stamp's two values the one of greater canonical JSON.

    ``values`` is not empty, and becomes the layers' own.
    """
    if not layers:
        layers.append(Layer(stamp, values))
        return True
    last = layers[-1]
    if stamp > last.stamp:  # nearly always: events mostly come in order
        if last.values.keys() == values.keys():
            last.stamp, last.values = stamp, values
            return True
        emptied = False
        for layer in layers:
            held = layer.values
            if not values.keys().isdisjoint(held):
                for name in values.keys() & held.keys():
                    del held[name]
                emptied = emptied or not held
        if emptied:
            layers[:] = [layer for layer in layers if layer.values]
        layers.append(Layer(stamp, values))
        return True
    return _set_late(layers, stamp, values)


def _set_late(layers: list[Layer], stamp: str, values: Mapping[str, Any]) -> bool:
    own = next((layer for layer in layers if layer.stamp == stamp), None)
    won: dict[str, Any] = {}
    changed = False
    for name, value in values.items():
        holder = next((layer for layer in layers if name in layer.values), None)
        if holder is None or holder.stamp < stamp:
            won[name] = value
            if holder is not None:
                del holder.values[name]
        elif holder is own and _outranks(value, own.values[name]):
            own.values[name] = value
            changed = True
    if not won:
        return changed
    if own is None:
        layers.append(Layer(stamp, won))
        layers.sort(key=lambda layer: layer.stamp)
    else:
        own.values.update(won)
    layers[:] = [layer for layer in layers if layer.values]
    return True


def _outranks(value: Any, held: Any) -> bool:
    return canonical(value) > canonical(held)


def set_attributes(state: TaskState, stamp: str, attributes: Mapping[str, Any], limits: Limits) -> bool:
    """`set_values` for attribute keys, of which only the first in code point order are kept."""
    if not attributes:
        return False
    count = len(attributes)
    for layer in state.attributes:
        count += len(layer.values)
    if count <= limits.attributes:
        return set_values(state.attributes, stamp, dict(attributes))
    return _set_crowded_attributes(state, stamp, attributes, limits)


def _set_crowded_attributes(state: TaskState, stamp: str, attributes: Mapping[str, Any], limits: Limits) -> bool:
    layers = state.attributes
    known = {name for layer in layers for name in layer.values}
    kept = sorted(known | attributes.keys())[: limits.attributes]
    if len(kept) == len(known | attributes.keys()):
        return set_values(layers, stamp, dict(attributes))
    changed = "attributes" not in state.truncated
    mark_truncated(state, "attributes")
    for layer in layers:
        for name in layer.values.keys() - kept:
            del layer.values[name]
            changed = True
    layers[:] = [layer for layer in layers if layer.values]
    admitted = {name: attributes[name] for name in kept if name in attributes}
    return (bool(admitted) and set_values(layers, stamp, admitted)) or changed


def attempt_entry(state: TaskState, number: int, limits: Limits) -> Attempt | None:
    """The entry of an attempt, made if it is new; None if it is below the greatest ones that are kept."""
    attempts = state.attempts
    if attempts and attempts[-1].number == number:
        return attempts[-1]
    for entry in reversed(attempts):
        if entry.number == number:
            return entry
        if entry.number < number:
            break
    if len(attempts) >= limits.attempts:
        mark_truncated(state, "attempts")
        if number < attempts[0].number:
            return None
        del attempts[0]
    entry = Attempt(number)
    attempts.append(entry)
    if len(attempts) > 1 and attempts[-2].number > number:
        attempts.sort(key=lambda attempt: attempt.number)
    return entry


def set_launched(entry: Attempt, stamp: str) -> bool:
    """The latest ``launched`` event of an attempt."""
    if stamp > entry.launched:
        entry.launched = stamp
        return True
    return False


def set_verdict(entry: Attempt, level: int, stamp: str, status: str, completed: str) -> bool:
    """The greatest (level, stamp) decides; of one level and stamp the greater (status, completed), in flight being the least."""
    if level > entry.level or (level, stamp, status, completed) > (entry.level, entry.stamp, entry.status, entry.completed):
        entry.level, entry.stamp, entry.status, entry.completed = level, stamp, status, completed
        return True
    return False


def set_message(state: TaskState, stamp: str, message: Message, limits: Limits) -> bool:
    """Of the messages of one identity the latest counts."""
    cut = stamp_head(stamp)
    head, identity = stamp[:cut], stamp[cut:]
    return _set_said(state, identity, Said(head, cast("Kept", message)), limits)  # they differ in what may be read back only


def _set_said(state: TaskState, identity: str, said: Said, limits: Limits) -> bool:
    messages = state.messages
    held = messages.get(identity)
    if held is not None and (
        said.head < held.head or (said.head == held.head and _message_json(said.message) <= _message_json(held.message))
    ):
        return False
    messages[identity] = said
    if len(messages) > 2 * limits.messages:  # bounded in memory too; the cap itself is due when the state is stored
        keep_latest_messages(state, limits)
    return True


def _message_json(message: Kept) -> bytes:
    return canonical(msgspec.to_builtins(message))


def set_return(state: TaskState, stamp: str, name: str, attribute_name: str, limits: Limits) -> bool:
    """The smallest stamp of a (name, attributeName); the first are kept."""
    of_name = state.returns.get(name)
    held = None if of_name is None else of_name.get(attribute_name)
    if held is not None:
        if stamp >= held:
            return False
    elif sum(map(len, state.returns.values())) >= limits.returns:
        return _set_crowded_return(state, stamp, name, attribute_name)
    state.returns.setdefault(name, {})[attribute_name] = stamp
    return True


def _set_crowded_return(state: TaskState, stamp: str, name: str, attribute_name: str) -> bool:
    changed = "returns" not in state.truncated
    mark_truncated(state, "returns")
    greatest = max((held, a, b) for a, of_name in state.returns.items() for b, held in of_name.items())
    if (stamp, name, attribute_name) > greatest:
        return changed
    _, a, b = greatest
    del state.returns[a][b]
    if not state.returns[a]:
        del state.returns[a]
    state.returns.setdefault(name, {})[attribute_name] = stamp
    return True


def set_times(state: TaskState, attempt: int, time: str) -> bool:
    """What every event tells: the greatest attempt, the first and the last time."""
    changed = False
    if time > state.modified:
        state.modified = time
        changed = True
    if time < state.first or not state.first:
        state.first = time
        changed = True
    if attempt > state.attempt:
        state.attempt = attempt
        changed = True
    return changed


def set_created(state: TaskState, time: str) -> bool:
    """The smallest time of the ``created`` events."""
    if time < state.created or not state.created:
        state.created = time
        return True
    return False


def set_deleted(state: TaskState) -> bool:
    """Forget all else, for ever."""
    if state.forgotten is True:
        return False
    _become(state, TaskState(forgotten=True))
    return True


def set_purged(state: TaskState, at: str) -> bool:
    """Forget all of a task that is not in flight but its attempt and how that ended; False if it is, or is gone already.

    ``at``: when that is done, 26 characters of UTC; no status depends on it. Only who writes a store's row may do so, by the revision that it
    was loaded at: so there is no event of a later attempt that the mark could swallow.
    """
    last = state.attempts[-1] if state.attempts else None
    if last is None or last.number != state.attempt or not last.status:
        return False
    _become(state, TaskState(forgotten=Purged(last.number, last.status, last.completed, at)))
    return True


def forgotten_attempts(state: TaskState) -> int:
    """Up to which attempt everything is forgotten: 0 nothing, of a deleted task more than there can be."""
    forgotten = state.forgotten
    if isinstance(forgotten, bool):
        return MAX_ATTEMPT + 1 if forgotten else 0
    return forgotten.attempt


def _become(state: TaskState, other: TaskState) -> None:
    for name in TaskState.__struct_fields__:
        setattr(state, name, getattr(other, name))


def merge(a: TaskState, b: TaskState, limits: Limits = DEFAULT_LIMITS) -> TaskState:
    """The state of the union of both states' events: associative, commutative, idempotent. Neither argument is changed."""
    return merge_into(copy(a), copy(b), limits)


def merge_into(state: TaskState, other: TaskState, limits: Limits = DEFAULT_LIMITS) -> TaskState:
    """`merge`, into the first state; parts of the other may become parts of it, so neither may be used for anything else."""
    if state.forgotten != other.forgotten:
        # What one of them knows of later attempts can't be told from what the other has forgotten, so it counts for nothing: whoever wants
        # it folds those events into the mark. In other words the greater of (attempts forgotten, registers), registers being joined.
        mine, theirs = forgotten_attempts(state), forgotten_attempts(other)
        if mine < theirs:
            _become(state, other)
        if mine != theirs:
            return state
        state.forgotten = max(cast("Purged", state.forgotten), cast("Purged", other.forgotten))
    if other.attempt:
        set_times(state, other.attempt, other.modified)
        set_times(state, other.attempt, other.first)
    if other.created:
        set_created(state, other.created)
    for layer in other.fields:
        set_values(state.fields, layer.stamp, layer.values)
    for layer in other.attributes:
        set_attributes(state, layer.stamp, layer.values, limits)
    for attempt in other.attempts:
        entry = attempt_entry(state, attempt.number, limits)
        if entry is not None:
            set_launched(entry, attempt.launched)
            set_verdict(entry, attempt.level, attempt.stamp, attempt.status, attempt.completed)
    for identity, said in other.messages.items():
        _set_said(state, identity, said, limits)
    for name, of_name in other.returns.items():
        for attribute_name, stamp in of_name.items():
            set_return(state, stamp, name, attribute_name, limits)
    for name in other.truncated:
        mark_truncated(state, name)
    return state
