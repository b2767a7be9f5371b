"""What the tests of the projector and of replay share: logs, runs over them, and what came of it beside the oracle."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

import msgspec

from tests.laws.agreement import document, naive_documents
from tests.naive.logs import random_log
from tracker.fold.state import from_bytes
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record, TopicPartition
from tracker.projector import Options, Projector, Totals
from tracker.projector.projection import no_seam
from tracker.sources.base import OnRevoked
from tracker.sources.memory import Aborted, Item, MemorySource, Script
from tracker.stores.base import Commit, Counters, StatusStore
from tracker.stores.memory import MemoryStore

NOT_WAITING = Options(max_batch_age_s=0.0)


def log(seed: int, *, logs: int = 6, partitions: int = 3) -> list[Record]:
    """A log of a few tasks, each spread over all partitions of one topic; about 12 records for each of ``logs``."""
    rng = Random(seed)
    offsets = Counter[int]()
    records = []
    for record in (record for _ in range(logs) for record in random_log(rng)):
        partition = rng.randrange(partitions)
        records.append(msgspec.structs.replace(record, topic="events", partition=partition, offset=offsets[partition]))
        offsets[partition] += 1
    return records


async def run(script: Script | Iterable[Item], store: StatusStore, **how: Any) -> Totals:
    """One run of a projector over a script."""
    return await projector(script, store, **how).run()


def projector(
    script: Script | Iterable[Item],
    store: StatusStore,
    *,
    options: Options = NOT_WAITING,
    seam: Callable[[str], None] = no_seam,
    identity: str = "memory",
    partitions: Iterable[TopicPartition] | None = None,
) -> Projector:
    """A projector that has not begun."""

    def make_source(on_revoked: OnRevoked) -> MemorySource:
        return MemorySource(script, on_revoked=on_revoked, identity=identity, partitions=partitions)

    return Projector(make_source, store, options=options, seam=seam)


async def run_through(script: Script, store: StatusStore, **how: Any) -> int:
    """Runs until one comes to its end; how many were aborted before."""
    aborted = 0
    while True:
        try:
            await run(script, store, **how)
        except Aborted:
            aborted += 1
        else:
            return aborted


def documents(store: StatusStore, records: Sequence[Record], limits: Limits = DEFAULT_LIMITS) -> dict[str, str]:
    """The document of each task as JSON text, by id (``null``: deleted)."""
    loaded = store.load(list(naive_documents(records, limits)))
    return {id: _text(document(id, from_bytes(held.registers), limits)) for id, held in sorted(loaded.items())}


def expected(records: Sequence[Record], limits: Limits = DEFAULT_LIMITS) -> dict[str, str]:
    """The same by the oracle."""
    return {id: _text(found) for id, found in naive_documents(records, limits).items()}


def _text(found: dict[str, Any] | None) -> str:
    return json.dumps(found, ensure_ascii=False)


def registers(store: StatusStore, records: Sequence[Record]) -> dict[str, bytes]:
    """The stored bytes of each task, by id."""
    return {id: held.registers for id, held in store.load(list(naive_documents(records))).items()}


def counters(store: StatusStore) -> dict[TopicPartition, Counters]:
    """Of each partition."""
    return {each.position.at: each.counters for each in store.partitions()}


def assert_exact(store: StatusStore, records: Sequence[Record]) -> None:
    """The store has what the oracle makes of the records, no other tasks, and each record is counted once where it stood."""
    wanted = expected(records)
    assert documents(store, records) == wanted
    assert store.task_count() == sum(text != "null" for text in wanted.values())
    found = counters(store)
    read = Counter(TopicPartition(record.topic, record.partition) for record in records)
    assert {at: each.read for at, each in found.items() if each.read} == dict(read)
    assert all(each.balanced for each in found.values())
    assert len(store.parked(limit=100_000)) == sum(each.parked for each in found.values())


class Watched(MemoryStore):
    """A memory store that counts commits, and calls ``before`` and ``after`` with each one's number (from 1)."""

    def __init__(self, before: Callable[[int], None] = lambda _: None, after: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        self.before, self.after = before, after
        self.tries = 0
        self.commits: list[Commit] = []

    def commit(self, commit: Commit) -> int:
        self.tries += 1
        self.before(self.tries)
        revision = super().commit(commit)
        self.commits.append(commit)
        self.after(self.tries)
        return revision


class Crash(Exception):
    """Raised in a seam: the process ends there."""


def crash_at(seam: str, nth: int) -> Callable[[str], None]:
    """Raises `Crash` when ``seam`` is passed for the nth time."""
    passed = Counter[str]()

    def passing(name: str) -> None:
        passed[name] += 1
        if name == seam and passed[name] == nth:
            raise Crash(name)

    return passing
