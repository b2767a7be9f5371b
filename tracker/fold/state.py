"""TaskState: what is remembered of one task, as registers that can only be joined.

Every register keeps the winner by a fixed order (the stamp, or a time), so the state of a set of events is the same
whatever the order, the duplicates and the batches they came in. Nothing here looks at a clock or at an arrival order.

``registers.py`` joins, ``reducers.py`` says which register an event goes to, ``view.py`` reads the status out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tracker.errors import StoreError
from tracker.fold.shapes import Message
from tracker.model.limits import DEFAULT_LIMITS, Limits


class Layer(msgspec.Struct, array_like=True, gc=False):
    """The names that one event's values still win. A name stands only in the layer that wins it, so a stamp is kept once."""

    stamp: str
    values: dict[str, Any]


class Attempt(msgspec.Struct, array_like=True, gc=False):
    """How one attempt was launched and ended."""

    number: int
    launched: str = ""
    """Stamp of the latest ``launched`` event; empty if there is none."""
    level: int = -1
    """Of the deciding event: 2 corrected, 1 completed for good, 0 launched or TEMPERROR; −1 if there is none."""
    stamp: str = ""
    status: str = ""
    """Empty while in flight."""
    completed: str = ""


class Kept(Message):
    """A message as it is read back: the parameters may be of any depth and range, which the common event's shape narrows."""

    parameters: list[dict[str, Any] | str] | None = msgspec.field(default_factory=list)


class Said(msgspec.Struct, array_like=True, gc=False):
    """One message; its identity (source and id) is the key it is kept under, so the stamp is cut before that."""

    head: str
    message: Kept


class Purged(msgspec.Struct, array_like=True, frozen=True, order=True, gc=False):
    """What is left of attempts that retention has purged: the last of them, and how it ended."""

    attempt: int
    status: str
    completed: str
    at: str
    """When it was purged, by the clock of whoever did it."""


class TaskState(msgspec.Struct, array_like=True, gc=False):
    """All that is known of one task. Equal states have equal bytes."""

    forgotten: Purged | bool = False
    """True: a tombstone, then all else is empty, for ever. A mark: all else is of later attempts alone, for ever. False: nothing was forgotten."""
    attempt: int = 0
    """The greatest attempt of all events; 0 when there were none."""
    created: str = ""
    """The smallest time of the ``created`` events."""
    first: str = ""
    """The smallest time of all events."""
    modified: str = ""
    """The greatest time of all events."""
    fields: list[Layer] = msgspec.field(default_factory=list)
    """The scalar fields, ``progress`` and ``percentComplete``: ascending by stamp, no empty layer."""
    attributes: list[Layer] = msgspec.field(default_factory=list)
    """Attribute keys, likewise."""
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    """Ascending by number."""
    messages: dict[str, Said] = msgspec.field(default_factory=dict)
    """By identity: source, U+0000, id."""
    returns: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    """By name, by attributeName: the smallest stamp."""
    truncated: list[str] = msgspec.field(default_factory=list)
    """Names of the fields of which something was dropped, sorted."""

    @property
    def deleted(self) -> bool:
        """Whether there is no status: by a ``deleted`` event, or purged and not opened again by a later attempt."""
        return self.forgotten is True or (self.forgotten is not False and not self.attempt)

    @property
    def purged(self) -> Purged | None:
        """The mark of a task that was purged, whether it was opened again since or not."""
        return None if isinstance(self.forgotten, bool) else self.forgotten


DAMAGED = "the store is damaged; restore a copy, or fold the log again with 'tracker rebuild'"
"""What to do where a state is none."""
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(TaskState).decode


def to_bytes(state: TaskState, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The canonical bytes (MessagePack, keys sorted). Enforces the cap on messages, which is due when a state is stored."""
    if len(state.messages) > limits.messages:
        keep_latest_messages(state, limits)
    return _encode(state)


def from_bytes(data: bytes) -> TaskState:
    """The state of these bytes; raises `StoreError` if they are none."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"a stored state can't be read ({error}): {DAMAGED}") from error


def copy(state: TaskState) -> TaskState:
    """A state that shares nothing with the first. The cap on messages is not due here, so the first is left as it is."""
    return _decode(_encode(state))


def mark_truncated(state: TaskState, name: str) -> None:
    """Say that something of ``name`` was dropped."""
    if name not in state.truncated:
        state.truncated = sorted([*state.truncated, name])


def keep_latest_messages(state: TaskState, limits: Limits) -> None:
    """Drop all but the latest messages by stamp. The kept set is the top of a total order, so dropping commutes with joins."""
    latest = sorted(state.messages.items(), key=lambda item: item[1].head + item[0])[-limits.messages :]
    state.messages = dict(latest)
    mark_truncated(state, "messages")
