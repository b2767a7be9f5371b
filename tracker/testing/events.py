"""Task events with sensible defaults, and the proof that a set of them converges.

    events = [created("t1", unique_name="Nightly"), launched("t1", time=seconds(1)), completed("t1", time=seconds(2), completion_status="SUCCESS")]
    assert_convergent(events)

An event is a pure function of its arguments. An id that is not given is made of all the others, so that equal calls give the same
event twice, as a redelivery does, and calls that differ in anything give two events.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar

from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.fold.reducers import fold
from tracker.fold.registers import merge
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.model import events as model
from tracker.model.events import CloudEvent
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record

E = TypeVar("E", bound=CloudEvent)

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""The time of an event that is given none."""


def seconds(count: float) -> datetime:
    """So many seconds after `BEGINNING`."""
    return BEGINNING + timedelta(seconds=count)


def created(task_id: str, *, time: datetime | str = BEGINNING, id: str | None = None, **more: Any) -> model.TaskCreated:
    """``created``; ``more`` are ``source``, ``attempt``, ``sequence`` and the fields of `tracker.model.event_data.CreatedData`."""
    return _made(model.TaskCreated, task_id, time, id, more)


def updated(task_id: str, *, time: datetime | str = BEGINNING, id: str | None = None, **more: Any) -> model.TaskUpdated:
    """``updated``; the fields are those of ``created``."""
    return _made(model.TaskUpdated, task_id, time, id, more)


def launched(task_id: str, *, time: datetime | str = BEGINNING, id: str | None = None, **more: Any) -> model.TaskLaunched:
    """``launched``: ``launcher``, ``attributes``."""
    return _made(model.TaskLaunched, task_id, time, id, more)


def progressed(task_id: str, *, time: datetime | str = BEGINNING, id: str | None = None, **more: Any) -> model.TaskProgressed:
    """``progressed``: ``progress``, ``percent_complete``, ``attributes``."""
    return _made(model.TaskProgressed, task_id, time, id, more)


def messaged(task_id: str, text: str, *, time: datetime | str = BEGINNING, id: str | None = None, **more: Any) -> model.TaskMessaged:
    """``messaged``: an INFO message in English with this text; ``type``, ``key`` and ``parameters`` may be given."""
    given = {"type": "INFO", "key": "message", "localized_text": {"locale": "en", "message": text}, **more}
    return _made(model.TaskMessaged, task_id, time, id, given)


def returned(task_id: str, *, time: datetime | str = BEGINNING, id: str | None = None, **more: Any) -> model.TaskReturned:
    """``returned``: ``name`` and ``attribute_name``, both "result" unless given."""
    return _made(model.TaskReturned, task_id, time, id, {"name": "result", "attribute_name": "result", **more})


def completed(task_id: str, *, time: datetime | str = BEGINNING, id: str | None = None, **more: Any) -> model.TaskCompleted:
    """``completed``: ``completion_status``, SUCCESS unless given, and ``attributes``."""
    return _made(model.TaskCompleted, task_id, time, id, {"completion_status": "SUCCESS", **more})


def corrected(task_id: str, *, time: datetime | str = BEGINNING, id: str | None = None, **more: Any) -> model.TaskCorrected:
    """``corrected``: ``completion_status``, SUCCESS unless given, and ``completed``."""
    return _made(model.TaskCorrected, task_id, time, id, {"completion_status": "SUCCESS", **more})


def deleted(task_id: str, *, time: datetime | str = BEGINNING, id: str | None = None, **more: Any) -> model.TaskDeleted:
    """``deleted``: no fields."""
    return _made(model.TaskDeleted, task_id, time, id, more)


def _made(shape: type[E], task_id: str, time: datetime | str, id: str | None, more: dict[str, Any]) -> E:
    attributes: dict[str, Any] = {name: more.pop(name) for name in ("source", "attempt", "sequence") if name in more}
    data_shape: Any = shape.model_fields["data"].annotation
    unknown = more.keys() - data_shape.model_fields.keys()
    if unknown:
        raise TypeError(f"{shape.__name__} has no field {', '.join(sorted(unknown))}; it has {', '.join(data_shape.model_fields)}")
    attributes = {"source": "/testing", **attributes, "subject": task_id, "time": time}
    if more:
        attributes["data"] = data_shape(**more)
    if id is None:
        whole = json.dumps([shape.__name__, attributes, more], sort_keys=True, default=str)
        id = hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()
    return shape(id=id, **attributes)


def to_records(events: Iterable[CloudEvent | bytes | Record], *, topic: str = "events", partition: int = 0) -> list[Record]:
    """Events (models, or bytes as they come) as the bare records of one partition, offsets from 0; records stay what they are."""
    return [
        event if isinstance(event, Record) else Record(topic, partition, offset, event if isinstance(event, bytes) else event.to_json())
        for offset, event in enumerate(events)
    ]


def assert_convergent(
    events: Iterable[CloudEvent | bytes | Record], *, limits: Limits = DEFAULT_LIMITS, rounds: int = 10, seed: int = 0
) -> dict[str, TaskState]:
    """Fold the events of each task in many orders, with duplicates, in batches and in parts that are merged: the bytes must be equal.

    Returns each task's state by its id. Raises AssertionError where bytes differ (naming the task and what was done), and where an event
    is none. ``rounds`` random rearrangements are drawn from ``seed``.
    """
    rng = Random(seed)  # noqa: S311 - a test that can be run again
    decode = Decoder(limits).decode
    of_task: dict[str, list[TaskEvent]] = {}
    for record in to_records(events):
        verdict = decode(record)
        assert isinstance(verdict, TaskEvent), f"no task event: {verdict} of {record}"
        of_task.setdefault(verdict.task_id, []).append(verdict)
    return {task_id: _converged(task_id, of_one, limits, rng, rounds) for task_id, of_one in of_task.items()}


def _converged(task_id: str, events: Sequence[TaskEvent], limits: Limits, rng: Random, rounds: int) -> TaskState:
    wanted = _folded([events], limits)
    found = {"folded backwards": _folded([events[::-1]], limits), "stored after each event": _folded([[event] for event in events], limits)}
    for number in range(rounds):
        again = [*events, *rng.choices(events, k=rng.randint(0, len(events)))]
        rng.shuffle(again)
        found[f"shuffled and doubled (round {number})"] = _folded([again], limits)
        cut = rng.randint(0, len(again))
        found[f"in two batches (round {number})"] = _folded([again[:cut], again[cut:]], limits)
        first, second = (from_bytes(_folded([part], limits)) for part in (again[:cut], again[cut:]))
        found[f"in two parts, merged (round {number})"] = to_bytes(merge(second, first, limits), limits)
    for done, state in found.items():
        assert state == wanted, f"task {task_id!r}: {done}, its events give another state:\n{from_bytes(state)}\n{from_bytes(wanted)}"
    return from_bytes(wanted)


def _folded(batches: Iterable[Sequence[TaskEvent]], limits: Limits) -> bytes:
    """The bytes in the store after each batch was loaded, folded and stored."""
    stored = to_bytes(TaskState(), limits)
    for batch in batches:
        state = from_bytes(stored)
        fold(state, batch, limits)
        stored = to_bytes(state, limits)
    return stored
