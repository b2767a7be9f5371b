"""Sorters, cursors and the report of a store."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from tracker.errors import UsageError
from tracker.model.records import Position, TopicPartition
from tracker.query.base import Facts
from tracker.query.pages import from_cursor, parse_sorters, sorters_text, to_cursor
from tracker.query.report import report
from tracker.stores.base import Counters, Jump, PartitionStatus, StoreSize

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        (None, "created,id"),
        ("", "created,id"),
        ("-modified", "-modified,id"),
        ("type, -id", "type,-id"),
        ("id,created", "id,created"),
    ],
)
def test_every_order_is_total(text, order):
    """An order names the id, which is put last where it was not named."""
    assert sorters_text(parse_sorters(text)) == order


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "modifed",
            'sorters: expected fields with "-" before those that descend, such as -modified,id; found "modifed"; did you mean "modified"?',
        ),
        ("id,-id", 'sorters: "id" is named twice'),
    ],
)
def test_wrong_sorters_are_usage_errors(text, message):
    """A sorter that is no field, or one twice, is said."""
    with pytest.raises(UsageError) as raised:
        parse_sorters(text)
    assert str(raised.value) == message


def test_a_cursor_comes_back_as_it_went():
    """A cursor holds any key, nulls and all Unicode too, as URL-safe text."""
    order = parse_sorters("-completed,attempt,launcher,id")
    key = (None, 2**31 - 1, "é\0😀", "task/1")
    cursor = to_cursor(order, key)
    assert from_cursor(order, cursor) == key
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "a" * 5, "!!!!", base64.urlsafe_b64encode(b"[1]").decode(), to_cursor(parse_sorters("-created"), ("2026", "a"))],
)
def test_what_is_no_cursor_of_this_order_is_refused(cursor):
    """Anything but a cursor that was made for the same order is a usage error."""
    with pytest.raises(UsageError):
        from_cursor(parse_sorters("created"), cursor)


@pytest.mark.parametrize("key", [(1, "a"), (None, "a"), ("2026", None), ("2026",), ("2026", 2**70)])
def test_a_forged_key_is_refused(key):
    """A key whose values the fields can't have is a usage error, not a wrong page."""
    with pytest.raises(UsageError):
        from_cursor(parse_sorters("created"), to_cursor(parse_sorters("created"), key))


def _partition(next_offset: int = 70, *, identity: str = "kafka:c", read: int = 70, **known: object) -> PartitionStatus:
    counters = Counters(read=read, applied=read)
    return PartitionStatus(position=Position("t", 0, next_offset, identity), counters=counters, **known)  # type: ignore[arg-type]


def _lag(status: PartitionStatus) -> tuple[int | None, float | None]:
    (found,) = report(Facts([status], [], {}, 0, 0, None, 1), NOON).partitions
    return found.lag_records, found.lag_seconds


SEEN = "2026-01-01T11:59:30Z"


@pytest.mark.parametrize(
    ("status", "lag"),
    [
        (_partition(), (None, None)),
        (_partition(end_offset=100, end_seen_at=SEEN), (30, None)),
        (_partition(end_offset=100, end_seen_at=SEEN, newest_event_time="2026-01-01T11:59:10.500000"), (30, 19.5)),
        (_partition(end_offset=100, end_seen_at=SEEN, newest_event_time="2026-01-01T13:00:00.000000Z"), (30, 0.0)),
        (_partition(end_offset=70, end_seen_at=SEEN, newest_event_time="2020-01-01T00:00:00.000000"), (0, 0.0)),
        (_partition(end_offset=60, end_seen_at=SEEN), (0, 0.0)),
        (_partition(end_offset=70, end_seen_at="2026-01-01T11:58:59Z"), (None, None)),
        (_partition(4_000, identity="file:1:2:3", read=10, end_offset=6_000, end_seen_at=SEEN), (5, None)),
        (_partition(4_000, identity="file:1:2:3", read=10, end_offset=4_001, end_seen_at=SEEN), (1, None)),
        (_partition(4_000, identity="file:1:2:3", read=10, end_offset=4_000, end_seen_at=SEEN), (0, 0.0)),
        (_partition(0, identity="file:1:2:3", read=0, end_offset=9, end_seen_at=SEEN), (None, None)),
    ],
)
def test_lag_is_known_or_said_to_be_unknown(status, lag):
    """Lag is counted from what a worker saw within the minute, in a file estimated from bytes; else it is unknown, never 0."""
    assert _lag(status) == lag


def test_the_report_in_json_has_the_promised_shape():
    """Scripts rely on these names: counters in all and by partition, lags, parked by reason, jumps."""
    status = _partition(end_offset=100, end_seen_at="2026-01-01T00:00:00Z")
    jump = Jump(at=TopicPartition("t", 0), stored=1, chosen=5, policy="earliest", when="2026-01-01T00:00:00Z")
    counters = {"read": 70, "applied": 70, "unchanged": 0, "ignored": 0, "parked": 0}
    unheld = {"worker": None, "claimedAt": None, "committedAt": None}
    assert report(Facts([status], [jump], {"not-json": 2}, 9, 5, StoreSize(4096, 1024), 3), NOON).to_json() == {
        "counters": counters,
        "balanced": True,
        "tasks": 9,
        "partitions": [
            {"topic": "t", "partition": 0, "nextOffset": 70, "endOffset": 100, "lagRecords": None, "lagSeconds": None, **counters, **unheld}
        ],
        "lagUnknown": [{"topic": "t", "partition": 0, "since": "2026-01-01T00:00:00Z"}],
        "parkedByReason": {"not-json": 2},
        "jumps": [{"topic": "t", "partition": 0, "stored": 1, "chosen": 5, "policy": "earliest", "when": "2026-01-01T00:00:00Z"}],
        "purged": 5,
        "storeBytes": 4096,
        "storeFreeBytes": 1024,
        "rebuild": None,
        "revision": 3,
    }
