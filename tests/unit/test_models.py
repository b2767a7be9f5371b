"""The pydantic models of events and statuses say what the contract says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from tracker.model.events import (
    EVENTS,
    KINDS,
    TYPE_PREFIX,
    CompletedData,
    CreatedData,
    Stamp,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskMessaged,
    parse,
    to_json,
)
from tracker.model.status import TaskExtension, TaskStatus

FIELDS = [
    "id", "type", "uniqueName", "description", "parentName", "launcher", "target", "created", "modified", "launched", "completed",
    "completionStatus", "messages", "returns", "attributes", "progress", "percentComplete", "taskDefinitionSummary",
]  # fmt: skip
TEXT = {"locale": "en", "message": "m"}
MINIMAL: dict[str, dict[str, Any]] = {
    "messaged": {"type": "INFO", "key": "k", "localizedText": TEXT},
    "returned": {"name": "n", "attributeName": "a"},
    "completed": {"completionStatus": "SUCCESS"},
    "corrected": {"completionStatus": "ERROR"},
}
SUMMARY = {"id": "1", "uniqueName": "u", "parentName": "p", "arguments": {}}


def bare(kind: str = "created", **attributes: Any) -> dict[str, Any]:
    """A valid event's document, with some attributes set otherwise."""
    event = {"specversion": "1.0", "type": TYPE_PREFIX + kind, "id": "1", "source": "/s", "subject": "t", "time": "2026-01-31T09:30:00Z"}
    return event | ({"data": MINIMAL[kind]} if kind in MINIMAL else {}) | attributes


def parsed(kind: str = "created", **attributes: Any) -> Any:
    """The same as a model."""
    return parse(bare(kind, **attributes))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_model(kind: Any) -> None:
    """An event's type alone decides which model it is."""
    event = parsed(kind)

    assert type(event) is EVENTS[kind]
    assert event.kind == kind


@pytest.mark.parametrize("type_", ["io.tracker.task.renamed", "io.tracker.task.", "com.example.other", "io.tracker.task.CREATED"])
def test_other_types_are_not_looked_into(type_: str) -> None:
    """An event of a type that is none of ours is None, whatever else is in it."""
    assert parse({"type": type_, "data": float("nan")}) is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"type": ""}, {"type": None}, {"type": 1}, {"specversion": None}, {"specversion": "1"}, {"specversion": 1.0},
        {"id": ""}, {"id": None}, {"id": 1}, {"id": "a\x00"}, {"source": "a\x85b"}, {"source": "\x7f"}, {"source": ""},
        {"subject": None}, {"subject": ""}, {"subject": "x" * 257}, {"subject": "a\nb"}, {"subject": 5},
        {"data": []}, {"data": "x"}, {"data": 0}, {"data_base64": "e30="},
        {"attempt": 0}, {"attempt": 2**31}, {"attempt": 2.0}, {"attempt": True}, {"attempt": "２"}, {"attempt": "2\n"},
        {"attempt": "+2"}, {"attempt": ""}, {"attempt": "0"}, {"sequence": -1}, {"sequence": 2**63}, {"sequence": "9" * 5000},
    ],
)  # fmt: skip
def test_broken_attributes_are_refused(attributes: dict[str, Any]) -> None:
    """Whatever breaks a rule of the first table is no event."""
    with pytest.raises(ValueError, match=r"expected|validation error"):
        parse(bare(**attributes))


@pytest.mark.parametrize("document", [None, [], "x", 1, True])
def test_only_objects_are_events(document: object) -> None:
    """An event is a JSON object."""
    with pytest.raises(ValueError, match="expected a JSON object"):
        parse(document)


@pytest.mark.parametrize(
    ("attributes", "name", "value"),
    [
        ({"attempt": "007"}, "attempt", 7),
        ({"attempt": "0" * 5000 + "3"}, "attempt", 3),
        ({"attempt": 2**31 - 1}, "attempt", 2**31 - 1),
        ({"attempt": None}, "attempt", 1),
        ({"sequence": str(2**63 - 1)}, "sequence", 2**63 - 1),
        ({"sequence": None}, "sequence", 0),
        ({"subject": "\u00a0" * 256}, "subject", "\u00a0" * 256),
        ({"data": None}, "data", CreatedData()),
        ({"data_base64": None}, "data", CreatedData()),
        ({"traceparent": {"any": 10**40}}, "traceparent", {"any": 10**40}),
    ],
)
def test_odd_attributes_are_accepted(attributes: dict[str, Any], name: str, value: object) -> None:
    """Null is missing, digits are integers, and extensions are let through unread."""
    assert getattr(parsed(**attributes), name) == value


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31t09:30:00z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31 09:30:00.1234569+02:00", datetime(2026, 1, 31, 7, 30, 0, 123456, tzinfo=UTC)),
        ("2026-01-31T09:30:00-00:00", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("0000-12-31T23:30:00-01:00", datetime(1, 1, 1, 0, 30, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_times_are_kept_to_the_microsecond(text: str, moment: datetime) -> None:
    """A time is read exactly, in UTC, and further digits are cut."""
    assert parsed(time=text).time == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T09:30:00", "2026-01-31", "2026-01-31T09:30Z", "2026-01-31T09:30:60Z", "2026-02-29T09:30:00Z", "2026-01-31T24:00:00Z",
        "2026-01-31T09:30:00,5Z", "2026-01-31T09:30:00.Z", "2026-01-31T09:30:00+0200", "2026-01-31T09:30:00+24:00", "2026-W05-6T09:30:00Z",
        "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", "２026-01-31T09:30:00Z", "2026-01-31T09:30:00Z\n", "", 1769851800, None,
    ],
)  # fmt: skip
def test_other_times_are_refused(text: object) -> None:
    """A time is RFC 3339 with an offset, in the years 0001 to 9999 of UTC, without leap seconds."""
    with pytest.raises(ValidationError):
        parse(bare(time=text))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        *(("created", {name: None}) for name in ("type", "uniqueName", "description", "launcher", "attributes")),
        ("created", {"type": "CRON"}), ("created", {"uniqueName": 1}), ("created", {"target": {"type": "ROLE"}}),
        ("created", {"target": []}), ("created", {"target": {"id": 1}}), ("updated", {"attributes": []}),
        *(("updated", {"taskDefinitionSummary": {k: v for k, v in SUMMARY.items() if k != name}}) for name in SUMMARY),
        ("updated", {"taskDefinitionSummary": SUMMARY | {"arguments": None}}),
        ("launched", {"launcher": None}), ("progressed", {"percentComplete": 101}), ("progressed", {"percentComplete": 1.0}),
        ("progressed", {"percentComplete": True}), ("progressed", {"percentComplete": None}), ("progressed", {"percentComplete": "5"}),
        ("messaged", MINIMAL["messaged"] | {"type": "WARNING"}), ("messaged", MINIMAL["messaged"] | {"parameters": [1]}),
        ("messaged", MINIMAL["messaged"] | {"parameters": {}}), ("messaged", MINIMAL["messaged"] | {"localizedText": {"locale": "en"}}),
        ("returned", {"name": "n"}), ("completed", {"completionStatus": None}), ("completed", {"completionStatus": "Success"}),
        ("corrected", {"completionStatus": "ERROR", "completed": None}), ("corrected", {"completionStatus": "ERROR", "completed": 5}),
        ("corrected", {"completionStatus": "ERROR", "completed": "2026-01-31"}),
        ("created", {"attributes": {"a": [2**64]}}), ("created", {"attributes": {"a": -(2**63) - 1}}),
        ("created", {"attributes": {"a": float("nan")}}), ("created", {"attributes": {"a": float("inf")}}),
        ("created", {"target": {"unknown": 2**64}}), ("messaged", MINIMAL["messaged"] | {"localizedText": TEXT | {"x": 2**64}}),
        ("messaged", MINIMAL["messaged"] | {"parameters": [{"a": 2**64}]}),
    ],
)  # fmt: skip
def test_broken_data_is_refused(kind: str, data: dict[str, Any]) -> None:
    """Whatever breaks the kind's rule is invalid data."""
    with pytest.raises(ValidationError):
        parse(bare(kind, data=data))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        *(("created", {name: None}) for name in ("parentName", "parentId", "target", "taskDefinitionSummary")),
        ("created", {"uniqueName": "\x00", "attributes": {"a": 2**64 - 1, "b": -(2**63), "": [None, {"x": 1e300}]}}),
        ("created", {"target": {}}), ("created", {"target": {"type": None, "id": None, "name": None, "x": 1}}),
        ("created", {"taskDefinitionSummary": SUMMARY | {"description": None, "executor": None, "x": 1}}),
        ("created", {"unknown": 10**40}), ("created", {"unique_name": 7}), ("deleted", {"anything": [10**40]}),
        ("progressed", {"progress": None, "percentComplete": 0}), ("messaged", MINIMAL["messaged"] | {"parameters": None}),
        ("messaged", MINIMAL["messaged"] | {"parameters": ["a", {"b": 1}], "unknown": 10**40}),
    ],
)  # fmt: skip
def test_odd_data_is_accepted(kind: str, data: dict[str, Any]) -> None:
    """What may be null may be, and what the kind does not know has no effect."""
    assert parsed(kind, data=data).kind == kind


def test_python_names_are_unknown_on_the_wire() -> None:
    """Only camelCase counts in a document."""
    assert parsed(data={"unique_name": "x"}).data.model_fields_set == set()


def test_a_null_is_told_from_a_missing_field() -> None:
    """A field that is null is set, one that is not there is not."""
    assert parsed(data={"parentName": None}).data.model_fields_set == {"parent_name"}


@pytest.mark.parametrize("length", [65_534, 65_535])
@pytest.mark.parametrize("name", ["uniqueName", "description", "parentName", "parentId", "launcher"])
def test_the_size_of_a_field_is_limited(name: str, length: int) -> None:
    """A text and its two quotes have at most 65,536 bytes."""
    if length == 65_534:
        assert parsed(data={name: "x" * length})
    else:
        with pytest.raises(ValidationError, match="at most 65536 bytes"):
            parsed(data={name: "x" * length})


def test_sizes_are_those_of_canonical_json() -> None:
    """Characters count as their UTF-8 bytes, and numbers as Python writes them."""
    with pytest.raises(ValidationError, match="at most 65536 bytes"):
        parsed(data={"attributes": {"a": [1e15] * 4_000}})
    with pytest.raises(ValidationError, match="at most 65536 bytes"):
        parsed(data={"uniqueName": "é" * 32_768})


def test_each_attribute_has_a_size_of_its_own() -> None:
    """The values of attributes are limited, the whole is not."""
    assert parsed(data={"attributes": {str(number): "x" * 65_534 for number in range(3)}})


def test_a_message_is_measured_as_a_whole() -> None:
    """The parts of a message count together, with the parameters that it did not have."""
    message = MINIMAL["messaged"] | {"key": ""}
    room = 65_536 - len(json.dumps(message | {"parameters": []}, separators=(",", ":")))

    assert parsed("messaged", data=message | {"key": "x" * room})
    with pytest.raises(ValidationError, match="at most 65536 bytes"):
        parsed("messaged", data=message | {"key": "x" * (room + 1)})


def test_unknown_members_do_not_count_for_the_size() -> None:
    """A field is measured as it is shown."""
    assert parsed(data={"target": {"unknown": "x" * 70_000}})


def test_an_event_is_made_by_python_names() -> None:
    """A constructor needs neither type nor specversion."""
    event = TaskCreated(id="1", source="/me", subject="t1", time=datetime(2026, 1, 31, tzinfo=UTC), data=CreatedData(unique_name="x"))

    assert to_json(event) == (
        b'{"specversion":"1.0","type":"io.tracker.task.created","source":"/me","id":"1","subject":"t1",'
        b'"time":"2026-01-31T00:00:00Z","data":{"uniqueName":"x"}}'
    )


def test_a_datetime_without_zone_is_refused() -> None:
    """A time without an offset says nothing."""
    with pytest.raises(ValidationError):
        TaskDeleted(id="1", source="/me", subject="t1", time=datetime(2026, 1, 31))  # noqa: DTZ001 - the point


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_comes_back_as_it_was(kind: str) -> None:
    """What `to_json` writes `parse` reads, on one line."""
    event = parsed(kind, time="2026-01-31T09:30:00.000001+05:30", attempt=2, traceparent="x")
    line = to_json(event)

    assert b"\n" not in line
    assert parse(json.loads(line)) == event


def test_numbers_are_written_as_python_writes_them() -> None:
    """Attributes keep their numbers: one that was a fraction stays one."""
    data = {"attributes": {"a": 1.0, "b": 1e16, "c": 1e-07, "d": 2**64 - 1}}

    assert b'{"a":1.0,"b":1e+16,"c":1e-07,"d":18446744073709551615}' in to_json(parsed(data=data))


def test_the_stamp_orders_events() -> None:
    """A stamp is attempt, sequence, time, source and id, in this order."""
    moment = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)

    assert parsed(attempt=2, sequence=5).stamp == Stamp(2, 5, moment, "/s", "1")
    assert parsed(attempt=2).stamp > parsed(sequence=9).stamp


def test_models_are_immutable() -> None:
    """An event is a fact."""
    event = TaskCompleted(id="1", source="/me", subject="t1", time="2026-01-31T09:30:00Z", data=CompletedData(completion_status="ERROR"))

    with pytest.raises(ValidationError, match="frozen"):
        event.subject = "t2"  # type: ignore[misc]


STATUS: dict[str, Any] = {
    "id": "t1", "type": "QUARTZ", "uniqueName": "é\x00", "description": "", "parentName": None, "launcher": "sweep",
    "target": {"id": "1", "type": "APPLICATION", "name": None}, "created": "0001-01-01T00:00:00.000Z", "modified": "2026-01-31T09:30:00.412Z",
    "launched": "2026-01-31T09:30:00.000Z", "completed": None, "completionStatus": None,
    "messages": [{"type": "WARN", "localizedText": TEXT, "key": "k", "parameters": ["a", {"b": 1.0}]}],
    "returns": [{"name": "n", "attributeName": "a"}], "attributes": {"B": 1e16, "a": [1, 1.0, True, None, 1e-07, -0.0, 2**64 - 1]},
    "progress": None, "percentComplete": 42,
    "taskDefinitionSummary": {
        "id": "1", "uniqueName": "u", "description": None, "parentName": "p", "executor": None, "arguments": {"z": {}, "zz": [1e22]},
    },
}  # fmt: skip


def compact(document: object) -> bytes:
    """JSON as the contract's documents are written."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def test_a_status_has_18_members_in_order() -> None:
    """The members of TaskStatus are the contract's, in its order."""
    assert [field.alias for field in TaskStatus.model_fields.values()] == FIELDS


def test_a_status_comes_back_byte_for_byte() -> None:
    """A document goes through the model unchanged: order, numbers, milliseconds."""
    assert TaskStatus.model_validate(STATUS).to_json() == compact(STATUS)


def test_the_status_keeps_python_names() -> None:
    """In Python the members are snake_case, and times are datetimes."""
    status = TaskStatus.model_validate(STATUS)

    assert (status.unique_name, status.percent_complete) == ("é\x00", 42)
    assert status.created == datetime(1, 1, 1, tzinfo=UTC)


def test_milliseconds_are_cut() -> None:
    """A time is shown truncated, not rounded."""
    status = TaskStatus.model_validate(STATUS | {"created": datetime(2026, 1, 31, 9, 30, 0, 999_999, tzinfo=UTC)})

    assert b'"created":"2026-01-31T09:30:00.999Z"' in status.to_json()


@pytest.mark.parametrize("name", FIELDS)
def test_no_member_may_be_missing(name: str) -> None:
    """All 18 members are always there."""
    with pytest.raises(ValidationError):
        TaskStatus.model_validate({key: value for key, value in STATUS.items() if key != name})


def test_a_status_has_no_other_members() -> None:
    """What the tracker knows beyond the 18 is no part of the status."""
    with pytest.raises(ValidationError):
        TaskStatus.model_validate(STATUS | {"state": "RUNNING"})


def test_the_extension_comes_back() -> None:
    """The extension is a document of its own."""
    attempts = [{"attempt": 2, "launched": "2026-01-31T09:30:00.000Z", "completed": None, "completionStatus": None}]
    extension = {"state": "RUNNING", "attempt": 2, "attempts": attempts, "parentId": None, "truncated": ["messages"], "revision": 7}

    assert TaskExtension.model_validate(extension).to_json() == compact(extension)


def test_a_message_without_parameters_is_set_apart() -> None:
    """On the wire, parameters may be missing; the model then has none of them set."""
    event = parsed("messaged")

    assert isinstance(event, TaskMessaged)
    assert "parameters" not in event.data.model_fields_set
