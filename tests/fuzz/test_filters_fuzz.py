"""Mutated filters: each is refused with a place in the text, or answered alike by a file and in memory. Run with ``-s`` for the figures.

``FILTERS`` and ``SEED`` in the environment choose how many in the long run, and which.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from tests.unit.query_store import commit, event
from tracker.errors import FilterError
from tracker.query.base import Snapshot
from tracker.query.fields import COMPATIBLE_TYPE, KNOWN
from tracker.query.filters import parse
from tracker.query.memory import MemoryReader
from tracker.query.pages import BY_ID
from tracker.query.sqlite import SqliteReader
from tracker.stores.memory import MemoryStore
from tracker.stores.sql import SqlStore

FILTERS = int(os.environ.get("FILTERS", "100000"))
SEED = int(os.environ.get("SEED", "0"))
CHUNK = 1_000
NOW = datetime(2026, 1, 2, tzinfo=UTC)

VALID = [
    'state eq "RUNNING" and (launcher sw "agg" or not completed lt 2026-01-31T09:30:00Z)',
    'completionStatus eq"Success"',
    "completionStatus isnull and pr launched",
    'id in ("a", "b","c")',
    'launcher co "a\\"b\\\\c" or uniqueName ne Refresh',
    "created gt 2018 and modified le 2026-01-01 and launched ge 2026-01-01T00:00:00.5+01:00",
    "percentComplete ge 49.5 and attempt lt 3 and revision ne 0",
    "modified lt now-10m or completed gt now+1.5h or created le now",
    "silence gt 90s and duration le 500ms or duration in (2h, 7d) or not silence eq 0s",
    'attributes.count eq 1 or attributes."a.b".c ne true or attributes.name co "x" or attributes.none eq null',
    "attributes.list ca (1, two, null) and not attributes.k in (1.5, false, null)",
    'messages co "timed out" or messages.type ca (ERROR, WARN) or messages.key sw k',
    "truncated ca (messages) or returns eq Accounts or returns.attributeName isnull",
    "attempts.completionStatus eq ERROR and attempts.launched lt 2026-01-01 and attempts.attempt in (1,2)",
    "taskDefinitionSummary.uniqueName eq x or taskDefinitionSummary.arguments.mode.full eq true or pr taskDefinitionSummary.executor",
    "target.type eq APPLICATION and target.name co h and sourceId ne s and parentName isnull and description gt a",
    'type eq "CLOUD_ACCOUNT_AGGREGATION" or type in (ACCOUNT_DELETION)',
    "type in (QUARTZ, QPOC) and state ne PENDING and progress sw Half and parentId isnull",
]
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[\w.:+-]+|\s+|.', re.DOTALL)
TOKENS = [
    *KNOWN,
    *COMPATIBLE_TYPE.words[:2],
    "attributes.k",
    'attributes."k"',
    "attributes.list",
    "attributes",
    "(",
    ")",
    ",",
    '"',
    '"x"',
    '""',
    "\\",
]
TOKENS += [
    "eq",
    "ne",
    "gt",
    "ge",
    "lt",
    "le",
    "co",
    "sw",
    "in",
    "ca",
    "isnull",
    "pr",
    "and",
    "or",
    "not",
    "EQ",
    "And",
    "null",
    "true",
    "false",
]
TOKENS += ["now", "now-1d", "now-999999999d", "0s", "90s", "1.5h", "999999999999d", "2018", "0000", "9999-12-31", "0001-01-01T00:00:00Z"]
TOKENS += [
    "2026-13-01",
    "0",
    "-0",
    "1e9",
    "1e999",
    "9" * 30,
    "9" * 400,
    "1.0",
    "QUARTZ",
    "running",
    "ſuccess",
    "Success",
    "a",
    "b",
    "é",
    "日",
]
CHARACTERS = "\"\"\\\\(())..,,''  \t\n\r\0\x1f%_#&;=<>!~*?[]{}azAZ09+-:éİſß😀\ud800\udfff\ufeff\u200b\u2028\U0010ffff"
LOG = [
    event("a", "created", launcher="Agg", uniqueName="Cloud Account Aggregation", target={"id": "s", "type": "APPLICATION", "name": "hr"}),
    event("a", "launched", attributes={"count": 1, "list": [1, "two"], "k": 1.5, "a.b": {"c": True}, "none": None}),
    event("a", "progressed", progress="Half way", percentComplete=50),
    event(
        "b",
        "created",
        "2026-01-01T12:00:00.123456Z",
        type="QUARTZ",
        parentId="a",
        description="Bß",
        attributes={"name": "Xx", "count": "1"},
    ),
    event("b", "messaged", type="ERROR", key="k", localizedText={"locale": "en", "message": "It timed out"}),
    event("b", "returned", name="Accounts", attributeName="n"),
    event("b", "launched", "2026-01-01T13:00:00Z"),
    event("b", "completed", "2026-01-01T13:01:30.000001Z", completionStatus="SUCCESS"),
    event("é", "completed", "2026-01-02T00:00:00Z", completionStatus="ERROR", attempt=2),
    event("z", "deleted"),
]


def mutated(rng: Random) -> str:
    """A filter near a valid one: up to four changes of its tokens and characters, sometimes said many times over."""
    text = rng.choice(VALID)
    if rng.random() < 0.3:
        text = rng.choice(["{} and {}", "({}) or not ({})", "not {} or {}", "{}{}"]).format(text, rng.choice(VALID))
    for _ in range(rng.randint(0, 4)):
        text = _of_tokens(rng, text) if rng.random() < 0.6 else _of_characters(rng, text)
    if rng.random() < 0.02:
        text = rng.choice(["(" * 300 + text + ")" * 300, "not " * rng.randint(20, 900) + text, " or ".join([text] * rng.randint(2, 60))])
    return text


def _of_tokens(rng: Random, text: str) -> str:
    tokens = _TOKEN.findall(text) or [""]
    at, other = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    match rng.randrange(5):
        case 0:
            tokens[at] = rng.choice(TOKENS)
        case 1:
            tokens.insert(at, rng.choice(["", " "]) + rng.choice(TOKENS) + rng.choice(["", " "]))
        case 2:
            del tokens[at]
        case 3:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case _:
            tokens[at:at] = tokens[min(at, other) : max(at, other)]
    return "".join(tokens)


def _of_characters(rng: Random, text: str) -> str:
    at = rng.randint(0, len(text))
    match rng.randrange(4):
        case 0:
            return text[:at] + rng.choice(CHARACTERS) + text[at:]
        case 1:
            return text[:at] + rng.choice(CHARACTERS) + text[at + 1 :]
        case 2:
            return text[:at] + text[at + rng.randint(1, 3) :]
        case _:
            return text[:at] if rng.random() < 0.5 else text[at:]


@contextmanager
def snapshots() -> Iterator[tuple[Snapshot, Snapshot]]:
    """The same few tasks in a file and in memory."""
    memory = MemoryStore()
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "status.db")
        with SqlStore(path) as store:
            for each in (store, memory):
                commit(each, LOG)
        reader = SqliteReader(path)
        with reader.snapshot() as sql, MemoryReader(memory).snapshot() as in_memory:
            yield sql, in_memory
        reader.close()


def judged(text: str, sql: Snapshot, memory: Snapshot, *, compatible: bool) -> str:
    """``refused`` or ``answered``; anything else is what is wrong."""
    try:
        node = parse(text, now=NOW, compatible=compatible)
    except FilterError as error:
        return "refused" if 1 <= error.position <= len(text) + 1 else f"position {error.position} of {len(text)}"
    found, expected = ([row.id for row in snapshot.rows(node, BY_ID)] for snapshot in (sql, memory))
    return "answered" if found == expected else f"{found} in the file, {expected} in memory"


def chunk(seed: int, number: int = CHUNK) -> tuple[Counter[str], list[str]]:
    """Counts, and what was found wrong, of the filters of one seed."""
    rng, counts, wrong = Random(seed), Counter[str](), []
    with snapshots() as (sql, memory):
        for _ in range(number):
            text, compatible = mutated(rng), rng.random() < 0.3
            try:
                outcome = judged(text, sql, memory, compatible=compatible)
            except Exception as error:  # noqa: BLE001 - that nothing else is raised is what is tested
                outcome = f"raised {error!r}"
            if outcome in ("refused", "answered"):
                counts[outcome] += 1
            else:
                wrong.append(f"{outcome[:1000]}: {text[:2000]!r} (compatible: {compatible})")
    return counts, wrong


def test_mutated_filters_are_refused_or_answered_alike() -> None:
    """Whatever a filter says, it is refused with its place, or a file and memory answer the same; enough of both is tried."""
    counts, wrong = chunk(SEED, 2_000)

    assert wrong[:3] == []
    assert counts["refused"] > 600
    assert counts["answered"] > 300


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_mutated_filters() -> None:
    """The same at length."""
    began = time.perf_counter()
    counts, wrong = Counter[str](), []
    with ProcessPoolExecutor(2) as workers:
        for of_chunk, wrong_of_chunk in workers.map(chunk, range(SEED + 1, SEED + 1 + (FILTERS + CHUNK - 1) // CHUNK)):
            counts += of_chunk
            wrong += wrong_of_chunk
    print(f"\n{time.perf_counter() - began:.1f} s, 2 processes; {dict(counts)}")

    assert wrong[:3] == []
    assert sum(counts.values()) >= FILTERS
