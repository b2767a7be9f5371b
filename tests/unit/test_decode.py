"""What one record is: the three forms, tombstones, and the first rule broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.laws.agreement import decode_difference, verdict
from tracker.fold.decode import Decoder
from tracker.fold.event import Parked, TaskEvent, stamp_parts
from tracker.model.limits import Limits
from tracker.model.records import Record

AT_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
BARE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "io.tracker.task.updated",
    "subject": "t",
    "time": "2026-01-01T00:00:00Z",
}
COMPLETED = {"type": "io.tracker.task.completed", "data": {"completionStatus": "SUCCESS"}}
HEADERS = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"io.tracker.task.completed")]


def bare(**changes: Any) -> Record:
    """A line of a file: a valid event with changes; a change to ``...`` takes the attribute away."""
    event = {name: value for name, value in {**BARE, **changes}.items() if value is not ...}
    return Record("/events.jsonl", 0, 0, json.dumps(event).encode())


def kafka(value: bytes | None, *, key: bytes | None = None, headers: Any = (), timestamp_ms: int = AT_MS) -> Record:
    """A record of a topic."""
    return Record("task-events", 0, 7, value, key, headers, timestamp_ms)


def event_of(record: Record) -> TaskEvent:
    """The record's event, on which the oracle agrees."""
    assert decode_difference(Decoder(), record) is None
    event = Decoder().decode(record)
    assert isinstance(event, TaskEvent)
    return event


def verdict_of(record: Record) -> str:
    """The record's verdict, on which the oracle agrees."""
    assert decode_difference(Decoder(), record) is None
    return verdict(Decoder().decode(record))


def test_a_bare_event_is_read() -> None:
    """All of a bare event: kind, task, attempt, time, stamp and data."""
    event = event_of(bare(attempt=2, sequence=30, data={"description": "d"}))

    assert (event.kind, event.task_id, event.attempt, event.time) == ("updated", "t", 2, "2026-01-01T00:00:00.000000")
    assert (stamp_parts(event.stamp).sequence, stamp_parts(event.stamp).source, stamp_parts(event.stamp).id) == (30, "/s", "1")
    assert getattr(event.data, "description", None) == "d"


def test_a_structured_event_beats_its_headers() -> None:
    """The content type decides even where ``ce_`` headers are there too."""
    headers = [*HEADERS, ("Content-Type", b"Application/CloudEvents+json; charset=utf-8")]
    assert event_of(kafka(bare().value, headers=headers)).kind == "updated"


def test_of_a_content_type_given_twice_the_last_counts() -> None:
    """A later content type takes the structured form away."""
    headers = [("content-type", b"application/cloudevents+json"), ("content-type", b"application/json"), *HEADERS]
    assert event_of(kafka(b'{"completionStatus":"ERROR"}', key=b"t", headers=headers)).kind == "completed"


def test_a_binary_event_takes_key_and_timestamp() -> None:
    """Without ``ce_subject`` and ``ce_time`` the record's key and timestamp stand in."""
    event = event_of(kafka(b'{"completionStatus":"ERROR"}', key=b"t", headers=HEADERS, timestamp_ms=AT_MS + 1))
    assert (event.task_id, event.time) == ("t", "2026-01-01T00:00:00.001000")


@pytest.mark.parametrize("value", [None, b"", b"null"])
def test_a_binary_event_may_have_no_data(value: bytes | None) -> None:
    """An empty or null value is an event without data, and no tombstone."""
    headers = [*HEADERS, ("ce_type", b"io.tracker.task.launched")]
    assert event_of(kafka(value, key=b"t", headers=headers)).kind == "launched"


def test_a_null_value_with_a_key_is_a_tombstone() -> None:
    """It means ``deleted`` for the task that the key names."""
    event = event_of(kafka(None, key=b"t"))
    assert (event.kind, event.task_id) == ("deleted", "t")


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a\x00", b"x" * 257])
def test_a_null_value_that_names_no_task_is_parked(key: bytes | None) -> None:
    """No key, or none that can be a task's id."""
    assert verdict_of(kafka(None, key=key)) == "parked:not-an-event"


@pytest.mark.parametrize(
    "type_", ["com.example.other", "io.tracker.task.", "io.tracker.task.Created", "io.tracker.task.created ", "io.tracker.taskcreated"]
)
def test_other_types_are_ignored_unread(type_: str) -> None:
    """Of an event of another type nothing else is looked at, be it wrong or missing."""
    assert verdict_of(bare(type=type_, specversion="9", id=..., time=5, attempt="x", data=[10**400])) == "ignored"


PARKED: dict[str, list[Record]] = {
    "not-json": [
        kafka(value)
        for value in (b"", b"{", b"{}{}", b'{"a":NaN}', b"\xef\xbb\xbf{}", b'"\xff"', b'{"a":"\\ud800"}', b"{'a':1}", b'{"a":01}', b"[" * 70)
    ]
    + [bare(data={"attributes": {"a": json.loads("[" * 62 + "]" * 62)}}), bare(extension=json.loads("[" * 64 + "]" * 64))],
    "not-an-event": [
        *map(kafka, (b"5", b"[]", b"null", b"{}", b'"s"')),
        *(bare(**{name: ...}) for name in BARE if name != "type"),
        *(bare(**{name: 5}) for name in BARE if name != "type"),
        *(bare(**{name: ""}) for name in BARE),
        bare(type=...), bare(type=None), bare(type=5), bare(specversion="1.1"), bare(id="a\x1f"), bare(source="\x9f"), bare(subject="x" * 257),
        bare(attempt=0), bare(attempt=2**31), bare(attempt=2.0), bare(attempt=True), bare(attempt="２"), bare(attempt="-1"), bare(attempt=""),
        bare(sequence=-1), bare(sequence=2**63), bare(sequence="1" * 5_000), bare(data=5), bare(data=[]), bare(data=""), bare(data_base64="e30="),
        bare(type="io.tracker.task.completed"), bare(type="io.tracker.task.messaged", data=None), bare(time="2026-01-01T00:00:00"),
    ],
    "invalid-data": [
        bare(data={"type": "quartz"}), bare(data={"description": None}), bare(data={"launcher": 5}), bare(data={"attributes": None}),
        bare(data={"attributes": {"a": [2**64]}}), bare(data={"attributes": {"a": -(2**63) - 1}}), bare(data={"target": {"type": "OTHER"}}),
        bare(data={"target": {"unknown": 2**64}}), bare(data={"taskDefinitionSummary": {"id": "1"}}), bare(data={"description": "x" * 65_535}),
        bare(**{**COMPLETED, "data": {}}), bare(**{**COMPLETED, "data": {"completionStatus": None}}),
        bare(type="io.tracker.task.progressed", data={"percentComplete": 101}), bare(type="io.tracker.task.progressed", data={"percentComplete": 1.0}),
        bare(type="io.tracker.task.corrected", data={"completionStatus": "ERROR", "completed": "2026-01-01"}),
        bare(type="io.tracker.task.messaged", data={"type": "INFO", "key": "k", "localizedText": {"locale": "en", "message": "m"}, "parameters": [1]}),
    ],
    "future-time": [kafka(bare(time="2026-01-02T00:00:00.000001Z").value), kafka(bare().value, timestamp_ms=0)],
}  # fmt: skip


@pytest.mark.parametrize(("reason", "record"), [(reason, record) for reason, records in PARKED.items() for record in records])
def test_a_broken_rule_is_the_reason(reason: str, record: Record) -> None:
    """Each of these records breaks one rule, and is parked for it with a sentence."""
    assert verdict_of(record) == f"parked:{reason}"
    parked = Decoder().decode(record)
    assert isinstance(parked, Parked)
    assert parked.detail


@pytest.mark.parametrize(
    "data",
    [
        {"attributes": {"a": [[[[[[2**64 - 1]]]]], -(2**63), 1e300]}},
        {"taskDefinitionSummary": {"id": "", "uniqueName": "", "parentName": "", "arguments": {"a": [[[[{"b": 2**63}]]]]}}},
        {"attributes": {"a": json.loads("[" * 61 + "]" * 61)}},
        {"description": "x" * 65_534, "parentName": "x" * 65_534, "unknown": 2**64},
        {"target": {}, "parentId": None, "unknown": {"a": [2**70]}},
    ],
)
def test_values_at_their_limits_are_events(data: dict[str, Any]) -> None:
    """Deep values, integers to 64 bits, long texts and unknown fields are valid."""
    assert event_of(bare(data=data)).kind == "updated"


def test_deep_parameters_are_kept() -> None:
    """A message's parameters may be as deep as any value, and their integers have 64 bits."""
    message = {"type": "INFO", "key": "k", "localizedText": {"locale": "en", "message": "m"}, "parameters": [{"a": [[[[2**64 - 1]]]]}, "b"]}
    event = event_of(bare(type="io.tracker.task.messaged", data=message))
    assert getattr(event.data, "parameters", None) == message["parameters"]


def test_the_first_rule_broken_is_the_reason() -> None:
    """One record that breaks all rules is parked for the next one as each is mended."""
    value = b'{"type":"io.tracker.task.updated","specversion":"1.0","id":"","source":"/s","subject":"t","time":"2027-01-01T00:00:00Z","data":{"type":1}}'
    limits = Limits(max_record_bytes=len(value) + 1)
    wrong = [
        value + b"  ",
        value[:-1],
        value,
        value.replace(b'"id":""', b'"id":"1"'),
        value.replace(b'"id":""', b'"id":"1"').replace(b'"type":1', b""),
    ]
    assert [verdict(Decoder(limits).decode(kafka(text))) for text in wrong] == [
        "parked:too-large", "parked:not-json", "parked:not-an-event", "parked:invalid-data", "parked:future-time",
    ]  # fmt: skip


def test_the_future_is_measured_by_the_record() -> None:
    """Exactly 24 hours after the record's timestamp is allowed, however records with other timestamps came before."""
    decoder = Decoder()
    allowed = bare(time="2026-01-02T00:00:00Z").value
    verdicts = [verdict(decoder.decode(kafka(allowed, timestamp_ms=AT_MS + step))) for step in (0, -1, 0, 3_600_000, -3_600_000, 0)]
    assert verdicts == ["event", "parked:future-time", "event", "event", "parked:future-time", "event"]


def test_a_file_knows_no_future() -> None:
    """A record without timestamp has no future to compare with, and no time to stand in."""
    assert [verdict_of(bare(time="9999-12-31T23:59:59Z")), verdict_of(bare(time=...))] == ["event", "parked:not-an-event"]


def test_numbers_no_double_holds_are_refused_where_they_are_read() -> None:
    """1e999 in a read attribute or a known field is no JSON; in an unknown member it is let through."""
    text = json.dumps({**BARE, "x": 0, "data": {"attributes": {"a": 0}, "unknown": 0}})
    read = [text.replace('"t"', "[1e999]"), text.replace('{"a": 0}', '{"a": [1e999]}'), text.replace('"1"', "-1e999")]
    unread = [text.replace('"x": 0', '"x": 1e999'), text.replace('"unknown": 0', '"unknown": 1e999')]
    assert [verdict_of(Record("f", 0, 0, value.encode())) for value in read] == ["parked:not-json"] * 3
    assert [verdict_of(Record("f", 0, 0, value.encode())) for value in unread] == ["event"] * 2
