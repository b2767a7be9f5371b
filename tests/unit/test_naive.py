"""The oracle against answers worked out by hand from the contract."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from tests.naive.decode import NaiveEvent, naive_decode
from tests.naive.fold import naive_export, naive_fold
from tests.naive.logs import crowded_log, logs, random_log, rearranged, split
from tests.naive.mutate import mutated, mutated_record
from tests.naive.workload import line, lines, task_id
from tracker.model.records import Record

DAY = "2026-01-01T00:00:"
KEYS = (
    "id", "type", "uniqueName", "description", "parentName", "launcher", "target", "created", "modified", "launched", "completed",
    "completionStatus", "messages", "returns", "attributes", "progress", "percentComplete", "taskDefinitionSummary",
)  # fmt: skip
BARE = {"specversion": "1.0", "type": "io.tracker.task.launched", "id": "1", "source": "/s", "subject": "t", "time": DAY + "00Z"}
MESSAGE = {"type": "INFO", "key": "k", "localizedText": {"locale": "en", "message": "m"}}
NESTED_64 = '{"attributes":{"a":' + "[" * 61 + "]" * 61 + "}}"
"""Data that makes the event 64 levels deep: the event, data, attributes, and 61 arrays."""


def event(kind: str, second: int, data: dict[str, Any] | None = None, **changes: Any) -> NaiveEvent:
    """An event of task t at a second of the first minute of 2026; ``changes`` replaces attempt, sequence, source, id or task_id."""
    values: dict[str, Any] = {"task_id": "t", "attempt": 1, "sequence": 0, "source": "/s", "id": f"{kind}{second}", **changes}
    return NaiveEvent(kind=kind, time=f"{DAY}{second:02}.000000", data=data or {}, **values)


def folded(*events: NaiveEvent, **caps: int) -> dict[str, Any]:
    """Task t's document."""
    doc = naive_fold(events, **caps)["t"]
    assert doc is not None
    return doc


def bare(raw_data: str | None = None, *, extra: str = "", **changes: Any) -> Record:
    """A bare record of a launched event with some attributes replaced (a value of ... leaves it out)."""
    members = {name: value for name, value in {**BARE, **changes}.items() if value is not ...}
    text = json.dumps(members)[:-1] + ("" if raw_data is None else f',"data":{raw_data}') + extra + "}"
    return Record("f", 0, 0, text.encode())


def decoded(record: Record) -> NaiveEvent:
    """The event of a record that has one."""
    result = naive_decode(record)
    assert isinstance(result, NaiveEvent), result
    return result


def ended(*events: NaiveEvent) -> tuple[str, str | None, str | None]:
    """state, completionStatus and the seconds of completed."""
    doc = folded(*events)
    return doc["tracker"]["state"], doc["completionStatus"], doc["completed"] and doc["completed"][17:19]


def completed(status: str, second: int, **changes: Any) -> NaiveEvent:
    """A completed event."""
    return event("completed", second, {"completionStatus": status}, **changes)


def test_the_document_has_the_18_keys_in_order_and_the_extension() -> None:
    """A task of one event has all 18 keys in the contract's order, then tracker."""
    assert tuple(folded(event("progressed", 3))) == (*KEYS, "tracker")


def test_what_was_never_set_has_the_defaults() -> None:
    """A task known by one progressed event only shows each default of the table."""
    assert folded(event("progressed", 3)) == {
        "id": "t", "type": "QUEUED_TASK", "uniqueName": "t", "description": "", "parentName": None, "launcher": "", "target": None,
        "created": DAY + "03.000Z", "modified": DAY + "03.000Z", "launched": None, "completed": None, "completionStatus": None, "messages": [],
        "returns": [], "attributes": {}, "progress": None, "percentComplete": 0, "taskDefinitionSummary": None,
        "tracker": {"state": "PENDING", "attempt": 1, "attempts": [], "parentId": None, "truncated": []},
    }  # fmt: skip


def test_created_prefers_created_events_over_earlier_others() -> None:
    """The field created is the smallest time of the created events even if another event is earlier."""
    assert folded(event("launched", 1), event("created", 5), event("created", 4))["created"] == DAY + "04.000Z"


def test_times_are_truncated_not_rounded() -> None:
    """Microseconds beyond the millisecond are cut."""
    assert folded(decoded(bare(time="2026-01-01T00:00:00.9999999Z")))["modified"] == DAY + "00.999Z"


@pytest.mark.parametrize(
    ("events", "answer"),
    [
        ([], ("PENDING", None, None)),
        ([event("launched", 1)], ("RUNNING", None, None)),
        ([completed("SUCCESS", 2), event("launched", 9)], ("COMPLETED", "SUCCESS", "02")),
        ([completed("SUCCESS", 2), completed("ERROR", 3)], ("COMPLETED", "ERROR", "03")),
        ([completed("SUCCESS", 2), completed("TEMPERROR", 9)], ("COMPLETED", "SUCCESS", "02")),
        ([event("launched", 1), completed("TEMPERROR", 2)], ("COMPLETED", "TEMPERROR", "02")),
        ([completed("TEMPERROR", 2), event("launched", 3)], ("RUNNING", None, None)),
        ([completed("SUCCESS", 2), event("launched", 1, attempt=2)], ("RUNNING", None, None)),
        ([completed("SUCCESS", 2), event("progressed", 1, attempt=2)], ("PENDING", None, None)),
        ([event("corrected", 1, {"completionStatus": "ERROR"}), completed("SUCCESS", 9)], ("COMPLETED", "ERROR", "01")),
        (
            [event("corrected", 1, {"completionStatus": "TEMPERROR", "completed": DAY + "07.000000"}), event("launched", 9)],
            ("COMPLETED", "TEMPERROR", "07"),
        ),
        ([completed("ERROR", 1, sequence=5), completed("SUCCESS", 2, sequence=4)], ("COMPLETED", "ERROR", "01")),
        ([completed("ERROR", 1, id="x"), completed("SUCCESS", 1, id="x")], ("COMPLETED", "SUCCESS", "01")),
        ([completed("TEMPERROR", 1, id="x"), event("launched", 1, id="x")], ("COMPLETED", "TEMPERROR", "01")),
    ],
)
def test_the_verdict(events: list[NaiveEvent], answer: tuple[str, str | None, str | None]) -> None:
    """Each sentence of the contract's verdict, with a created event beside."""
    assert ended(event("created", 0), *events) == answer


def test_success_shows_100_percent_and_error_shows_what_was_reported() -> None:
    """The percentage is 100 with SUCCESS or WARNING whatever was reported."""
    progress = event("progressed", 1, {"percentComplete": 40})
    assert [folded(progress, completed(s, 2))["percentComplete"] for s in ("SUCCESS", "WARNING", "ERROR")] == [100, 100, 40]


def test_progress_of_an_earlier_attempt_is_not_shown() -> None:
    """Both progress fields are of the current attempt."""
    doc = folded(event("progressed", 1, {"progress": "p", "percentComplete": 40}), event("launched", 0, attempt=2))
    assert (doc["progress"], doc["percentComplete"]) == (None, 0)


def test_attempts_apply_the_rules_to_each_attempt() -> None:
    """Each attempt with a launched, completed or corrected event has an entry, ascending."""
    doc = folded(event("launched", 5, attempt=3), completed("ERROR", 2), event("launched", 1), event("progressed", 9, attempt=2))
    assert doc["tracker"]["attempts"] == [
        {"attempt": 1, "launched": DAY + "01.000Z", "completed": DAY + "02.000Z", "completionStatus": "ERROR"},
        {"attempt": 3, "launched": DAY + "05.000Z", "completed": None, "completionStatus": None},
    ]


def test_each_field_is_from_the_latest_event_that_has_it() -> None:
    """A later event without the key, or with it null, leaves or sets it; launched sets launcher too."""
    doc = folded(
        event("created", 1, {"description": "d", "parentName": "p", "launcher": "l"}),
        event("updated", 2, {"parentName": None}),
        event("launched", 3, {"launcher": "m"}),
    )
    assert (doc["description"], doc["parentName"], doc["launcher"]) == ("d", None, "m")


def test_equal_stamps_the_greater_canonical_json_wins() -> None:
    """Of 1, 1.0 and true under one stamp true wins, and 1.0 over 1: their bytes are compared."""
    tied = [event("updated", 1, {"attributes": {"a": value}}, id="x") for value in (True, 1, 1.0)]
    values = [folded(*tied)["attributes"]["a"], folded(*tied[1:])["attributes"]["a"]]
    assert [repr(value) for value in values] == ["True", "1.0"]


def test_stamps_compare_sources_by_code_point() -> None:
    """U+1F600 comes after U+FFEE, which is not so in UTF-16."""
    doc = folded(
        event("updated", 1, {"description": "fe"}, source="\uffee"), event("updated", 1, {"description": "smile"}, source="\U0001f600")
    )
    assert doc["description"] == "smile"


def test_attributes_merge_key_by_key_over_all_kinds() -> None:
    """Each key has its own latest event, and keys stand in code point order."""
    doc = folded(
        event("completed", 1, {"completionStatus": "ERROR", "attributes": {"b": 1, "a": 1}}),
        event("progressed", 2, {"attributes": {"a": 2}}),
    )
    assert list(doc["attributes"].items()) == [("a", 2), ("b", 1)]


def test_a_message_counts_once_by_its_identity() -> None:
    """Of one source and id the latest counts, in stamp order among the others."""
    doc = folded(
        event("messaged", 1, {"key": "old"}, id="x"),
        event("messaged", 3, {"key": "new"}, id="x"),
        event("messaged", 2, {"key": "other"}, id="y"),
    )
    assert [message["key"] for message in doc["messages"]] == ["other", "new"]


def test_returns_stand_in_the_order_of_their_smallest_stamps() -> None:
    """One per pair of names; equal stamps by name, then attributeName."""
    pairs = [(5, "a", "a"), (3, "b", "b"), (1, "a", "a"), (3, "b", "a")]
    doc = folded(*(event("returned", second, {"name": n, "attributeName": a}, id="x") for second, n, a in pairs))
    assert [(item["name"], item["attributeName"]) for item in doc["returns"]] == [("a", "a"), ("b", "a"), ("b", "b")]


def test_caps_keep_the_first_by_their_order_and_say_so() -> None:
    """The latest messages, first returns, first keys and greatest attempts are kept."""
    events = [event("messaged", n, {"key": str(n)}) for n in range(3)]
    events += [event("returned", n, {"name": str(9 - n), "attributeName": ""}) for n in range(3)]
    events += [event("updated", n, {"attributes": {f"k{n}": n}}) for n in range(3)]
    events += [event("launched", n, attempt=n + 1) for n in range(3)]
    doc = folded(*events, messages=2, returns=2, attributes=2, attempts=2)
    assert [
        [message["key"] for message in doc["messages"]],
        [item["name"] for item in doc["returns"]],
        list(doc["attributes"]),
        [entry["attempt"] for entry in doc["tracker"]["attempts"]],
        doc["tracker"]["truncated"],
    ] == [["1", "2"], ["9", "8"], ["k0", "k1"], [2, 3], ["attempts", "attributes", "messages", "returns"]]


def test_a_full_field_is_not_truncated() -> None:
    """Exactly as many as the cap drops nothing."""
    assert folded(event("messaged", 1, {}), messages=1)["tracker"]["truncated"] == []


def test_deleted_is_final_even_when_it_came_first() -> None:
    """A deleted event of the least stamp hides all else, and an export leaves the task out."""
    docs = naive_fold([event("deleted", 0), event("created", 5, attempt=9)])
    assert (docs, naive_export(docs)) == ({"t": None}, b"")


def test_the_export_is_one_compact_line_a_task_in_code_point_order() -> None:
    """Lines of 18 keys, U+FFEE before U+1F600, not escaped."""
    exported = naive_export(naive_fold([event("created", 1, task_id=name) for name in ("\U0001f600", "\uffee", "a")]))
    assert [tuple(json.loads(text)) for text in exported.splitlines()] == [KEYS] * 3
    assert [text[:12] for text in exported.decode().split("\n")] == ['{"id":"a","t', '{"id":"\uffee","t', '{"id":"\U0001f600","t', ""]


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        (bare(type="x", id=5), "ignored"),
        (bare('{"a":' * 2000 + "1" + "}" * 2000, type="x"), "ignored"),
        (bare("NaN", type="x"), "parked:not-json"),
        (bare(type=""), "parked:not-an-event"),
        (bare("[" * 64 + "]" * 64), "parked:not-json"),
        (bare(NESTED_64.replace("[]", "[[]]")), "parked:not-json"),
        (bare('{"attributes":{"a":1e999}}'), "parked:not-json"),
        (bare('{"attributes":{"a":"\\ud800"}}'), "parked:not-json"),
        (bare('{"x":"\\ud800"}'), "parked:not-json"),
        (bare(extra=',"x":1e999,"x":[' + "1" * 5000 + "]"), "event"),
        (bare('{"x":1e999}'), "event"),
        (bare(NESTED_64), "event"),
        (bare('{"attributes":{"a":18446744073709551616}}'), "parked:invalid-data"),
        (bare('{"attributes":{"a":' + "1" * 5000 + "}}"), "parked:invalid-data"),
        (bare('{"attributes":null}'), "parked:invalid-data"),
        (bare('{"launcher":"' + "x" * 65_534 + '"}'), "event"),
        (bare('{"launcher":"' + "x" * 65_535 + '"}'), "parked:invalid-data"),
        (bare('{"attributes":{"a":[' + "1e15," * 4000 + "1]}}"), "parked:invalid-data"),
        (bare("[]"), "parked:not-an-event"),
        (bare(data_base64=""), "parked:not-an-event"),
        (bare(data_base64=None), "event"),
        (bare(type="io.tracker.task.completed"), "parked:not-an-event"),
        (bare("{}", type="io.tracker.task.completed"), "parked:invalid-data"),
        (bare(id="a\x7f"), "parked:not-an-event"),
        (bare(subject="\U0001f600" * 256), "event"),
        (bare(subject="x" * 257), "parked:not-an-event"),
        (bare(subject=...), "parked:not-an-event"),
        (bare(time=...), "parked:not-an-event"),
        (bare(attempt="007", sequence="0"), "event"),
        (bare(attempt="２"), "parked:not-an-event"),
        (bare(attempt=True), "parked:not-an-event"),
        (bare(attempt=2.0), "parked:not-an-event"),
        (bare(attempt=2147483648), "parked:not-an-event"),
        (bare(extra=',"type":"x"'), "ignored"),
        (Record("f", 0, 0, b"\xef\xbb\xbf{}"), "parked:not-json"),
        (Record("f", 0, 0, b"[]"), "parked:not-an-event"),
        (Record("f", 0, 0, b""), "parked:not-json"),
        (Record("f", 0, 0, b" " * 1_048_577), "parked:too-large"),
        (Record("k", 0, 0, None), "parked:not-an-event"),
        (Record("k", 0, 0, None, b"\xff"), "parked:not-an-event"),
        (Record("k", 0, 0, None, b"t", [("content-type", b"application/cloudevents+json")]), "event"),
        (Record("k", 0, 0, None, b"t", [("content-type", b"application/cloudevents+json"), ("ce_id", b"1")]), "parked:not-json"),
        (Record("k", 0, 0, None, b"t", [("ce_id", b"1")]), "parked:not-an-event"),
        (Record("k", 0, 0, b"not json", None, [("ce_type", b"x")]), "ignored"),
    ],
)  # fmt: skip
def test_what_is_taken_and_what_is_refused(record: Record, answer: str) -> None:
    """One record for each rule of what is refused, and its neighbour that is not."""
    result = naive_decode(record)
    assert (result if isinstance(result, str) else "event") == answer


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-01t01:00:00.1234567+01:00", "2026-01-01T00:00:00.123456"),
        ("0000-12-31T23:30:00-01:00", "0001-01-01T00:30:00.000000"),
        ("9999-12-31 23:59:59z", "9999-12-31T23:59:59.000000"),
        ("9999-12-31T23:59:59-00:01", None),
        ("0001-01-01T00:30:00+01:00", None),
        ("2016-12-31T23:59:60Z", None),
        ("2026-01-01T24:00:00Z", None),
        ("2026-01-01T00:00:00+0200", None),
    ],
)
def test_times(text: str, utc: str | None) -> None:
    """RFC 3339 with an offset, years 1 to 9999 in UTC, cut at the microsecond."""
    result = naive_decode(bare(time=text))
    assert (result.time if isinstance(result, NaiveEvent) else None) == utc


def test_a_future_time_is_measured_from_the_records_own_timestamp() -> None:
    """24 hours after the record's timestamp is taken, one microsecond more is not."""
    at = 1_767_225_600_000
    records = [
        Record("k", 0, 0, json.dumps({**BARE, "time": text}).encode(), timestamp_ms=at)
        for text in ("2026-01-02T00:00:00Z", "2026-01-02T00:00:00.000001Z")
    ]
    assert [result if isinstance(result, str) else "event" for result in map(naive_decode, records)] == ["event", "parked:future-time"]


def test_a_binary_event_takes_its_key_timestamp_and_last_headers() -> None:
    """Headers are attributes, the last of a name counts, the key is the subject and the timestamp the time."""
    headers = [("ce_id", b"0"), ("ce_specversion", b"1.0"), ("ce_source", b"/s"), ("ce_type", b"io.tracker.task.messaged"), ("ce_id", b"1")]
    headers.append(("ce_attempt", b"2"))
    record = Record("k", 0, 0, json.dumps(MESSAGE).encode(), b"t", headers, 1_767_225_600_001)
    shown = {"type": "INFO", "localizedText": {"locale": "en", "message": "m"}, "key": "k", "parameters": []}
    assert decoded(record) == NaiveEvent("messaged", "t", 2, 0, DAY + "00.001000", "/s", "1", shown)


def test_shown_values_have_their_members_in_order_and_no_others() -> None:
    """Both target and taskDefinitionSummary are shown with defaults, without unknown members, free objects sorted."""
    data = '{"target":{"name":"n","x":1},"taskDefinitionSummary":{"parentName":"p","id":"i","uniqueName":"u","arguments":{"b":{"d":1,"c":2},"a":1}}}'
    assert json.dumps(decoded(bare(data, type="io.tracker.task.updated")).data, separators=(",", ":")) == (
        '{"target":{"id":null,"type":null,"name":"n"},"taskDefinitionSummary":{"id":"i","uniqueName":"u","description":null,'
        '"parentName":"p","executor":null,"arguments":{"a":1,"b":{"c":2,"d":1}}}}'
    )


@given(records=logs())
@settings(max_examples=50, deadline=None)
def test_logs_decode_and_fold(records: list[Record]) -> None:
    """Each drawn log decodes without an error and folds to documents that can be exported."""
    results = [naive_decode(record) for record in records]
    naive_export(naive_fold(result for result in results if isinstance(result, NaiveEvent)))


def test_rearranged_logs_have_the_same_documents() -> None:
    """The oracle itself does not depend on order or duplicates."""
    rng = Random(7)
    for _ in range(100):
        log = random_log(rng)
        again = rearranged(rng, log)
        docs = [naive_fold(event for event in map(naive_decode, records) if isinstance(event, NaiveEvent)) for records in (log, again)]
        assert json.dumps(docs[0]) == json.dumps(docs[1])


def test_a_crowded_log_overflows_each_cap() -> None:
    """The crowded log drops something of all four fields that are capped."""
    doc = folded(*(decoded(record) for record in crowded_log(Random(1))))
    assert doc["tracker"]["truncated"] == ["attempts", "attributes", "messages", "returns"]


def test_split_keeps_the_sequence() -> None:
    """The batches of a split, put together, are the sequence."""
    rng = Random(3)
    assert all([n for batch in split(rng, list(range(9))) for n in batch] == list(range(9)) for _ in range(50))


def test_mutations_reach_every_verdict_and_never_raise() -> None:
    """A few thousand mutated records give events and each reason but too-large."""
    rng = Random(5)
    results = [naive_decode(mutated_record(rng, record)) for _ in range(400) for record in random_log(rng)]
    kinds = {result if isinstance(result, str) else "event" for result in results}
    assert kinds - {"parked:too-large"} == {
        "event", "ignored", "parked:not-json", "parked:not-an-event", "parked:invalid-data", "parked:future-time",
    }  # fmt: skip


def test_mutated_takes_any_bytes() -> None:
    """What is no JSON at all is mutated too."""
    rng = Random(5)
    assert all(isinstance(mutated(rng, value), bytes) for value in (b"", b"\xff", b"[" * 5000, b"{}", b"5") for _ in range(50))


def test_the_workload_is_valid_and_complete() -> None:
    """Each task of the workload has its 8 events, all valid, and ends with a verdict."""
    docs = naive_fold(decoded(Record("f", 0, 0, text)) for text in lines(50))
    assert list(docs) == [task_id(task) for task in range(50)]
    assert all(doc is not None and doc["tracker"]["state"] == "COMPLETED" and len(doc["messages"]) == 1 for doc in docs.values())


def test_a_shuffled_workload_has_the_same_lines() -> None:
    """Shuffling changes the order alone, and a line can be made without those before it."""
    plain, shuffled = list(lines(50, 9, 4)), list(lines(50, 9, 4, shuffle=True))
    assert sorted(plain) == sorted(shuffled) == sorted(line(task, step, 9, 4) for task in range(50) for step in range(9))
    assert plain != shuffled
