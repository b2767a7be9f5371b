"""Record to event, read from the contract line by line: slow, plain, the standard ``json`` only.

`naive_decode` gives a `NaiveEvent`, ``"ignored"`` or ``"parked:REASON"``. The rules are tried in the contract's order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from tests.naive.values import NotJson, canonical, overflows, parse, walk
from tracker.model.records import Record

KINDS = ("created", "updated", "launched", "progressed", "messaged", "returned", "completed", "corrected", "deleted")
PREFIX = "io.tracker.task."
NEEDS_DATA = ("messaged", "returned", "completed", "corrected")
KNOWN_FIELDS: dict[str, tuple[str, ...]] = {
    "created": (
        "type", "uniqueName", "description", "parentName", "parentId", "launcher", "target", "taskDefinitionSummary", "attributes",
    ),
    "launched": ("launcher", "attributes"),
    "progressed": ("progress", "percentComplete", "attributes"),
    "messaged": ("type", "key", "localizedText", "parameters"),
    "returned": ("name", "attributeName"),
    "completed": ("completionStatus", "attributes"),
    "corrected": ("completionStatus", "completed"),
    "deleted": (),
}  # fmt: skip
KNOWN_FIELDS["updated"] = KNOWN_FIELDS["created"]
TASK_TYPES = ("QUARTZ", "QPOC", "QUEUED_TASK")
MESSAGE_TYPES = ("INFO", "WARN", "ERROR")
TARGET_TYPES = ("APPLICATION", "IDENTITY")
STATUSES = ("SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR")
READ_ATTRIBUTES = ("type", "specversion", "id", "source", "subject", "time", "data_base64", "attempt", "sequence")
MAX_DEPTH = 64
MAX_FIELD_BYTES = 65_536
EPOCH_US = (date(1970, 1, 1).toordinal()) * 86_400_000_000
"""Microseconds from 0000-12-31T00:00 (ordinal 0) to 1970."""

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_MISSING: Any = object()


@dataclass(frozen=True)
class NaiveEvent:
    """One valid event. ``time`` is UTC, ``YYYY-MM-DDTHH:MM:SS.ffffff``; ``data`` has the known members as they are shown."""

    kind: str
    task_id: str
    attempt: int
    sequence: int
    time: str
    source: str
    id: str
    data: dict[str, Any]

    @property
    def stamp(self) -> tuple[int, int, str, str, str]:
        """What events are ordered by."""
        return (self.attempt, self.sequence, self.time, self.source, self.id)


class _Parked(Exception):
    """A rule is broken; the one argument is the contract's reason."""


def naive_decode(record: Record, *, max_bytes: int = 1_048_576, max_future_s: int = 86_400) -> NaiveEvent | str:
    """The event of a record, ``"ignored"``, or ``"parked:REASON"``; never raises."""
    try:
        event = _decode(record, max_bytes, max_future_s)
    except _Parked as parked:
        return f"parked:{parked.args[0]}"
    except NotJson:
        return "parked:not-json"
    return "ignored" if event is None else event


def form_of(record: Record) -> Literal["structured", "binary", "bare"]:
    """Which of the three forms the record is in."""
    content_types = [value for name, value in record.headers if name.lower() == "content-type"]
    if content_types and (content_types[-1] or b"").lower().startswith(b"application/cloudevents+json"):
        return "structured"
    return "binary" if any(name.startswith("ce_") for name, _ in record.headers) else "bare"


def _decode(record: Record, max_bytes: int, max_future_s: int) -> NaiveEvent | None:
    value = record.value
    if value is not None and len(value) > max_bytes:
        raise _Parked("too-large")
    if value is None and not any(name.startswith("ce_") for name, _ in record.headers):
        return _tombstone(record)
    if form_of(record) == "binary":
        attributes = _header_attributes(record)
        if _is_foreign(attributes.get("type")):
            return None
        data, depth = parse(value) if value else (None, 0)
        attributes["data"] = data
        event: Any = attributes
    else:
        event, depth = parse(value or b"")
        if isinstance(event, dict) and _is_foreign(event.get("type")):
            return None
    if depth > MAX_DEPTH:
        raise _Parked("not-json")
    if not isinstance(event, dict):
        raise _Parked("not-an-event")
    kind = _kind(event.get("type"))
    _check_doubles(event, kind)
    return _event(event, kind, record, max_future_s)


def _tombstone(record: Record) -> NaiveEvent:
    if record.key is None:
        raise _Parked("not-an-event")
    task_id = _task_id(_key_text(record.key))
    return NaiveEvent("deleted", task_id, 1, 0, "0001-01-01T00:00:00.000000", "", "", {})


def _header_attributes(record: Record) -> dict[str, Any]:
    """The ``ce_`` headers by attribute name, the last of each; what is not UTF-8 stays bytes, which no rule accepts."""
    attributes: dict[str, Any] = {}
    for name, value in record.headers:
        if name.startswith("ce_"):
            attributes[name[3:]] = value
    for name, value in attributes.items():
        if value is not None:
            try:
                attributes[name] = value.decode("utf-8")
            except UnicodeDecodeError:
                attributes[name] = value
    return attributes


def _is_foreign(event_type: object) -> bool:
    return isinstance(event_type, str) and event_type != "" and _kind(event_type) is None


def _kind(event_type: object) -> str | None:
    for kind in KINDS:
        if event_type == PREFIX + kind:
            return kind
    return None


def _check_doubles(event: dict[str, Any], kind: str | None) -> None:
    """Refuses an infinity in a field that is read: the attributes of the first table, and those of ``data`` that the kind knows."""
    read = [event.get(name) for name in READ_ATTRIBUTES]
    data = event.get("data")
    if isinstance(data, dict):
        read += [data.get(name) for name in KNOWN_FIELDS.get(kind or "", ())]
    else:
        read.append(data)
    if overflows(read):
        raise _Parked("not-json")


# --- the first table ----------------------------------------------------------------------------------------------------


def _event(event: dict[str, Any], kind: str | None, record: Record, max_future_s: int) -> NaiveEvent:
    if kind is None or event.get("specversion") != "1.0":
        raise _Parked("not-an-event")
    event_id, source = _name(event.get("id")), _name(event.get("source"))
    subject = event.get("subject")
    if subject is None:
        subject = _key_text(record.key)
    task_id = _task_id(subject)
    time_us = _time_us(event["time"], "not-an-event") if event.get("time") is not None else _record_time_us(record)
    attempt = _integer(event.get("attempt"), 1, 1, 2**31 - 1)
    sequence = _integer(event.get("sequence"), 0, 0, 2**63 - 1)
    data = event.get("data")
    if event.get("data_base64") is not None or (data is not None and not isinstance(data, dict)):
        raise _Parked("not-an-event")
    if data is None and kind in NEEDS_DATA:
        raise _Parked("not-an-event")
    shown = _data(kind, data or {})
    if record.timestamp_ms is not None and time_us - EPOCH_US > record.timestamp_ms * 1000 + max_future_s * 1_000_000:
        raise _Parked("future-time")
    return NaiveEvent(kind, task_id, attempt, sequence, _time_text(time_us), source, event_id, shown)


def _has_control(text: str) -> bool:
    return re.search("[\x00-\x1f\x7f-\x9f]", text) is not None


def _name(value: object) -> str:
    if not isinstance(value, str) or value == "" or _has_control(value):
        raise _Parked("not-an-event")
    return value


def _task_id(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or _has_control(value):
        raise _Parked("not-an-event")
    return value


def _key_text(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode("utf-8")
    except UnicodeDecodeError:
        raise _Parked("not-an-event") from None


def _integer(value: object, default: int, least: int, most: int) -> int:
    if value is None:
        return default
    if isinstance(value, str) and re.fullmatch("[0-9]+", value):
        value = int((value.lstrip("0") or "0")[:30])
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _Parked("not-an-event")
    return value


def _record_time_us(record: Record) -> int:
    if record.timestamp_ms is None:
        raise _Parked("not-an-event")
    time_us = EPOCH_US + record.timestamp_ms * 1000
    _check_year(time_us, "not-an-event")
    return time_us


def _time_us(value: object, reason: str) -> int:
    """Microseconds since ordinal 0, in UTC, of an RFC 3339 text."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _Parked(reason)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    if hour > 23 or minute > 59 or second > 59 or int(offset_hour or 0) > 23 or int(offset_minute or 0) > 59:
        raise _Parked(reason)
    try:
        days = date(year + 400, month, day).toordinal() - 146_097 if year < 400 else date(year, month, day).toordinal()
    except ValueError:
        raise _Parked(reason) from None
    minutes = days * 1440 + hour * 60 + minute
    offset = int(offset_hour or 0) * 60 + int(offset_minute or 0)
    minutes += offset if sign == "-" else -offset
    time_us = (minutes * 60 + second) * 1_000_000 + int((fraction or "0")[:6].ljust(6, "0"))
    _check_year(time_us, reason)
    return time_us


def _check_year(time_us: int, reason: str) -> None:
    if not date.min.toordinal() <= time_us // 86_400_000_000 <= date.max.toordinal():
        raise _Parked(reason)


def _time_text(time_us: int) -> str:
    days, rest = divmod(time_us, 86_400_000_000)
    seconds, micros = divmod(rest, 1_000_000)
    day = date.fromordinal(days)
    return f"{day.year:04}-{day.month:02}-{day.day:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"


# --- the second table ---------------------------------------------------------------------------------------------------


def _data(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """The known members as they are shown, or parked as ``invalid-data``."""
    known = {name: data[name] for name in KNOWN_FIELDS[kind] if name in data}
    for value in walk(known):
        if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value <= 2**64 - 1:
            raise _Parked("invalid-data")
    if kind == "messaged":
        shown = _message(known)
        _check_size(shown)
        return shown
    for name in {"returned": ("name", "attributeName"), "completed": ("completionStatus",), "corrected": ("completionStatus",)}.get(
        kind, ()
    ):
        _check(name in known)
    shown = {name: FIELD_RULES[name](value) for name, value in known.items()}
    for name, value in shown.items():
        for part in value.values() if name == "attributes" else [value]:
            _check_size(part)
    return shown


def _check(holds: bool) -> None:
    if not holds:
        raise _Parked("invalid-data")


def _check_size(shown: object) -> None:
    _check(len(canonical(shown)) <= MAX_FIELD_BYTES)


def _text(value: object) -> str:
    _check(isinstance(value, str))
    return str(value)


def _text_or_null(value: object) -> str | None:
    return None if value is None else _text(value)


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def rule(value: object) -> str:
        _check(isinstance(value, str) and value in choices)
        return str(value)

    return rule


def _percent(value: Any) -> int:
    _check(isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100)
    return int(value)


def _sorted(value: Any) -> Any:
    """The value with the keys of every object in code point order."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value


def _free_object(value: object) -> dict[str, Any]:
    _check(isinstance(value, dict))
    shown: dict[str, Any] = _sorted(value)
    return shown


def _target(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    _check(isinstance(value, dict))
    target_type = value.get("type")
    return {
        "id": _text_or_null(value.get("id")),
        "type": None if target_type is None else _one_of(TARGET_TYPES)(target_type),
        "name": _text_or_null(value.get("name")),
    }


def _summary(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    _check(isinstance(value, dict))
    return {
        "id": _text(value.get("id", _MISSING)),
        "uniqueName": _text(value.get("uniqueName", _MISSING)),
        "description": _text_or_null(value.get("description")),
        "parentName": _text(value.get("parentName", _MISSING)),
        "executor": _text_or_null(value.get("executor")),
        "arguments": _free_object(value.get("arguments", _MISSING)),
    }


def _message(known: dict[str, Any]) -> dict[str, Any]:
    text = known.get("localizedText")
    _check(isinstance(text, dict))
    assert isinstance(text, dict)
    parameters = known.get("parameters", [])
    if parameters is not None:
        _check(isinstance(parameters, list) and all(isinstance(item, dict | str) for item in parameters))
    return {
        "type": _one_of(MESSAGE_TYPES)(known.get("type")),
        "localizedText": {"locale": _text(text.get("locale")), "message": _text(text.get("message"))},
        "key": _text(known.get("key")),
        "parameters": _sorted(parameters),
    }


def _correction_time(value: object) -> str:
    return _time_text(_time_us(value, "invalid-data"))


FIELD_RULES: dict[str, Callable[[Any], Any]] = {
    "type": _one_of(TASK_TYPES),
    "uniqueName": _text,
    "description": _text,
    "parentName": _text_or_null,
    "parentId": _text_or_null,
    "launcher": _text,
    "target": _target,
    "taskDefinitionSummary": _summary,
    "attributes": _free_object,
    "progress": _text_or_null,
    "percentComplete": _percent,
    "name": _text,
    "attributeName": _text,
    "completionStatus": _one_of(STATUSES),
    "completed": _correction_time,
}
