"""A captured log, folded the hard way: shuffled, with duplicates and delays, by workers that are killed and whose files change hands.

What comes of it must be, byte for byte, what the log gives when it is folded in order. Everything follows from the seed but for how two
workers, each with a share of the files, get in each other's way.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec

from tracker.errors import StoreError, TrackerError
from tracker.model.limits import Limits
from tracker.projector import SEAMS, Options, Projector
from tracker.rebuild.differences import Comparison, Pair, differing
from tracker.replay import replay
from tracker.replay.pool import no_main_module
from tracker.sources.jsonl import JsonlSource
from tracker.stores.base import Counters
from tracker.stores.open import open_contents, open_store

PARTS = 4
"""Files that the log is dealt to: a task's events are in all of them."""
WORKERS = 2
DUPLICATES = 0.05
LATE = 0.1
"""This share of the records comes later than it should,"""
LATE_PLACES = 3_000
"""by up to so many places; in every other rehearsal all are shuffled."""
BATCHES = 60
"""The log is about so many commits long, so that kills fall between and inside them."""
SHOWN = 20


class Rehearsal(msgspec.Struct, kw_only=True):
    """What came of one."""

    seed: int
    records: int
    """Of the log; the rehearsal's copy has duplicates beside."""
    dealt: int
    shuffled: bool
    kills: int
    tasks: int
    different: int
    pairs: list[Pair]
    limits: Limits


async def _lines(files: Sequence[str]) -> list[bytes]:
    lines: list[bytes] = []
    async with JsonlSource(files) as source:
        await source.seek((await source.assigned()).values())
        ended = False
        while not ended:
            batch = await source.read(50_000, 1.0)
            lines += [record.value for records in batch.records.values() for record in records if record.value is not None]
            ended = batch.ended
    return lines


def disturbed(lines: Sequence[bytes], random: Random, *, shuffled: bool) -> list[bytes]:
    """The lines in another order, some of them twice."""
    places: list[tuple[float, bytes]] = []
    for place, line in enumerate(lines):
        for _ in range(1 + (random.random() < DUPLICATES)):
            late = random.random() < LATE
            places.append((place + random.uniform(0, LATE_PLACES) * late, line))
    if shuffled:
        random.shuffle(places)
    else:
        places.sort(key=lambda each: each[0])
    return [line for _, line in places]


def rehearse(
    files: Sequence[str],
    folder: Path,
    seed: int,
    *,
    kills: int = 8,
    limits: Limits | None = None,
    on_round: Callable[[int, int], None] = lambda *_: None,
) -> Rehearsal:
    """Fold these files in order and the hard way, in ``folder``, and compare. ``on_round`` is told the kills so far and all that are meant.

    Raises `StoreError` where a worker ends by itself with a fault, or records are lost or counted twice.
    """
    random = Random(seed)  # noqa: S311 - a rehearsal, to be repeated
    lines = asyncio.run(_lines(files))
    shuffled = random.random() < 0.5
    dealt = disturbed(lines, random, shuffled=shuffled)
    parts = [folder / f"part-{number}.jsonl" for number in range(PARTS)]
    handles = [part.open("wb") for part in parts]
    for line in dealt:
        random.choice(handles).write(line + b"\n")
    for handle in handles:
        handle.close()
    in_order, hard = f"sqlite:///{folder}/in-order.db", f"sqlite:///{folder}/hard.db"
    replay([*files], in_order, limits=limits, jobs=1, max_parked_ratio=0.0)
    with open_store(hard, limits=limits):
        pass
    batch_records = max(1, len(dealt) // BATCHES)
    done = rounds = 0
    while done < kills and rounds < 3 * kills:
        on_round(done, kills)
        done += _round(hard, parts, random, batch_records, seam=True)
        rounds += 1
    _round(hard, parts, random, batch_records, seam=False)
    with open_contents(in_order) as expected, open_contents(hard) as found:
        counters = Counters()
        for each in found.partitions():
            counters.add(each.counters)
        if not counters.balanced or counters.read != len(dealt):
            raise StoreError(f"of {len(dealt)} records the workers have counted {counters} (seed {seed})")
        comparison = Comparison()
        pairs = [pair for pair in differing(expected, found, comparison) if comparison.different <= SHOWN]
        return Rehearsal(
            seed=seed,
            records=len(lines),
            dealt=len(dealt),
            shuffled=shuffled,
            kills=done,
            tasks=comparison.tasks,
            different=comparison.different,
            pairs=pairs,
            limits=expected.about().limits,
        )


def _round(store: str, parts: Sequence[Path], random: Random, batch_records: int, *, seam: bool) -> int:
    """Workers side by side; how many were killed. Each has some of the files, and now and then one that another has too, as in a rebalance
    that it has not noticed. Without a seam they run to the end, and one of them has all.
    """
    context = multiprocessing.get_context("spawn")
    workers = []
    for number in range(WORKERS):
        share = [str(part) for part in parts if (not seam and number == 0) or random.random() < 0.6] or [str(parts[number])]
        at, passing = (random.choice(SEAMS), random.randint(1, 4)) if seam else (None, 0)
        workers.append(context.Process(target=_work, args=(store, share, batch_records, at, passing)))
    with no_main_module():
        for worker in workers:
            worker.start()
    killed = 0
    for worker in workers:
        worker.join()
        if worker.exitcode not in (0, -signal.SIGKILL):
            raise StoreError(f"a worker of the rehearsal has ended with exit code {worker.exitcode}")
        killed += worker.exitcode == -signal.SIGKILL
    return killed


def _work(store: str, files: list[str], batch_records: int, seam: str | None, passing: int) -> None:
    """One worker's process: it kills itself when it passes the seam for the n-th time."""
    passed = 0

    def pass_by(at: str) -> None:
        nonlocal passed
        passed += at == seam
        if at == seam and passed == passing:
            signal.pthread_kill(threading.get_ident(), signal.SIGKILL)

    logging.disable(logging.WARNING)  # of batches that are dropped, as they are meant to be
    try:
        with open_store(store, create=False) as opened:
            options = Options(max_batch_records=batch_records, max_parked_ratio=0.0)
            asyncio.run(Projector(lambda _: JsonlSource(files), opened, options=options, seam=pass_by).run())
    except TrackerError as error:
        os.write(2, f"tracker: {error}\n".encode())
        os._exit(error.exit_code)
