"""Record -> TaskEvent | Ignored | Parked. The common shape is read by msgspec in one go; all else by the exact reader.

The fast path only ever says yes. Whatever it would not take (an error, an unknown member, a missing time, a long value, odd
characters, values nested over three levels) is read again from the start by ``exact.read``, which gives the verdict.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec
import orjson
from msgspec import UNSET

from tracker.fold import exact
from tracker.fold.event import IGNORED, Ignored, Parked, TaskEvent, number
from tracker.fold.shapes import DATA, EVENTS, NEEDS_DATA
from tracker.model.kinds import TYPE_PREFIX
from tracker.model.limits import DEFAULT_LIMITS, MAX_ID_CODE_POINTS, Limits
from tracker.model.records import Record
from tracker.model.times import from_millis, to_utc

_decode_event = msgspec.json.Decoder(Union[tuple(EVENTS)]).decode  # noqa: UP007 - a union made from a table
_HOUR_MS = 3_600_000


_KINDS = {shape: (kind, None if kind in NEEDS_DATA else msgspec.convert({}, DATA[kind])) for shape, kind in EVENTS.items()}
"""By the shape decoded: its kind, and the data that stands for none."""
_HEADS = [number(1) + number(sequence) for sequence in range(1_000)]
"""How the stamps of attempt 1 begin, by the sequence: nearly all."""


class Decoder:
    """Decodes records under given limits. Not shared between threads: it remembers the last hour's future limit."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._fast_bytes = min(limits.max_record_bytes, exact.SAFE_BYTES)
        self._latest: tuple[int, str] = (-1, "")

    def decode(self, record: Record) -> TaskEvent | Ignored | Parked:
        """One record's verdict. Never raises for what the record holds."""
        value = record.value
        if value is None or len(value) > self._fast_bytes or (record.headers and self._is_binary(record)):
            return exact.read(record, self._limits)
        try:
            event: Any = _decode_event(value)
            utc = to_utc(event.time)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._decode_odd(record, value)
        except (ValueError, TypeError):  # another form of time, or none
            return exact.read(record, self._limits)
        kind, nothing = _KINDS[type(event)]
        data = event.data
        if data is None:
            data = nothing
        elif kind == "corrected" and data.completed is not UNSET:
            return exact.read(record, self._limits)
        task_id, id_, source = event.subject, event.id, event.source
        if (
            not task_id
            or not id_
            or not source
            or len(task_id) > MAX_ID_CODE_POINTS
            # Control characters are not printable; what else is not (odd spaces, private use) the exact reader tells apart.
            or not f"{task_id}{id_}{source}".isprintable()
            or (record.timestamp_ms is not None and utc > self._surely_not_future(record.timestamp_ms))
        ):
            return exact.read(record, self._limits)
        attempt, sequence = event.attempt, event.sequence
        head = _HEADS[sequence] if attempt == 1 and sequence < 1_000 else number(attempt) + number(sequence)
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

    def _is_binary(self, record: Record) -> bool:
        return not exact.is_structured(record.headers) and any(name.startswith("ce_") for name, _ in record.headers)

    def _decode_odd(self, record: Record, value: bytes) -> TaskEvent | Ignored | Parked:
        """Foreign types may be many on a shared topic: they are told by orjson, which is strict JSON, 15 times faster."""
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError:
            return exact.read(record, self._limits)
        type_ = parsed.get("type") if isinstance(parsed, dict) else None
        if isinstance(type_, str) and type_ and not type_.startswith(TYPE_PREFIX):
            return IGNORED
        return exact.read(record, self._limits)
