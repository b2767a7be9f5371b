"""Adversarial logs of a few tasks: ties of times and of whole stamps, ids used twice, anything missing, late or out of order.

`random_log` is fast and takes a ``random.Random``; `logs` is the same as a Hypothesis strategy, one element an event, so that it shrinks.
Times, attempts, sequences, sources and ids come from tiny pools, which is what makes ties; `Pool.distinct` logs have none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st

from tests.naive.decode import EPOCH_US, PREFIX, _time_text
from tracker.model.records import Record

T = TypeVar("T")
TOPIC = "task-events"
FILE = "/logs/events.jsonl"
BASE_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
TASK_IDS = ("t", "t1", "\uffee", "\U0001f600", "ü b/c?", "x" * 256)
SOURCES = ("/a", "/b", "\uffee", "\U0001f600")
IDS = ("1", "2", "3", "10", "é")
KINDS = ("created", "updated", "launched", "progressed", "messaged", "returned", "completed", "corrected")
TEXTS = ("", "a", "b", "\x00", "\uffee", "\U0001f600", "A\x7f", "é", "\u2028", '"\\/')
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.0, 0.0, -0.0, 1e-05, 1e16, 1e22, 0.1, 2**64 - 1, -(2**63), "", "1", "true", "\x00", "\uffee", "\U0001f600",
    [], [1], [1.0], [True], [None, []], {}, {"b": 1, "a": 2}, {"a": 2.0, "b": 1}, {"\U0001f600": 1, "\uffee": {"z": 0, "y": [{}]}}, "é" * 30,
)  # fmt: skip
KEYS = ("a", "b", "", "\x00", "\uffee", "\U0001f600", "aa", "type")
STATUSES = ("SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR", "TEMPERROR")


@dataclass
class Pool:
    """What the events of one log draw from. ``form`` is a record form, ``"mixed"``, or ``"file"`` for bare lines of a file."""

    tasks: tuple[str, ...]
    times_us: tuple[int, ...]
    attempts: tuple[int, ...]
    sequences: tuple[int, ...]
    sources: tuple[str, ...]
    ids: tuple[str, ...]
    form: str
    distinct: bool
    deletes: bool
    odd: float
    made: int = field(default=0)


def pool(rng: Random) -> Pool:
    """The shape of one log."""
    distinct = rng.random() < 0.3
    numbered = rng.random() < 0.6
    return Pool(
        tasks=tuple(rng.sample(TASK_IDS, rng.choice((1, 1, 2, 3)))),
        times_us=tuple(
            EPOCH_US + BASE_MS * 1000 + step for step in rng.choice(((0, 1, 999, 1000), (0, 1_000_000), (0,), (0, 500, 3_600_000_000, -1)))
        ),
        attempts=rng.choice(((1,), (1, 1, 2), (1, 2, 3), (1, 2147483647))),
        sequences=rng.choice(((0, 1, 2, 3), (0, 2**53, 2**53 + 1, 2**63 - 1), (1, 2))) if numbered else (0,),
        sources=tuple(rng.sample(SOURCES, rng.choice((1, 1, 2)))),
        ids=IDS[: rng.choice((1, 2, 3, 5))],
        form=rng.choice(("mixed", "mixed", "file", "bare", "binary", "structured")),
        distinct=distinct,
        deletes=rng.random() < 0.12,
        odd=rng.choice((0.0, 0.0, 0.0, 0.08)),
    )


def random_log(rng: Random, *, least: int = 4, most: int = 20) -> list[Record]:
    """A log of ``least`` to ``most`` records (12 on average); about two of three have a tie of times or of whole stamps."""
    shape = pool(rng)
    return [random_record(rng, shape) for _ in range(rng.randint(least, most))]


@st.composite
def logs(draw: st.DrawFn, *, least: int = 0, most: int = 20) -> list[Record]:
    """`random_log` as a strategy: events can be taken away one by one, and each shrinks to the simplest of its pools."""
    shape = pool(draw(st.randoms(use_true_random=False)))
    size = st.lists(st.randoms(use_true_random=False), min_size=least, max_size=most)
    return [random_record(rng, shape) for rng in draw(size)]


def crowded_log(rng: Random) -> list[Record]:
    """One task with more messages, returns, attributes and attempts than the default caps keep, in any order (about 2,500 records)."""
    records = []
    for n in range(1100):
        shape = Pool(
            ("t",),
            (EPOCH_US + BASE_MS * 1000 + n % 37,),
            (1,),
            (0,),
            ("/a", "/b"),
            (str(n % 1080),),
            form="file",
            distinct=False,
            deletes=False,
            odd=0.0,
        )
        message = {"type": "INFO", "key": str(n), "localizedText": {"locale": "en", "message": ""}}
        records.append(_encoded(rng, shape, form="file", task="t", kind="messaged", event_data=message))
        returned = {"name": f"n{n % 1050}", "attributeName": rng.choice(TEXTS)}
        records.append(_encoded(rng, shape, form="file", task="t", kind="returned", event_data=returned))
        if n % 4 == 0:
            attributes = {rng.choice(("k", "\uffee", "\U0001f600")) + str(rng.randrange(1200)): n for _ in range(8)}
            records.append(_encoded(rng, shape, form="file", task="t", kind="updated", event_data={"attributes": attributes}))
        if n % 9 == 0:
            shape.attempts = (n // 9 + 1,)
            kind = rng.choice(("launched", "completed"))
            ended = {"completionStatus": rng.choice(STATUSES)} if kind == "completed" else None
            records.append(_encoded(rng, shape, form="file", task="t", kind=kind, event_data=ended))
    rng.shuffle(records)
    return records


def rearranged(rng: Random, records: list[Record]) -> list[Record]:
    """The same set of records in any order, with duplicates of some (up to as many again)."""
    again = list(records)
    if records:
        again += [rng.choice(records) for _ in range(rng.randint(0, len(records)))]
    rng.shuffle(again)
    return again


def split(rng: Random, items: list[T]) -> list[list[T]]:
    """The same sequence cut into batches at random places; batches may be empty."""
    cuts = sorted(rng.randint(0, len(items)) for _ in range(rng.randint(0, 5)))
    return [items[a:b] for a, b in zip([0, *cuts], [*cuts, len(items)], strict=True)]


def parted(rng: Random, items: list[T], parts: int = 3) -> list[list[T]]:
    """Each item dealt to one of the parts, as partitions of a topic hold them: order is kept within a part."""
    dealt: list[list[T]] = [[] for _ in range(parts)]
    for item in items:
        dealt[rng.randrange(parts)].append(item)
    return dealt


def random_record(rng: Random, shape: Pool) -> Record:
    """One record; ``shape.made`` counts them, and makes times and ids of a `Pool.distinct` log unlike."""
    shape.made += 1
    task = rng.choice(shape.tasks)
    form = shape.form if shape.form != "mixed" else rng.choice(("bare", "binary", "structured"))
    if shape.deletes and rng.random() < 0.08:
        if form != "file" and rng.random() < 0.5:
            return Record(TOPIC, rng.randrange(4), shape.made, None, task.encode(), (), BASE_MS)
        return _encoded(rng, shape, form=form, task=task, kind="deleted", event_data=rng.choice((None, {}, {"x": 1})))
    kind = rng.choice(KINDS)
    event_data: Any = data(rng, kind)
    if rng.random() < shape.odd:
        kind, event_data = rng.choice((("moved", 1), ("completed", {}), ("updated", {"type": 5}), ("messaged", None)))
    return _encoded(rng, shape, form=form, task=task, kind=kind, event_data=event_data)


def data(rng: Random, kind: str) -> dict[str, Any] | None:
    """Valid data of a kind; fields are missing or null where they may be."""
    if kind in ("created", "updated"):
        made = _registers(rng)
    elif kind == "launched":
        made = _some(rng, launcher=rng.choice(TEXTS), attributes=_free(rng))
    elif kind == "progressed":
        made = _some(rng, progress=rng.choice((None, *TEXTS)), percentComplete=rng.choice((0, 1, 50, 99, 100)), attributes=_free(rng))
    elif kind == "messaged":
        made = {
            "type": rng.choice(("INFO", "WARN", "ERROR")),
            "key": rng.choice(TEXTS),
            "localizedText": {"locale": rng.choice(("en", "")), "message": rng.choice(TEXTS)},
            **_some(rng, parameters=rng.choice((None, [], ["\x00"], [{"b": 1, "a": [1.0]}, "p"]))),
        }
    elif kind == "returned":
        made = {"name": rng.choice(TEXTS[1:6]), "attributeName": rng.choice(TEXTS[1:6])}
    elif kind == "completed":
        made = {"completionStatus": rng.choice(STATUSES), **_some(rng, attributes=_free(rng))}
    else:
        completed = rng.choice(
            ("2026-01-01T00:00:00Z", "2025-12-31T23:00:00.1234569-01:00", "2026-01-02t00:00:00z", "0001-01-01 00:00:00Z")
        )
        made = {"completionStatus": rng.choice(STATUSES), **_some(rng, completed=completed)}
    if rng.random() < 0.1:
        made["unknown"] = rng.choice(VALUES)
    return None if not made and rng.random() < 0.5 else made


def _some(rng: Random, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if rng.random() < 0.5}


def _free(rng: Random) -> dict[str, Any]:
    return {rng.choice(KEYS): rng.choice(VALUES) for _ in range(rng.randint(0, 3))}


def _registers(rng: Random) -> dict[str, Any]:
    target = _some(
        rng,
        id=rng.choice((None, *TEXTS)),
        type=rng.choice((None, "APPLICATION", "IDENTITY")),
        name=rng.choice((None, *TEXTS)),
        extra=rng.choice(VALUES),
    )
    summary = {
        "id": rng.choice(TEXTS),
        "uniqueName": rng.choice(TEXTS),
        "parentName": rng.choice(TEXTS),
        "arguments": _free(rng),
        **_some(rng, description=rng.choice((None, "d")), executor=rng.choice((None, "e")), other=1),
    }
    return _some(
        rng,
        type=rng.choice(("QUARTZ", "QPOC", "QUEUED_TASK")),
        uniqueName=rng.choice(TEXTS),
        description=rng.choice(TEXTS),
        parentName=rng.choice((None, *TEXTS)),
        parentId=rng.choice((None, *TEXTS)),
        launcher=rng.choice(TEXTS),
        target=rng.choice((None, target)),
        taskDefinitionSummary=rng.choice((None, summary)),
        attributes=_free(rng),
    )


def written_time(rng: Random, time_us: int) -> str:
    """A time (microseconds as `naive_decode` counts them) in one of the many spellings of RFC 3339."""
    hours = rng.choice((0, 0, 0, 2, -3))
    text = _time_text(time_us + hours * 3_600_000_000)
    if text.endswith(".000000") and rng.random() < 0.5:
        text = text[:19]
    elif text.endswith("000") and rng.random() < 0.5:
        text = text[:23]
    elif len(text) == 26 and rng.random() < 0.2:
        text += "999"
    text = text.replace("T", rng.choice("TTTt "))
    return text + (rng.choice(("Z", "Z", "z", "+00:00", "-00:00")) if hours == 0 else f"{'-' if hours < 0 else '+'}{abs(hours):02}:00")


def _encoded(rng: Random, shape: Pool, *, form: str, task: str, kind: str, event_data: Any) -> Record:
    time_us = rng.choice(shape.times_us)
    event_id = rng.choice(shape.ids)
    if shape.distinct:
        time_us += shape.made * 7_001 * rng.choice((1, -1, 1000))
        event_id = f"{event_id}-{shape.made}"
    attempt, sequence = rng.choice(shape.attempts), rng.choice(shape.sequences)
    event: dict[str, Any] = {
        "specversion": "1.0",
        "type": PREFIX + kind,
        "id": event_id,
        "source": rng.choice(shape.sources),
        "subject": task,
        "time": written_time(rng, time_us),
    }
    if attempt != 1 or rng.random() < 0.3:
        event["attempt"] = rng.choice((attempt, str(attempt), f"00{attempt}"))
    if sequence or rng.random() < 0.3:
        event["sequence"] = rng.choice((sequence, str(sequence), f"0{sequence}"))
    if rng.random() < 0.2:
        event["traceparent"] = rng.choice(("00-a-b-01", None))
    if event_data is not None or rng.random() < 0.2:
        event["data"] = event_data
    if form == "file":
        return Record(FILE, 0, shape.made * 300, _json(rng, event))
    timestamp_ms = BASE_MS + rng.choice((0, 1, 1000))
    key: bytes | None = rng.choice((None, task.encode(), b"other"))
    if rng.random() < 0.1 and not shape.distinct:
        del event["time"]
    if rng.random() < 0.2:
        key = task.encode()
        del event["subject"]
    partition = rng.randrange(4)
    if form == "bare":
        return Record(TOPIC, partition, shape.made, _json(rng, event), key, (), timestamp_ms)
    if form == "structured":
        name = rng.choice(("content-type", "Content-Type"))
        headers = [(name, rng.choice((b"application/cloudevents+json", b"Application/CloudEvents+JSON; charset=UTF-8")))]
        return Record(TOPIC, partition, shape.made, _json(rng, event), key, headers, timestamp_ms)
    value = event.pop("data", None)
    names = list(event)
    rng.shuffle(names)
    binary: list[tuple[str, bytes | None]] = [(f"ce_{name}", None if event[name] is None else str(event[name]).encode()) for name in names]
    if rng.random() < 0.1:
        binary = [("content-type", b"application/json"), ("ce_id", b"overridden"), *binary]
    encoded = _json(rng, value) if value is not None else rng.choice((None, b"", b"null"))
    return Record(TOPIC, partition, shape.made, encoded, key, binary, timestamp_ms)


def _json(rng: Random, value: Any) -> bytes:
    if isinstance(value, dict) and rng.random() < 0.5:
        names = list(value)
        rng.shuffle(names)
        value = {name: value[name] for name in names}
    return json.dumps(value, ensure_ascii=rng.random() < 0.5, separators=rng.choice(((",", ":"), None))).encode()
