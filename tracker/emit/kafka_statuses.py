"""Statuses written to a compacted Kafka topic, in transactions: see `tracker.emit.statuses`.

The transactional id is the topic's, so whoever opens the topic fences off whoever had it, wherever that one runs and whatever it is in the middle of.
A record's partition is the Java client's choice (murmur2 of the key), by the number of partitions that the topic had when it was opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, NoReturn

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalOperation, KafkaError, MessageSizeTooLargeError, ProducerFenced, UnsupportedVersionError
from aiokafka.partitioner import DefaultPartitioner

from tracker.emit.kafka_compacted import Compacted, compacted_topic
from tracker.emit.kafka_reached import PUBLICATION, REVISION, Reader, headers_of
from tracker.emit.statuses import Publication, Reached, StatusRecord
from tracker.errors import EmitError, EmitUnavailable, TopicUnfit, UsageError
from tracker.sources.kafka_config import KafkaConfig
from tracker.sources.kafka_link import ended
from tracker.sources.kafka_log import REFUSED, Ear, listening, reason_of
from tracker.sources.kafka_url import parse_kafka_url

OPEN_TIMEOUT_S = 30.0
"""Connecting, being the only publisher, and finding the last records: a moment, where all is well; a coordinator that moves takes seconds."""
WRITE_TIMEOUT_S = 20.0
"""One transaction, of which 4 MB take a tenth of a second. aiokafka itself would try for ever, even where the coordinator has left the cluster."""
TRANSACTION_TIMEOUT_S = 60.0
"""The broker takes back what a publisher that is gone had begun, and readers of committed records wait as long, unless another opens the topic
before. More than WRITE_TIMEOUT_S: a transaction that we still believe in is never taken back under our hands."""
CLOSE_TIMEOUT_S = 0.4
"""Each of five steps of a farewell, which a broker that is away may not hold up: a stop has 5 s in all."""
BATCH_BYTES = 512 * 1024
"""Of one partition in one request. aiokafka has one request at a time on its way to a broker, so its default of 16 kB would be a round trip for 20 statuses."""
REQUEST_BYTES = 64 * 2**20
"""A request has a batch of each partition; the broker takes 100 MB (socket.request.max.bytes)."""
FRAME_BYTES = 1_000
"""Of a batch's limit, for what is around its records."""
FAULTS = (KafkaError, IllegalOperation, OSError, TimeoutError)
"""What the client raises; the second, where a transaction has failed in another of its parts."""
CLIENT = {"request_timeout_ms": 10_000, "retry_backoff_ms": 100}


def no_seam(_: str) -> None:
    """Where nobody wants to know."""


class KafkaStatusTopic:
    """The one topic of a Kafka URL, as a `tracker.emit.statuses.StatusTopic`. Raises UsageError for a URL that names another number of them."""

    def __init__(
        self, url: str, config: KafkaConfig | None = None, *, partitions: int | None = None, seam: Callable[[str], None] = no_seam
    ) -> None:
        """``partitions`` are those of a topic that is made; None: as many as the broker makes by default."""
        parsed = parse_kafka_url(url)
        if len(parsed.topics) != 1:
            raise UsageError(f"statuses are published to one topic, but the Kafka URL names {parsed.what}")
        if parsed.group is not None:
            raise UsageError("a topic that is published to takes no ?group=NAME")
        (self._topic,) = parsed.topics
        self.name = f"the topic {self._topic} at {','.join(parsed.bootstrap)}"
        config = config or KafkaConfig()
        self._client: dict[str, Any] = {"bootstrap_servers": list(parsed.bootstrap)} | CLIENT | dict(config.client)
        self._producer_settings = dict(config.producer)
        self._wanted, self._seam = partitions, seam
        self._ear = Ear()
        self._identity = ""
        self._found = Compacted(1, 0)
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._partition_of = DefaultPartitioner()
        self._in_transaction = False
        self._header: tuple[Publication, bytes] | None = None

    def is_source(self, topic: str, identity: str) -> bool:
        """The same name, and as far as both are known the same cluster."""
        return topic == self._topic and (not identity or not self._identity or identity == self._identity)

    # -- open and close ------------------------------------------------------------------------------------------

    async def open(self) -> Reached | None:
        """What is published, once nobody else can publish any more. Raises as `StatusTopic` says."""
        await self.close()
        begun_s = monotonic()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                with listening(self._ear):
                    await self._find()
                    await self._take_over()
                    reached = await (await self._reader("read_committed")).reached()
                    await self._stop_reading()
                    return reached
        except FAULTS as error:
            await self.close()
            self._fail(error, begun_s)
        except BaseException:
            await self.close()
            raise

    async def _find(self) -> None:
        admin = AIOKafkaAdminClient(**self._client)
        try:
            await admin.start()
            cluster = (await admin.describe_cluster()).get("cluster_id")
            self._identity = f"kafka:{cluster}" if cluster else ""
            self._found = await compacted_topic(admin, self._topic, self.name, self._wanted)
        finally:
            await admin.close()

    async def _take_over(self) -> None:
        partitions, most = self._found.partitions, self._found.max_batch_bytes
        self._producer = AIOKafkaProducer(
            **self._client,
            **self._producer_settings,
            acks="all",
            transactional_id=f"tracker-publish-{self._topic}",
            transaction_timeout_ms=int(TRANSACTION_TIMEOUT_S * 1000),
            max_batch_size=max(1_000, min(BATCH_BYTES, most - FRAME_BYTES, REQUEST_BYTES // partitions)),
        )
        await self._producer.start()  # the broker ends what another had begun before it answers

    async def _reader(self, isolation: str) -> Reader:
        self._consumer = AIOKafkaConsumer(
            **self._client, auto_offset_reset="none", enable_auto_commit=False, isolation_level=isolation, fetch_max_wait_ms=100
        )
        await self._consumer.start()
        return Reader(self._consumer, self._topic, self.name, self._found.partitions)

    async def _stop_reading(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _end([consumer.stop, consumer._client.close])  # noqa: SLF001 - where the broker is away `stop` does not come to that

    async def task_ids(self) -> AsyncGenerator[Sequence[str], None]:
        """The tasks of the topic, in chunks, with those of which only what was taken back is there: not every consumer reads committed records alone."""
        begun_s, found = monotonic(), None
        try:
            while True:
                try:
                    async with asyncio.timeout(OPEN_TIMEOUT_S):
                        if found is None:
                            with listening(self._ear):
                                found = (await self._reader("read_uncommitted")).task_ids()
                        chunk = await anext(found)
                except StopAsyncIteration:
                    return
                except FAULTS as error:
                    self._fail(error, begun_s)
                yield chunk
        finally:
            if found is not None:
                await found.aclose()
            await self._stop_reading()

    async def close(self) -> None:
        """End both clients within some seconds, also while the broker is away; of a transaction under way nothing stays."""
        producer, self._producer = self._producer, None
        ends: list[Callable[[], Awaitable[None]]] = []
        if producer is not None:
            # `stop` waits for records that are on their way, however long; what it did not come to is done after it.
            ends += [producer.stop, producer.client.close, producer._sender.close]  # noqa: SLF001
            if self._in_transaction:
                ends.insert(0, producer.abort_transaction)
                waiter = producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001
                waiter.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody else looks at it
        self._in_transaction = False
        await _end(ends)
        await self._stop_reading()

    # -- write ---------------------------------------------------------------------------------------------------

    async def write(self, publication: Publication, records: Sequence[StatusRecord]) -> None:
        """One transaction. Raises as `StatusTopic` says; `TopicUnfit` too for a status that the broker takes no record of."""
        producer, begun_s = self._producer, monotonic()
        assert producer is not None, "a topic is opened before it is written to"
        if self._header is None or self._header[0] != publication:
            self._header = publication, headers_of(publication, self._found.partitions)
        by_partition: dict[int, list[StatusRecord]] = {}
        numbers = list(range(self._found.partitions))
        for record in records:
            by_partition.setdefault(self._partition_of(record.task_id.encode(), numbers, numbers), []).append(record)
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                if len(await producer.partitions_for(self._topic)) != self._found.partitions:
                    raise EmitUnavailable(f"{self.name} has other partitions than before")  # what that means is told when it is opened
                await producer.begin_transaction()
                self._in_transaction = True
                self._seam("begun")
                await _all(self._send(producer, partition, found) for partition, found in by_partition.items())
                self._seam("sent")
                await producer.commit_transaction()
                self._in_transaction = False
        except FAULTS as error:
            self._fail(error, begun_s)
        self._seam("committed")

    async def _send(self, producer: AIOKafkaProducer, partition: int, records: Sequence[StatusRecord]) -> None:
        """All of one partition, in order, in as few batches as they fit into."""
        sent: list[tuple[asyncio.Future[Any], list[StatusRecord]]] = []
        try:
            await self._send_batches(producer, partition, records, sent)
            outcomes = await asyncio.gather(*(future for future, _ in sent), return_exceptions=True)
        finally:
            for future, _ in sent:
                future.cancel()
        for outcome, (_, batch) in zip(outcomes, sent, strict=True):
            if isinstance(outcome, MessageSizeTooLargeError):
                self._too_large(batch)
            if isinstance(outcome, BaseException):
                raise outcome

    async def _send_batches(
        self,
        producer: AIOKafkaProducer,
        partition: int,
        records: Sequence[StatusRecord],
        sent: list[tuple[asyncio.Future[Any], list[StatusRecord]]],
    ) -> None:
        """Each batch is noted in ``sent`` with its records once it is handed over."""
        assert self._header is not None
        publication = (PUBLICATION, self._header[1])
        builder, held = producer.create_batch(), list[StatusRecord]()
        for record in records:
            headers = [(REVISION, b"%d" % record.revision), publication]
            key = record.task_id.encode()
            if builder.append(timestamp=None, key=key, value=record.value, headers=headers) is None:
                sent.append((await producer.send_batch(builder, self._topic, partition=partition), held))
                builder, held = producer.create_batch(), []
                builder.append(timestamp=None, key=key, value=record.value, headers=headers)
            held.append(record)
        sent.append((await producer.send_batch(builder, self._topic, partition=partition), held))

    def _too_large(self, batch: Sequence[StatusRecord]) -> NoReturn:
        # A batch beyond the limit is one record, but where the limit was lowered since the topic was opened.
        largest = max(batch, key=lambda record: len(record.value or b""))
        most = self._found.max_batch_bytes
        raise TopicUnfit(
            f"the status of task {largest.task_id!r} has {len(largest.value or b''):,} bytes, and {self.name} takes records of {most:,}: raise its "
            f"limit (kafka-configs.sh --bootstrap-server … --alter --topic {self._topic} --add-config max.message.bytes=…), or publish compressed "
            "(compression.type in --kafka-config); nothing of its transaction was written, and publishing goes on there"
        )

    def _fail(self, error: BaseException, begun_s: float) -> NoReturn:
        """Ours in place of the client's error."""
        name = type(error).__name__
        if isinstance(error, ProducerFenced) and monotonic() - begun_s < WRITE_TIMEOUT_S:
            raise TopicUnfit(f"another publisher has taken over {self.name}: one is enough, so this one ends") from None
        if isinstance(error, REFUSED):
            raise EmitError(f"Kafka refuses the connection for {self.name}: {reason_of(error)}; check --kafka-config") from None
        if "AuthorizationFailed" in name:
            raise EmitError(
                f"Kafka denies access to {self.name} ({name}): the user needs READ, WRITE and DESCRIBE on the topic, and WRITE and DESCRIBE on the "
                f"transactional id tracker-publish-{self._topic}"
            ) from None
        if isinstance(error, UnsupportedVersionError):
            raise EmitError(f"the broker of {self.name} is too old: {reason_of(error)}") from None
        told = self._ear.take()
        if isinstance(told, REFUSED):
            raise EmitError(f"Kafka refuses the connection for {self.name}: {reason_of(told)}; check --kafka-config") from None
        raise EmitUnavailable(f"Kafka does not answer for {self.name} ({reason_of(told or error)})") from None


async def _end(steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """The steps of a farewell, each of which is given up after CLOSE_TIMEOUT_S; what they raise is nobody's error."""
    for step in steps:
        await ended(step, CLOSE_TIMEOUT_S)


async def _all(works: Any) -> None:
    """All of them at the same time. The error that says most of those that there are, once all have ended: a transaction fails in all of its parts."""
    errors = [each for each in await asyncio.gather(*works, return_exceptions=True) if isinstance(each, BaseException)]
    for telling in (TopicUnfit, ProducerFenced, KafkaError, BaseException):
        for error in errors:
            if isinstance(error, telling):
                raise error
