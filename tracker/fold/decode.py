"""Record -> TaskEvent | Ignored | Parked. The common shape is read by msgspec in one go; all else by the exact reader.

The fast path only ever says yes. Whatever it would not take (an error, an unknown member, a missing time, a long value, odd
characters, many brackets) is read again from the start by ``exact.read``, which gives the verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

import msgspec
import orjson
from msgspec import UNSET

from tracker.fold import exact
from tracker.fold.event import FIRST, IGNORED, Ignored, Parked, TaskEvent, number
from tracker.fold.json_text import integers_fit
from tracker.fold.shapes import DATA, EVENTS, TYPE_PREFIX, Correction, Described, Message
from tracker.model.limits import DEFAULT_LIMITS, MAX_DEPTH, MAX_ID_CODE_POINTS, Limits
from tracker.model.records import Record
from tracker.model.times import from_millis, to_utc

_decode_event = msgspec.json.Decoder(Union[tuple(EVENTS)]).decode  # noqa: UP007 - a union made from a table
_HOUR_MS = 3_600_000


def _attributes_fit(data: Any) -> bool:
    attributes = data.attributes
    return attributes is UNSET or integers_fit(attributes.values())


def _described_fits(data: Described) -> bool:
    definition = data.taskDefinitionSummary
    if definition and not integers_fit(definition.arguments.values()):  # neither UNSET nor null
        return False
    return data.attributes is UNSET or integers_fit(data.attributes.values())


def _message_fits(data: Message) -> bool:
    return not data.parameters or integers_fit(data.parameters)


def _correction_fits(data: Correction) -> bool:
    if data.completed is UNSET:
        return True
    try:
        data.completed = to_utc(data.completed)
    except ValueError:
        return False
    return True


_FITS: dict[str, Callable[[Any], bool] | None] = {
    "created": _described_fits,
    "updated": _described_fits,
    "launched": _attributes_fit,
    "progressed": _attributes_fit,
    "messaged": _message_fits,
    "returned": None,
    "completed": _attributes_fit,
    "corrected": _correction_fits,
    "deleted": None,
}
"""What msgspec's types do not say of a kind's data: the range of integers in free values, and the form of a time."""
_KINDS = {shape: (kind, _FITS[kind], DATA[kind]() if kind not in exact.NEEDS_DATA else None) for shape, kind in EVENTS.items()}
"""By the shape decoded: its kind, the check of its data, and the data that stands for none."""


class Decoder:
    """Decodes records under given limits. Not shared between threads: it remembers the last hour's future limit."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._fast_bytes = min(limits.max_record_bytes, exact.SAFE_BYTES)
        self._latest: tuple[int, str] = (-1, "")

    def decode(self, record: Record) -> TaskEvent | Ignored | Parked:
        """One record's verdict. Never raises for what the record holds."""
        value = record.value
        if value is None or record.headers or len(value) > self._fast_bytes:
            return self._decode_headed(record)
        try:
            event = _decode_event(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._decode_odd(record)
        return self._checked(event, record)

    def _checked(self, event: Any, record: Record) -> TaskEvent | Ignored | Parked:
        """The rest of the rules, for an event that msgspec has taken."""
        kind, fits, nothing = _KINDS[type(event)]
        data = event.data
        if data is None:
            data = nothing
        elif fits is not None and not fits(data):
            return exact.read(record, self._limits)
        task_id, id_, source, time = event.subject, event.id, event.source, event.time
        value: bytes = record.value  # type: ignore[assignment]  # decode() has looked
        if (
            not task_id
            or not time
            or not id_
            or not source
            or len(task_id) > MAX_ID_CODE_POINTS
            # Control characters are not printable; what else is not (odd spaces, private use) the exact reader tells apart.
            or not (task_id.isprintable() and id_.isprintable() and source.isprintable())
            # So many brackets may be a nesting too deep, if only in a member that was given twice.
            or value.count(b"{") + value.count(b"[") > MAX_DEPTH
        ):
            return exact.read(record, self._limits)
        try:
            utc = to_utc(time)
        except ValueError:
            return exact.read(record, self._limits)
        if record.timestamp_ms is not None and utc > self._surely_not_future(record.timestamp_ms):
            return exact.read(record, self._limits)
        attempt, sequence = event.attempt, event.sequence
        head = FIRST if attempt == 1 and sequence == 0 else number(attempt) + number(sequence)
        return TaskEvent(kind, task_id, attempt, utc, f"{head}{utc}{source}\0{id_}", data)

    def _surely_not_future(self, timestamp_ms: int) -> str:
        """A time up to which no event of this hour's records is in the future."""
        hour = timestamp_ms // _HOUR_MS
        if self._latest[0] != hour:
            try:
                self._latest = (hour, from_millis(hour * _HOUR_MS + self._limits.max_future_s * 1000))
            except ValueError:
                self._latest = (hour, "")
        return self._latest[1]

    def _decode_headed(self, record: Record) -> TaskEvent | Ignored | Parked:
        """Records with headers, and tombstones: a bare or structured value may still be of the common shape."""
        value = record.value
        if value is not None and len(value) <= self._fast_bytes:
            if exact.is_structured(record.headers) or not any(name.startswith("ce_") for name, _ in record.headers):
                try:
                    event = _decode_event(value)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    return self._decode_odd(record)
                return self._checked(event, record)
        return exact.read(record, self._limits)

    def _decode_odd(self, record: Record) -> TaskEvent | Ignored | Parked:
        """Foreign types may be many on a shared topic: they are told by orjson, which is strict JSON, 15 times faster."""
        try:
            parsed = orjson.loads(record.value)  # type: ignore[arg-type]  # the callers have looked
        except orjson.JSONDecodeError:
            return exact.read(record, self._limits)
        if isinstance(parsed, dict):
            type_ = parsed.get("type")
            if isinstance(type_, str) and type_ and not type_.startswith(TYPE_PREFIX):
                return IGNORED
        return exact.read(record, self._limits)
