"""Kafka topics as a source: positions come from the store, never from the group; records of committed transactions only.

One assignment after the other, each an *epoch*::

    assigned() ──► seek() ──► read() … read() ──► the assignment changes ──► read() gives reassigned ──► assigned() …

aiokafka by itself would begin a new assignment at the group's committed offsets, or raise where there are none, as soon as
somebody calls ``getmany``. So nothing is fetched from the moment an epoch ends (revocation) until ``seek`` of the next one is done, and a
``getmany`` that waits while its epoch ends is cancelled and what it brought is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import (
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)

from tracker.errors import Lost, LostOffset, SourceChanged, SourceError, SourceUnavailable, UsageError
from tracker.model.records import Batch, Position, Record, TopicPartition
from tracker.sources.base import OnRevoked
from tracker.sources.kafka_config import KafkaConfig
from tracker.sources.kafka_group import Membership
from tracker.sources.kafka_link import Link, cancelled, refuse
from tracker.sources.kafka_log import listening, reason_of
from tracker.sources.kafka_records import to_records
from tracker.sources.kafka_url import KafkaUrl, parse_kafka_url

log = logging.getLogger("tracker.kafka")

READ_RECORDS = 20_000
"""At most so many records are decoded in one go: at 1.5 µs each the event loop is held for 30 ms, a hundredth of a heartbeat."""
ENDS_TIMEOUT_S = 10.0
"""``ends`` gives up after this, as a lag display must not stop the reading."""


class KafkaSource:
    """One or more Kafka topics, with or without a consumer group.

    ``on_revoked`` is awaited before partitions are given up, for at most ``revoke_budget_s`` seconds. ``start_timeout_s`` limits how
    long the first ``assigned`` waits for a broker that is away (None: for ever) and ends in SourceUnavailable.
    """

    def __init__(
        self,
        url: KafkaUrl | str,
        *,
        on_revoked: OnRevoked | None = None,
        config: KafkaConfig | None = None,
        instance: str | None = None,
        start_timeout_s: float | None = None,
        revoke_budget_s: float = 10.0,
    ) -> None:
        self.url = parse_kafka_url(url) if isinstance(url, str) else url
        if instance is not None and self.url.group is None:
            raise UsageError("--instance names a member of a group: add ?group=NAME to the source's URL")
        self._link = Link(self.url, config or KafkaConfig(), instance)
        self._start_timeout_s = start_timeout_s
        self._member = (
            Membership(self._link, on_revoked, revoke_budget_s, instance, end=self._end_epoch, begin=self._begin_epoch)
            if self.url.group
            else None
        )
        self._epoch = 0
        """Goes up whenever the assignment begins or ends."""
        self._assignment: frozenset[KafkaPartition] | None = None
        """The partitions of this epoch; None between two assignments."""
        self._offered = self._sought = -1
        """The epochs that ``assigned`` has answered for, and that ``seek`` was done for."""
        self._untold = False
        """The assignment ended, and no read has said so yet."""
        self._turn: asyncio.Future[None] | None = None
        """Done when this epoch is over: wakes a read that waits."""
        self._at: dict[KafkaPartition, int] = {}
        """Where the next read begins, of the partitions that are read."""
        self._known: set[TopicPartition] = set()
        """All partitions of the topics, whoever reads them; kept by the watch."""
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._close()

    async def _close(self) -> None:
        self._end_epoch()
        if self._watch is not None:
            await cancelled(self._watch)
            self._watch = None
        if self._member is not None:
            await self._member.close()
        await self._link.close()

    def _end_epoch(self) -> None:
        self._epoch += 1
        self._untold = self._untold or self._assignment is not None
        self._assignment = None
        self._at = {}
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def _begin_epoch(self, assignment: Iterable[KafkaPartition]) -> None:
        self._epoch += 1
        self._assignment = frozenset(assignment)
        self._turn = asyncio.get_running_loop().create_future()

    # -- assigned ------------------------------------------------------------------------------------------------

    async def assigned(self) -> Mapping[TopicPartition, Position]:
        """Wait for an assignment. Connects first, with back-off, if there is no connection. Raises DuplicateInstance and SourceError."""
        while True:
            if not self._link.is_open:
                await self._open()
            try:
                assignment = await (self._assign_all() if self._member is None else self._member.wait(lambda: self._assignment))
            except KafkaError as error:
                await self._give_up_consumer(error)
                continue
            epoch = self._epoch
            begins = await self._link.ask(partial(self._link.consumer.beginning_offsets, assignment)) if assignment else {}
            if epoch == self._epoch:
                self._offered = epoch
                identity = self._link.identity
                return {TopicPartition(*tp): Position(tp.topic, tp.partition, begins[tp], identity) for tp in sorted(assignment)}

    async def _open(self) -> None:
        await self._link.open(self._start_timeout_s)
        self._known = await self._wait_for_topics()
        self._start_timeout_s = None  # a broker that was there once is waited for
        with listening(self._link.ear):
            if self._member is not None:
                self._member.subscribe()
            self._watch = self._watch or asyncio.create_task(self._watch_partitions())

    async def _wait_for_topics(self) -> set[TopicPartition]:
        clock = asyncio.get_running_loop().time
        deadline = None if self._start_timeout_s is None else clock() + self._start_timeout_s
        told = False
        while True:
            known = await self._link.ask(self._link.partitions, self._start_timeout_s)
            missing = set(self.url.topics) - {tp.topic for tp in known}
            if (missing or not known) and not told:
                told = True
                log.warning("no topic %s at %s yet; waiting for it", ", ".join(sorted(missing)) or self.url.what, self._link.where)
            if known:
                return known
            if deadline is not None and clock() > deadline:
                raise SourceUnavailable(f"there is no topic {self.url.what} at {','.join(self.url.bootstrap)}")
            await asyncio.sleep(min(1.0, self._link.metadata_age_s))

    async def _assign_all(self) -> frozenset[KafkaPartition]:
        if self._assignment is None:
            self._known = await self._link.ask(self._link.partitions) or self._known
            assignment = [KafkaPartition(*tp) for tp in self._known]
            with listening(self._link.ear):
                self._link.consumer.assign(assignment)
                self._link.consumer.pause(*assignment)
            self._begin_epoch(assignment)
        assert self._assignment is not None
        return self._assignment

    async def _watch_partitions(self) -> None:
        """Look for new partitions and topics. A topic that is gone is told, not dropped: it may be being made anew."""
        gone: set[str] = set()
        while True:
            await asyncio.sleep(self._link.metadata_age_s)
            if not self._link.is_open:
                continue
            try:
                known = await self._link.partitions()
            except (KafkaError, OSError, TimeoutError):  # the reading notices and tells it
                continue
            topics = {tp.topic for tp in known}
            missing = {tp.topic for tp in self._known} - topics
            for topic in missing - gone:
                log.warning("the topic %s is gone from %s; waiting for it", topic, self._link.where)
            gone = missing
            known |= {tp for tp in self._known if tp.topic in missing}
            if known != self._known:
                added, removed = len(known - self._known), len(self._known - known)
                log.info("the partitions of %s changed: %d new, %d gone", self._link.where, added, removed)
                self._known = known
                if self._member is None:  # with a group, its leader looks too, and makes it rebalance
                    self._end_epoch()
            if self._member is not None:
                await self._member.look_for_unread(known)

    # -- seek ----------------------------------------------------------------------------------------------------

    async def seek(self, positions: Iterable[Position]) -> None:
        """Go on at these positions; a partition of the assignment that is not among them is not read.

        Raises SourceChanged and LostOffset (of partitions the topic does not have too, where there is no group); then nothing has moved.
        If the assignment changed since ``assigned``, nothing happens, and the next ``read`` says so.
        """
        epoch, assignment, wanted = self._epoch, self._assignment, list(positions)
        if assignment is None or self._offered != epoch:
            return
        if others := [p for p in wanted if p.identity and self._link.identity and p.identity != self._link.identity]:
            other = others[0]
            raise SourceChanged(
                f"{other.topic}, partition {other.partition}: the store's position, offset {other.next_offset}, belongs to {other.identity}, "
                f"but {','.join(self.url.bootstrap)} is {self._link.identity}; name the right brokers, use another store, or choose "
                f"--on-lost-offset=earliest or latest to go on in this cluster",
                [p.at for p in others],
            )
        held = {KafkaPartition(p.topic, p.partition): p.next_offset for p in wanted}
        absent = [] if self._member is not None else sorted(held.keys() - assignment)
        targets = {tp: offset for tp, offset in held.items() if tp in assignment}
        lost = [Lost(tp.topic, tp.partition, held[tp], 0, 0) for tp in absent]
        lost += await self._lost(targets)
        if lost:
            raise LostOffset(lost)
        if epoch != self._epoch:
            return
        try:
            for tp, offset in targets.items():
                self._link.consumer.seek(tp, offset)
            self._link.consumer.resume(*targets)
        except IllegalStateError:  # a topic of the pattern came or went: aiokafka has dropped the assignment before it tells
            self._end_epoch()
        else:
            self._at, self._sought, self._untold = targets, epoch, False

    async def _lost(self, targets: Mapping[KafkaPartition, int]) -> list[Lost]:
        if not targets:
            return []
        consumer = self._link.consumer
        begins = await self._link.ask(lambda: consumer.beginning_offsets(list(targets)))
        ends = await self._link.ask(lambda: consumer.end_offsets(list(targets)))
        return [
            Lost(tp.topic, tp.partition, offset, begins[tp], ends[tp])
            for tp, offset in sorted(targets.items())
            if not begins[tp] <= offset <= ends[tp]
        ]

    # -- read ----------------------------------------------------------------------------------------------------

    async def read(self, max_records: int, max_wait_s: float) -> Batch:
        """The next records, or none after ``max_wait_s``; positions move over markers and compacted records too.

        Raises LostOffset if the log was cut behind the reader, DuplicateInstance, and SourceError for what no waiting mends.
        """
        if self._member is not None:
            self._member.check()
        epoch = self._epoch
        if self._sought != epoch:
            if self._untold:
                return self._reassigned()
            raise SourceError("a Kafka source is read before seek was called for its assignment")
        found: dict[KafkaPartition, list[Record]] = {}
        positions: dict[TopicPartition, Position] = {}
        try:
            found = await self._fetch(min(max_records, READ_RECORDS), max_wait_s)
            if found and self._member is not None and not await self._member.confirm() and epoch == self._epoch:
                await self._unsure()
            if epoch == self._epoch:
                positions = await self._moved()
        except OffsetOutOfRangeError:
            if lost := await self._lost(dict(self._at)):
                raise LostOffset(lost) from None
        except IllegalStateError:  # a topic of the pattern came or went: aiokafka has dropped the assignment before it tells
            self._end_epoch()
        except KafkaError as error:
            await self._give_up_consumer(error)
        if epoch != self._epoch:
            return self._reassigned()
        if found:
            self._link.answered()
        else:
            await self._link.look()
        return Batch({TopicPartition(*tp): to_records(tp, records) for tp, records in found.items()}, positions)

    def _reassigned(self) -> Batch:
        self._untold = False
        return Batch({}, {}, reassigned=True)

    async def _unsure(self) -> None:
        """The group did not confirm this worker: drop what was read, and read it again after a claim."""
        assert self._member is not None
        if self._member.is_known:
            await self._give_up_consumer(KafkaError("no answer to a heartbeat"))
        else:  # aiokafka is joining again already
            self._end_epoch()

    async def _fetch(self, max_records: int, max_wait_s: float) -> dict[KafkaPartition, list[Record]]:
        assert self._turn is not None
        consumer = self._link.consumer
        if consumer._fetcher.error_future.done():  # noqa: SLF001 - getmany would wait for ever for a fetcher that has died
            raise KafkaError("the fetching task has ended")
        if not self._at:  # more members than partitions
            await asyncio.wait({self._turn}, timeout=max_wait_s)
            return {}
        fetch = asyncio.ensure_future(self._drain(tuple(self._at), max_records, max_wait_s))
        either: list[asyncio.Future[Any]] = [fetch, self._turn]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            found: dict[KafkaPartition, list[Record]] = fetch.result() if fetch.done() else {}
        finally:
            if not fetch.done():
                fetch.cancel()
        return found

    async def _drain(self, partitions: tuple[KafkaPartition, ...], most: int, max_wait_s: float) -> dict[KafkaPartition, list[Record]]:
        """What has come, of each partition an equal share as long as it has that much; if nothing has, it is waited for.

        ``getmany`` alone empties one partition before it looks at the next: while workers come and go faster than a backlog is read, the last
        one's turn might never come.
        """
        consumer, found, left = self._link.consumer, dict[KafkaPartition, list[Record]](), most
        come = consumer._fetcher._records  # noqa: SLF001 - by partition; an error of one is raised when it is the first to be asked for

        async def take(wanted: tuple[KafkaPartition, ...], share: int, wait_s: float) -> int:
            taken = 0
            for at, records in (await consumer.getmany(*wanted, timeout_ms=wait_s * 1000, max_records=share)).items():
                found.setdefault(at, []).extend(records)
                taken += len(records)
            return taken

        while left:
            ready = [at for at in partitions if at in come and not (found and isinstance(come[at], FetchError))]
            if not ready and found:
                break
            share, before = max(1, left // len(ready or partitions)), left
            if not ready:
                left -= await take(partitions, share, max_wait_s)
            for at in ready:
                if left and not (found and isinstance(come.get(at), FetchError)):
                    left -= await take((at,), min(share, left), 0)
            if left == before:
                break
        return found

    async def _moved(self) -> dict[TopicPartition, Position]:
        moved = {}
        for tp, before in self._at.items():
            now = await self._link.consumer.position(tp)
            if now != before:
                self._at[tp] = now
                moved[TopicPartition(*tp)] = Position(tp.topic, tp.partition, now, self._link.identity)
        return moved

    async def _give_up_consumer(self, error: KafkaError) -> None:
        """After an error that aiokafka does not mend itself: a new consumer, which begins where the store stands."""
        if isinstance(error, CorruptRecordException | RecordTooLargeError):
            raise SourceError(f"a record of {self._link.where} can't be read: {reason_of(error)}") from error
        refuse(error, self._link.where)
        if self._member is not None and "UnknownError" in str(error):  # what aiokafka makes of FENCED_INSTANCE_ID, in a join
            self._member.lost_membership()
            self._member.check()
        log.info("the Kafka client of %s is started anew: %s", self._link.where, reason_of(error))
        self._end_epoch()
        await self._link.close()
        await asyncio.sleep(0.2)  # an error that comes back at once must not make a busy loop

    # -- ends and committed --------------------------------------------------------------------------------------

    async def ends(self) -> Mapping[TopicPartition, Position]:
        """The last stable offset of every partition of the topics, whoever reads it: with an open transaction, where that begins.

        Raises SourceUnavailable after ENDS_TIMEOUT_S without an answer.
        """
        if not self._link.is_open:
            raise SourceUnavailable(f"Kafka at {self._link.where} is not connected")
        consumer, identity = self._link.consumer, self._link.identity
        known = [KafkaPartition(*tp) for tp in sorted(self._known)]
        try:
            async with asyncio.timeout(ENDS_TIMEOUT_S):
                ends: dict[KafkaPartition, int] = await consumer.end_offsets(known)
        except (KafkaError, OSError, TimeoutError) as error:
            raise SourceUnavailable(f"Kafka at {self._link.where} does not answer: {reason_of(error)}") from None
        return {TopicPartition(*tp): Position(tp.topic, tp.partition, end, identity) for tp, end in ends.items()}

    async def committed(self, positions: Iterable[Position]) -> None:
        """Note what the store has; with a group it is told to Kafka about once a second, in the background. Never raises, never waits."""
        if self._member is not None:
            self._member.note(positions)
