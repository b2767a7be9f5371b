"""The exact reader: the contract's rules one after the other, for every record that the fast path would not take.

It alone names the reason for which a record is parked. The rules stand here in the contract's order, so the first one
broken is the first one met.
"""

from __future__ import annotations

import unicodedata
from typing import Any, NoReturn, cast

import msgspec

from tracker.fold.event import IGNORED, Ignored, Parked, Reason, TaskEvent, stamp_of
from tracker.fold.json_text import OUT_OF_RANGE, OVERFLOW, NotJson, canonical, deeper_than, has, parse
from tracker.fold.shapes import DATA, NEEDS_DATA, Correction, Data, Definition, LocalizedText, Message, Nothing, Target
from tracker.model.kinds import TYPE_PREFIX
from tracker.model.limits import MAX_ATTEMPT, MAX_DEPTH, MAX_FIELD_BYTES, MAX_ID_CODE_POINTS, MAX_SEQUENCE, Limits
from tracker.model.records import Record
from tracker.model.times import from_millis, to_utc

STRUCTURED = b"application/cloudevents+json"
_READ = ("specversion", "id", "source", "type", "subject", "time", "data_base64", "attempt", "sequence")
_ABSENT = object()


class _Refused(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        self.parked = Parked(reason, detail)


def read(record: Record, limits: Limits) -> TaskEvent | Ignored | Parked:
    """One record's verdict. Never raises for what the record holds."""
    try:
        return _read(record, limits)
    except _Refused as refused:
        return refused.parked


def _refuse(reason: Reason, detail: str) -> NoReturn:
    raise _Refused(reason, detail)


def _read(record: Record, limits: Limits) -> TaskEvent | Ignored:
    value = record.value
    if value is not None and len(value) > limits.max_record_bytes:
        _refuse("too-large", f"expected a value of at most {limits.max_record_bytes} bytes, got {len(value)}")
    headers = dict(record.headers)
    structured = is_structured(record.headers)
    binary = any(name.startswith("ce_") for name in headers)
    if value is None and not binary:
        return _tombstone(record)
    if binary and not structured:
        attributes = {name[3:]: _header(content) for name, content in headers.items() if name.startswith("ce_")}
        if _is_foreign(attributes.get("type")):
            return IGNORED
        attributes["data"] = _parse(value) if value else None
        _refuse_depth(attributes["data"])
    else:
        attributes = _parse(value or b"")
        if not isinstance(attributes, dict):
            _refuse_depth(attributes)
            _refuse("not-an-event", f"expected a JSON object, got {_shown(attributes)}")
        if _is_foreign(attributes.get("type")):
            return IGNORED
        _refuse_depth(attributes)
    return _event(attributes, record, limits)


def is_structured(headers: Any) -> bool:
    """Whether a content-type header says that the value is the whole event. Of a header given twice the last counts."""
    content_type = None
    for name, content in headers:
        if name.lower() == "content-type":
            content_type = content
    return content_type is not None and content_type.lower().startswith(STRUCTURED)


def _is_foreign(type_: Any) -> bool:
    return isinstance(type_, str) and type_ != "" and not (type_.startswith(TYPE_PREFIX) and type_[len(TYPE_PREFIX) :] in DATA)


def _parse(value: bytes) -> Any:
    try:
        return parse(value)
    except NotJson as error:
        _refuse("not-json", f"expected one UTF-8 JSON value: {error}")


def _refuse_depth(parsed: Any) -> None:
    if deeper_than(parsed, MAX_DEPTH):
        _refuse("not-json", f"expected at most {MAX_DEPTH} levels of nesting, got more")


def _header(content: bytes | None) -> Any:
    """A header's text; bytes that are not UTF-8 stay bytes, which no rule accepts where the attribute is read."""
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _tombstone(record: Record) -> TaskEvent:
    if record.key is None:
        _refuse("not-an-event", "expected an event, got a null value with neither key nor ce_ header: it names no task")
    task_id = _task_id(_header(record.key), "the record's key")
    return TaskEvent("deleted", task_id, 1, "", "", Nothing())


def _event(attributes: dict[str, Any], record: Record, limits: Limits) -> TaskEvent:
    type_, data = attributes.get("type"), attributes.get("data")
    kind = type_[len(TYPE_PREFIX) :] if isinstance(type_, str) and type_ else None
    known: dict[str, Any] = {}
    if kind is not None and isinstance(data, dict):
        known = {name: data[name] for name in DATA[kind].__struct_fields__ if name in data}
    for name in _READ:
        if has(attributes.get(name), OVERFLOW):
            _refuse("not-json", f"{name} has a number that no double holds")
    if has(known if isinstance(data, dict) else data, OVERFLOW):
        _refuse("not-json", "data has a number that no double holds")

    if kind is None:
        _refuse("not-an-event", f"expected type to be a string such as {TYPE_PREFIX}created, got {_shown(type_)}")
    if attributes.get("specversion") != "1.0":
        _refuse("not-an-event", f'expected specversion to be "1.0", got {_shown(attributes.get("specversion"))}')
    id_ = _name(attributes.get("id"), "id")
    source = _name(attributes.get("source"), "source")
    subject = attributes.get("subject")
    if subject is None and record.key is not None:
        task_id = _task_id(_header(record.key), "the record's key (there is no subject)")
    else:
        task_id = _task_id(subject, "subject")
    time = _time(attributes.get("time"), record)
    attempt = _integer(attributes.get("attempt"), "attempt", 1, MAX_ATTEMPT, default=1)
    sequence = _integer(attributes.get("sequence"), "sequence", 0, MAX_SEQUENCE, default=0)
    if attributes.get("data_base64") is not None:
        _refuse("not-an-event", "expected data as JSON, got data_base64")
    if data is None:
        if kind in NEEDS_DATA:
            _refuse("not-an-event", f"expected {kind} to have data, got none")
    elif not isinstance(data, dict):
        _refuse("not-an-event", f"expected data to be a JSON object, got {_shown(data)}")

    shape = _data(kind, known, len(record.value or b""))
    _refuse_future(time, record.timestamp_ms, limits)
    return TaskEvent(kind, task_id, attempt, time, stamp_of(attempt, sequence, time, source, id_), shape)


def _name(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value or _has_controls(value):
        _refuse("not-an-event", f"expected {name} to be a non-empty string without control characters, got {_shown(value)}")
    return value


def _task_id(value: Any, name: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CODE_POINTS or _has_controls(value):
        rule = f"1 to {MAX_ID_CODE_POINTS} code points without control characters"
        _refuse("not-an-event", f"expected {name} to name the task in {rule}, got {_shown(value)}")
    return value


def _has_controls(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text)


def _time(value: Any, record: Record) -> str:
    try:
        if isinstance(value, str):
            return to_utc(value)
        if value is None and record.timestamp_ms is not None:
            return from_millis(record.timestamp_ms)
    except ValueError as error:
        _refuse("not-an-event", f"time is {_shown(value)}: {error}")
    if value is None:
        _refuse("not-an-event", "expected a time, got none; and the record has no timestamp to take its place")
    _refuse("not-an-event", f"expected time to be an RFC 3339 string with an offset, got {_shown(value)}")


def _integer(value: Any, name: str, least: int, greatest: int, *, default: int) -> int:
    if value is None:
        return default
    number = value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        digits = value.lstrip("0") or "0"
        number = int(digits) if len(digits) <= 20 else OUT_OF_RANGE
    if type(number) is not int or not least <= number <= greatest:
        _refuse("not-an-event", f"expected {name} to be an integer from {least} to {greatest}, got {_shown(value)}")
    return number


def _data(kind: str, known: dict[str, Any], record_bytes: int) -> Data:
    for name, value in known.items():
        if has(value, OUT_OF_RANGE):
            _refuse("invalid-data", f"{kind}: {name} has an integer outside -2^63 to 2^64-1")
    _keep_known(known, "target", Target)
    _keep_known(known, "taskDefinitionSummary", Definition)
    _keep_known(known, "localizedText", LocalizedText)
    try:
        shape = _converted(kind, known)
        if isinstance(shape, Correction) and shape.completed is not msgspec.UNSET:
            shape.completed = to_utc(shape.completed)
    except msgspec.ValidationError as error:
        _refuse("invalid-data", f"{kind}: {error}")
    except ValueError as error:
        _refuse("invalid-data", f"{kind}: completed: {error}")
    if record_bytes > SAFE_BYTES:
        _refuse_long(kind, shape)
    return shape


def _converted(kind: str, known: dict[str, Any]) -> Data:
    """The data's shape. Free values are kept from msgspec: the common shape's types are narrower than what is valid."""
    attributes, parameters, definition = known.get("attributes"), known.get("parameters"), known.get("taskDefinitionSummary")
    if isinstance(attributes, dict):
        known["attributes"] = {}
    if isinstance(parameters, list):
        known["parameters"] = [{} if isinstance(member, dict) else member for member in parameters]
    arguments = definition.get("arguments") if isinstance(definition, dict) else None
    if isinstance(definition, dict) and isinstance(arguments, dict):
        definition["arguments"] = {}
    shape: Any = msgspec.convert(known, DATA[kind])
    if isinstance(attributes, dict):
        shape.attributes = attributes
    if isinstance(parameters, list):
        shape.parameters = parameters
    if isinstance(arguments, dict):
        shape.taskDefinitionSummary.arguments = arguments
    return cast("Data", shape)


def _keep_known(known: dict[str, Any], name: str, shape: type[msgspec.Struct]) -> None:
    """Unknown members inside are let through: they have no effect."""
    inner = known.get(name)
    if isinstance(inner, dict):
        known[name] = {member: inner[member] for member in shape.__struct_fields__ if member in inner}


SAFE_BYTES = MAX_FIELD_BYTES // 4
"""No field of a record of this size can be too long: canonical JSON is at most 3.8 times as long as what was written
(``1e15,`` becomes ``1000000000000000.0,``), and the defaults filled in are under 60 bytes."""


def _refuse_long(kind: str, shape: Data) -> None:
    fields: dict[str, Any] = msgspec.to_builtins(shape)
    attributes = fields.pop("attributes", {})
    if isinstance(shape, Message):
        fields = {"the message": fields}
    for name, value in [*fields.items(), *((f"attributes.{key}", value) for key, value in attributes.items())]:
        if (size := len(canonical(value))) > MAX_FIELD_BYTES:
            _refuse("invalid-data", f"{kind}: {name[:80]} has {size} bytes of canonical JSON, at most {MAX_FIELD_BYTES} are kept")


def _refuse_future(time: str, timestamp_ms: int | None, limits: Limits) -> None:
    if timestamp_ms is None:
        return
    try:
        latest = from_millis(timestamp_ms + limits.max_future_s * 1000)
    except ValueError:
        if timestamp_ms > 0:
            return  # the limit lies beyond the year 9999, and no time does
        latest = ""
    if time > latest:
        _refuse("future-time", f"expected a time up to {latest}Z ({limits.max_future_s} s after the record's own), got {time}Z")


def _shown(value: Any) -> str:
    """A value as an error shows it: JSON where it is, cut to a readable length."""
    if value is OUT_OF_RANGE:
        return "an integer outside 64 bits"
    if value is OVERFLOW:
        return "a number that no double holds"
    text = "nothing" if value is None else ascii(value) if isinstance(value, bytes) else canonical_or_repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def canonical_or_repr(value: Any) -> str:
    """JSON of a parsed value, or its type where marks stand inside."""
    try:
        return canonical(value).decode()
    except TypeError:
        return type(value).__name__
