"""What a store holds in the end, for comparing: registers, documents, counters."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.crash.crash_log import Outcome
from tracker.cli import output
from tracker.fold.state import from_bytes
from tracker.fold.view import extension
from tracker.query.api import open_query
from tracker.stores.base import Counters
from tracker.stores.sql import SqlStore


def registers(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every task's registers as the table has them, by id, deleted tasks too."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        yield from connection.execute("SELECT id, registers FROM task ORDER BY id")


def exported(path: Path) -> bytes:
    """What ``tracker export --format jsonl`` writes."""

    async def lines() -> list[str]:
        async with open_query(f"sqlite:///{path}") as query:
            return [output.to_json(document) + "\n" async for document in query.documents(None, extension=False)]

    return "".join(asyncio.run(lines())).encode()


def extensions(path: Path) -> dict[str, dict[str, Any]]:
    """What the tracker knows beyond the 18 keys, of each task that is not deleted."""
    states = ((task_id, from_bytes(data)) for task_id, data in registers(path))
    return {task_id: extension(state) for task_id, state in states if not state.deleted}


def deleted(path: Path) -> set[str]:
    """The tombstones."""
    return {task_id for task_id, data in registers(path) if from_bytes(data).deleted}


def counters(path: Path) -> dict[int, Counters]:
    """The store's counters by partition."""
    with SqlStore(str(path)) as store:
        return {each.position.partition: each.counters for each in store.partitions()}


def records_read(path: Path) -> int:
    """How many records the store has counted; 0 where there is no store yet."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return int(connection.execute("SELECT coalesce(sum(read), 0) FROM position").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def offsets(path: Path) -> dict[int, int]:
    """The stored positions by partition; none where there is no store yet."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return dict(connection.execute("SELECT partition, next_offset FROM position"))
    except sqlite3.OperationalError:
        return {}


def differences(path: Path, expected: Outcome, documents: Mapping[str, dict[str, Any] | None]) -> list[str]:
    """Every way in which the store is not what the naive fold and the naive decoder say; empty: exact."""
    found = _wrong_counts(counters(path), expected)
    alive = {task_id: document for task_id, document in documents.items() if document is not None}
    lines = exported(path).splitlines()
    wanted = [
        json.dumps({k: v for k, v in alive[task_id].items() if k != "tracker"}, ensure_ascii=False, separators=(",", ":")).encode()
        for task_id in sorted(alive)
    ]
    if lines != wanted:
        differing = [(a, b) for a, b in zip(lines, wanted, strict=False) if a != b][:3]
        found.append(f"the export has {len(lines)} lines, expected {len(wanted)}; the first that differ: {differing}")
    if extensions(path) != {task_id: document["tracker"] for task_id, document in alive.items()}:
        found.append("the extension differs")
    if deleted(path) != documents.keys() - alive.keys():
        found.append("the tombstones differ")
    return found


def _wrong_counts(stored: Mapping[int, Counters], expected: Outcome) -> list[str]:
    """Conservation, per partition and in all, and the fates that do not depend on order."""
    found = [f"partition {number} does not balance: {counted}" for number, counted in stored.items() if not counted.balanced]
    read = {number: counted.read for number, counted in stored.items() if counted.read}
    if read != expected.by_partition:
        found.append(f"read {read}, expected {dict(expected.by_partition)}")
    total = Counters()
    for counted in stored.values():
        total.add(counted)
    got = {"event": total.applied + total.unchanged, "ignored": total.ignored, "parked": total.parked}
    wanted = {"event": expected.by_fate["event"], "ignored": expected.by_fate["ignored"], "parked": expected.parked}
    if got != wanted:
        found.append(f"fates {got}, expected {wanted}")
    return found
