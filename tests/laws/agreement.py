"""What the product and the oracle say of one record or one task, put side by side: a difference is a sentence, agreement is None."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tests.naive.decode import NaiveEvent, naive_decode
from tests.naive.fold import naive_fold
from tests.naive.values import canonical
from tracker.fold.decode import Decoder
from tracker.fold.event import Ignored, Parked, TaskEvent, stamp_parts
from tracker.fold.state import TaskState
from tracker.fold.view import extension, view
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record

SMALL = Limits(messages=3, returns=3, attributes=4, attempts=2)
"""Caps that logs of a dozen events overflow."""


def is_tombstone(record: Record) -> bool:
    """A null value without ``ce_`` headers. It has no stamp worth comparing, as nothing of it but the task's id is kept."""
    return record.value is None and not any(name.startswith("ce_") for name, _ in record.headers)


def verdict(result: TaskEvent | Ignored | Parked) -> str:
    """A decoder's answer in the oracle's words: ``"event"``, ``"ignored"`` or ``"parked:REASON"``."""
    if isinstance(result, Parked):
        return f"parked:{result.reason}"
    return "ignored" if isinstance(result, Ignored) else "event"


def decode_difference(decoder: Decoder, record: Record, limits: Limits = DEFAULT_LIMITS) -> str | None:
    """How the decoder and the oracle differ on one record, in verdict, reason or any value."""
    result = decoder.decode(record)
    expected = naive_decode(record, max_bytes=limits.max_record_bytes, max_future_s=limits.max_future_s)
    if isinstance(expected, str):
        return None if verdict(result) == expected else f"got {result}, expected {expected}, of {_cut(record)}"
    if not isinstance(result, TaskEvent):
        return f"got {result}, expected {expected}, of {_cut(record)}"
    got = event_values(result, tombstone=is_tombstone(record))
    wanted = _naive_values(expected, tombstone=is_tombstone(record))
    return None if got == wanted else f"got {got}, expected {wanted}, of {_cut(record)}"


def event_values(event: TaskEvent, *, tombstone: bool = False) -> tuple[object, ...]:
    """All of an event as plain values, the data as canonical JSON (which tells 1, 1.0 and true apart)."""
    data = canonical(msgspec.to_builtins(event.data))
    if tombstone:
        return (event.kind, event.task_id, event.attempt, data)
    stamp = stamp_parts(event.stamp)
    return (event.kind, event.task_id, event.attempt, event.time, *msgspec.structs.astuple(stamp), data)


def _naive_values(event: NaiveEvent, *, tombstone: bool) -> tuple[object, ...]:
    data = canonical(event.data)
    if tombstone:
        return (event.kind, event.task_id, event.attempt, data)
    return (event.kind, event.task_id, event.attempt, event.time, *event.stamp, data)


def _cut(record: Record) -> str:
    text = repr(record)
    return text if len(text) < 3000 else f"{text[:1500]} ... {text[-1000:]}"


def document(task_id: str, state: TaskState, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any] | None:
    """A state as the oracle writes a task: the 18 keys and ``tracker``; None if it was deleted."""
    if state.deleted:
        return None
    return {**view(task_id, state, limits), "tracker": extension(state, limits)}


def document_difference(task_id: str, state: TaskState, expected: dict[str, Any] | None, limits: Limits = DEFAULT_LIMITS) -> str | None:
    """How a state's document differs from the oracle's: values, their types, and the order of all keys count."""
    got = json.dumps(document(task_id, state, limits), ensure_ascii=False)
    wanted = json.dumps(expected, ensure_ascii=False)
    return None if got == wanted else f"task {task_id!r}:\n got      {got}\n expected {wanted}"


def naive_documents(records: Iterable[Record], limits: Limits = DEFAULT_LIMITS) -> dict[str, dict[str, Any] | None]:
    """The oracle's document of every task of a log, under given caps."""
    events = [event for event in map(naive_decode, records) if isinstance(event, NaiveEvent)]
    return naive_fold(events, messages=limits.messages, returns=limits.returns, attributes=limits.attributes, attempts=limits.attempts)


def events_by_task(records: Sequence[Record], decoder: Decoder | None = None) -> dict[str, list[TaskEvent]]:
    """The log's valid events of each task, in the log's order."""
    decode = (decoder or Decoder()).decode
    of_task: dict[str, list[TaskEvent]] = {}
    for event in map(decode, records):
        if isinstance(event, TaskEvent):
            of_task.setdefault(event.task_id, []).append(event)
    return of_task
