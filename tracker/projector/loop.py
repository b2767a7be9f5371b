"""The projector: the one loop that knows the whole road, from a source's records to a store's commits.

Two things run side by side: the event loop reads the next batch (and keeps a broker's heartbeats going) while a worker thread
folds and commits the last one. Batches are committed in the order in which they were read, and a batch is only begun when the one
before it is in the store; whatever goes wrong, the batches in hand are dropped and reading goes on from the stored position.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any, Literal, TypeVar

import msgspec

from tracker import telemetry
from tracker.errors import (
    LostOffset,
    PositionConflict,
    SourceChanged,
    SourceUnavailable,
    StoreUnavailable,
    Stuck,
    TrackerError,
)
from tracker.model.records import Batch, Position, TopicPartition
from tracker.projector.judging import ParkedRatio, chosen
from tracker.projector.options import BatchTimes, Options, Progress, Totals
from tracker.projector.projection import Abandoned, Projection, no_seam
from tracker.projector.watch import Sight, Watch
from tracker.sources.base import OnRevoked, Source
from tracker.stores.base import StatusStore

log = logging.getLogger("tracker.projector")
T = TypeVar("T")

ENDS_EVERY_S = 2.0
"""How often the store is told where the logs end."""
MAX_BATCH_BYTES = 32_000_000
"""A batch ends early beyond this, so that large records can't fill the memory: two batches are in hand, one read and one at work."""
IDLE_WAIT_S = 0.25
"""How long one read waits for a first record: after that, other things get a look."""
FIRST_BATCH_RECORDS = 2_000
"""The first commit of an assignment should come soon, and every task of it is to be loaded: of 1,000,000, 10,000 may take 2 s."""
CLAIMING, SEEKING = "claiming partitions", "seeking"
DROPPED = "batch dropped, reading goes on from the stored position: %s"
STOP_BUDGET_S = 3.0
"""A stop or a revocation waits so long for the running batch. Then a stop gives it up, which may take a second more, of the 5 that it has."""
GIVE_UP_WAIT_S = 0.8
"""A batch that is given up gets so long to notice: a chunk of 1,000 records and a step of waiting for another writer are shorter."""


class Projector:
    """Reads a source, folds it into a store, until the source ends, the ends are reached, `stop` is called, or something is wrong.

    ``make_source`` gets the callback that a source awaits before it gives up partitions.
    """

    def __init__(
        self,
        make_source: Callable[[OnRevoked], Source],
        store: StatusStore,
        *,
        options: Options | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_stuck: Callable[[str], None] = lambda _: None,
        worker: str = "",
        seam: Callable[[str], None] = no_seam,
    ) -> None:
        self._options = options or Options()
        self._source = make_source(self._revoked)
        self.projection = Projection(store, worker=worker, seam=seam)
        self._store = store
        self._on_progress = on_progress
        self._on_stuck = on_stuck
        self._seam = seam
        self._threads: dict[str, int] = {}
        """The ids of our two threads."""
        self._worker = ThreadPoolExecutor(1, "tracker-fold", self._note_thread, ("worker thread",))
        self._stage = "starting"
        """What the loop is at, for the watch."""
        self._known_ends: Mapping[TopicPartition, Position] = {}
        self._others: dict[TopicPartition, Position] = {}
        """All stored positions, while this worker waits for partitions of its own."""
        self._watch: Watch | None = None
        self._failure: TrackerError | None = None
        """What the watch ends the run with."""
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._stop_wait: asyncio.Task[Literal[True]] | None = None
        """Done when `stop` was called; one for the whole run, as every read is raced with it."""
        self._targets: Mapping[TopicPartition, Position] | None = None
        self._started = perf_counter()
        self._parked_ratio = ParkedRatio(self._options.max_parked_ratio)
        self._ends_due = 0.0

    def stop(self) -> None:
        """Ask the run to end within 5 seconds, with the running batch committed or dropped whole. From any thread or signal handler."""
        if self._loop is None:
            self._stopping.set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    @property
    def trouble(self) -> str | None:
        """A sentence while this worker has records to read and does not get on; of any thread."""
        return None if self._watch is None else self._watch.trouble

    def _note_thread(self, name: str) -> None:
        self._threads[name] = threading.get_ident()

    def _sight(self) -> Sight:
        """What the watch sees, from its own thread."""
        ends, positions = self._known_ends, dict(self._others or self.projection.positions)
        begins = self._stage in (CLAIMING, SEEKING)
        lag = None if begins else sum(max(0, end.next_offset - positions[at].next_offset) for at, end in ends.items() if at in positions)
        return Sight(self.projection.advanced, lag, f"the loop is {self._stage}, the worker thread {self.projection.stage}")

    def _is_stuck(self, trouble: str) -> None:
        """The watch's last word, in its thread. The run ends in order if it still can; ``on_stuck`` sees to it if not."""
        self._failure = Stuck(f"{trouble}; it was told to exit then (--exit-when-stuck)")
        self.stop()
        self._on_stuck(trouble)

    async def run(self) -> Totals:
        """Go; raises the `TrackerError` that ended it, if one did."""
        self._loop = asyncio.get_running_loop()
        self._note_thread("event loop")
        options = self._options
        with Watch(
            self._sight,
            lambda: self._threads,
            asyncio.current_task(),
            stuck_after_s=options.stuck_after_s,
            exit_after_s=options.exit_when_stuck_s,
            on_exit=self._is_stuck,
        ) as self._watch:
            totals = await self._run()
        if self._failure is not None:
            raise self._failure
        return totals

    async def _run(self) -> Totals:
        self._started = perf_counter()
        self._stop_wait = asyncio.create_task(self._stopping.wait())
        try:
            async with self._source:
                while await self._follow_assignment():
                    pass
        finally:
            # Nobody is in the store when this returns: whoever opened it may close it.
            self._hurry()
            self._stop_wait.cancel()
            await asyncio.to_thread(self._worker.shutdown)
            self.projection.abandon.clear()
            self._store.hurry.clear()
        return Totals(self.projection.counted, perf_counter() - self._started)

    async def _follow_assignment(self) -> bool:
        """From an assignment to its end; True if there may be another."""
        beginnings = await self._assigned()
        while beginnings is not None:
            self._stage = CLAIMING
            positions = await self._unless_stopping(self._in_worker(partial(self.projection.claim, beginnings.values())))
            if positions is None:
                break
            try:
                self._stage = SEEKING
                await self._seek(beginnings)
                return await self._read_on()
            except PositionConflict as conflict:
                log.warning(DROPPED, conflict)
            except LostOffset:  # the log was cut before the reader: the next seek says so again, and the policy is asked
                if self._options.on_lost_offset == "stop":
                    raise
        return False

    async def _assigned(self) -> Mapping[TopicPartition, Position] | None:
        """The next assignment. While it does not come, the logs' ends are looked at: a worker that never gets one should be told of."""
        self._stage = "waiting for partitions"
        waiting = asyncio.ensure_future(self._unless_stopping(self._source.assigned()))
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=ENDS_EVERY_S)
                if done:
                    return waiting.result()
                looking = asyncio.ensure_future(self._look_on())
                await asyncio.wait({waiting, looking}, return_when=asyncio.FIRST_COMPLETED)
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
        finally:
            self._others = {}
            if not waiting.done():
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    async def _look_on(self) -> None:
        """How far the store is behind the logs while this worker holds nothing: what others commit is progress too."""
        try:
            ends = await self._ends()
            stored = {each.position.at: each.position for each in await self._in_worker(self._store.partitions)}
        except StoreUnavailable:
            return
        if stored != self._others:
            self.projection.advanced += 1
        self._others, self._known_ends = stored, ends or self._known_ends

    async def _seek(self, beginnings: Mapping[TopicPartition, Position]) -> None:
        """Go on at the stored positions; where the log has them no more, at those that the operator's policy chooses."""
        policy, jumped = self._options.on_lost_offset, set[TopicPartition]()
        while not self._stopping.is_set():
            try:
                await self._source.seek([*self.projection.positions.values(), *self.projection.beside.values()])
                return
            except (LostOffset, SourceChanged) as error:
                if policy == "stop":
                    raise
                stored = self.projection.positions | self.projection.beside
                to = await chosen(error, beginnings, stored, self._ends, earliest=policy == "earliest")
                if not to or to.keys() <= jumped:
                    raise
                jumped |= to.keys()
                await self._jump(to, error)

    async def _jump(self, to: Mapping[TopicPartition, Position], error: LostOffset | SourceChanged) -> None:
        policy = self._options.on_lost_offset
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        await self._unless_stopping(self._in_worker(lambda: self.projection.jump(to, policy, now)))
        if self._stopping.is_set():
            return
        sentences = {(lost.topic, lost.partition): str(LostOffset([lost])) for lost in error.lost} if isinstance(error, LostOffset) else {}
        for at, position in to.items():
            why = sentences.get(at, str(error))
            log.warning("%s, partition %d: going on at offset %d (--on-lost-offset=%s): %s", *at, position.next_offset, policy, why)

    async def _read_on(self) -> bool:
        """Read and commit until the assignment changes (True), or the run is over (False)."""
        most = FIRST_BATCH_RECORDS
        try:
            while not self._stopping.is_set():
                if self._options.until_end and self._targets is None:
                    self._targets = await self._unless_stopping(self._ends())
                if perf_counter() >= self._ends_due:  # first: a read that hangs must not hide that there is something to read
                    self._stage = "looking for the ends"
                    await self._unless_stopping(self._report_ends())
                batch = await self._gather(min(most, self._options.max_batch_records))
                if batch.positions:
                    await self._start(batch)
                    most = self._options.max_batch_records
                if batch.reassigned:
                    try:
                        await self._finish()
                    except PositionConflict as conflict:  # it was later than the rebalance; the next assignment is claimed anyway
                        log.warning(DROPPED, conflict)
                    return not self._stopping.is_set()
                if batch.ended:
                    await self._finish()
                    return False
                if self._targets is not None and await self._has_reached(self._targets):
                    break
            return False
        finally:
            await self._give_up()

    async def _gather(self, most: int) -> Batch:
        """The next batch: ``most`` records at most, waiting no longer than a batch may age, but for as long as the last one is at work."""
        options = self._options
        gathered, gathered_bytes = Batch({}, {}), 0
        deadline: float | None = None
        while True:
            wait_s = IDLE_WAIT_S if deadline is None else max(0.0, min(IDLE_WAIT_S, deadline - perf_counter()))
            busy = self._running is not None and not self._running.done()
            if busy and deadline is not None:
                wait_s = max(wait_s, 0.01)
            self._stage = "reading"
            batch = await self._unless_stopping(self._source.read(most - gathered.record_count, wait_s))
            if batch is None or batch.reassigned:
                return Batch({}, {}, reassigned=batch is not None)
            if _is_other_log(gathered, batch):
                await self._start(gathered)
                gathered, gathered_bytes = Batch({}, {}), 0
            for at, records in batch.records.items():
                gathered.records.setdefault(at, []).extend(records)
                gathered_bytes += sum([len(record.value) for record in records if record.value])
            gathered.positions.update(batch.positions)
            gathered.ended = batch.ended
            if batch.positions and deadline is None:
                deadline = perf_counter() + options.max_batch_age_s
            if self._running is not None and self._running.done():
                await self._finish()  # its error ends this batch too
            full = gathered.record_count >= most or gathered_bytes >= MAX_BATCH_BYTES
            if batch.ended or full or deadline is None or (perf_counter() >= deadline and self._running is None):
                return gathered

    async def _start(self, batch: Batch) -> None:
        """Let the batch be processed once the one before it is in the store."""
        await self._finish()
        if not self._stopping.is_set():
            self._running = asyncio.create_task(self._process(batch))

    async def _process(self, batch: Batch) -> None:
        started, before = perf_counter(), msgspec.structs.replace(self.projection.seconds)
        counted = await self._in_worker(lambda: self.projection.process(batch))
        self._seam("before the log is told")
        await self._source.committed(batch.positions.values())
        times = BatchTimes(counted.read, perf_counter() - started, self.projection.seconds.since(before))
        telemetry.trace_batch(times.records, times.seconds, msgspec.structs.asdict(times.stations))
        if self._on_progress is not None:
            counters = msgspec.structs.replace(self.projection.counted)
            self._on_progress(Progress(counters, perf_counter() - self._started, self.projection.positions, times))
        log.debug(
            "committed %d records: %s",
            counted.read,
            ", ".join(f"{p.topic}/{p.partition} at {p.next_offset}" for p in batch.positions.values()),
        )
        self._parked_ratio.judge(counted)

    async def _finish(self) -> None:
        """Wait for the running batch, or for a stop; raises what the batch raised."""
        if self._running is None:
            return
        self._stage = "waiting for the running batch"
        await self._race(self._running)
        if self._running.done():
            running, self._running = self._running, None
            running.result()

    async def _give_up(self) -> None:
        """Leave no batch behind: the running one gets a moment to be committed, or is dropped whole."""
        if self._running is None:
            return
        done, _ = await asyncio.wait({self._running}, timeout=STOP_BUDGET_S)
        if not done:
            self._hurry()
            await asyncio.wait({self._running}, timeout=GIVE_UP_WAIT_S)
            self._running.cancel()  # it may wait for the log to be told; what is in the worker thread comes to its own end
            await asyncio.wait({self._running})
        running, self._running = self._running, None
        error = None if running.cancelled() else running.exception()
        if error is not None and not isinstance(error, Abandoned | PositionConflict):
            raise error

    def _hurry(self) -> None:
        self.projection.abandon.set()
        self._store.hurry.set()

    async def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Partitions are about to go: what runs is finished within the budget; afterwards the position fence would refuse it."""
        running = self._running
        if running is not None:
            log.info("%d partitions are given up; finishing the running batch", len(partitions))
            await asyncio.wait({running}, timeout=STOP_BUDGET_S)

    async def _report_ends(self) -> None:
        self._ends_due = perf_counter() + ENDS_EVERY_S
        ends = await self._ends()
        if ends is None:
            return
        self._known_ends = ends
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        try:
            await self._in_worker(lambda: self._store.report_ends(ends.values(), now))
        except StoreUnavailable as away:
            log.debug("the ends of the logs are not told this time: %s", away)

    async def _ends(self) -> Mapping[TopicPartition, Position] | None:
        """Where the logs end; None while the source is away, which it tells itself and waits for in its reads."""
        try:
            return await self._source.ends()
        except SourceUnavailable as away:
            log.debug("the ends of the logs are not known this time: %s", away)
            return None

    async def _has_reached(self, targets: Mapping[TopicPartition, Position]) -> bool:
        """Whether the store is at the ends of all partitions, whoever holds them."""
        if self._running is not None and not self._running.done():
            return False
        stored = await self._unless_stopping(self._in_worker(lambda: self.projection.patiently(self._store.partitions)))
        reached = {each.position.at: each.position.next_offset for each in stored or ()}
        # A log whose end is not known (compressed, a pipe) tells itself when it has ended.
        return self.projection.positions.keys() <= targets.keys() and all(
            reached.get(at, -1) >= end.next_offset for at, end in targets.items()
        )

    async def _unless_stopping(self, work: Awaitable[T]) -> T | None:
        """The result of ``work``; None if the run was asked to stop before, and the work is cancelled."""
        task = asyncio.ensure_future(work)
        try:
            await self._race(task)
            return task.result() if task.done() else None
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _race(self, work: asyncio.Future[T]) -> None:
        """Wait for the work or for a stop."""
        assert self._stop_wait is not None
        if not work.done():
            both: list[asyncio.Future[Any]] = [work, self._stop_wait]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)

    async def _in_worker(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)


def _is_other_log(gathered: Batch, batch: Batch) -> bool:
    """Whether a topic's log was replaced (a rotated file): offsets of two logs never share a commit."""
    return any(at in gathered.positions and gathered.positions[at].identity != new.identity for at, new in batch.positions.items())
