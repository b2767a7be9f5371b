"""The connection of a Kafka source: clients made with back-off, the cluster's identity, the partitions there are, and the two
sentences that a user sees when the broker goes and when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError, UnsupportedCodecError, UnsupportedVersionError
from aiokafka.structs import OffsetAndMetadata

from tracker.errors import SourceError, SourceUnavailable
from tracker.model.records import TopicPartition
from tracker.sources.kafka_assignor import Assignor
from tracker.sources.kafka_config import KafkaConfig
from tracker.sources.kafka_log import REFUSED, Ear, listening, reason_of
from tracker.sources.kafka_records import make_records
from tracker.sources.kafka_url import KafkaUrl

log = logging.getLogger("tracker.kafka")

T = TypeVar("T")

ATTEMPT_TIMEOUT_S = 10.0
"""One question to a broker: longer than a leader election, shorter than a user's patience with a silent broker."""
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 5.0
"""Back-off between attempts, doubled each time: a restart of 4 s is noticed within 4 s, and an hour costs 720 attempts."""
PROBE_TIMEOUT_S = 1.0
"""A look at a broker that may be away is part of a read, which is to come back soon."""
CLOSE_TIMEOUT_S = 1.5
"""Leaving a group is a courtesy; a broker that is away must not hold up a stop that has 5 s in all."""

CLIENT = {
    # Longer than a rebalance may hold our JoinGroup back (rebalance_timeout_ms).
    "request_timeout_ms": 40_000,
    "retry_backoff_ms": 200,
    # How soon a new partition or a new topic of the pattern is seen; one small request.
    "metadata_max_age_ms": 30_000,
}
CONSUMER = {
    # A dead worker's partitions go to others after this, and a frozen one holds up everybody's rebalance so long: the least that brokers
    # take by default. The loop is never blocked for a tenth of it (see READ_RECORDS), and a worker that is thought dead by mistake costs
    # a rebalance, in which nothing is replayed.
    "session_timeout_ms": 6_000,
    # Members learn of a rebalance by a heartbeat's answer, and everybody waits for the last one: it is what a rebalance takes. One
    # request of 100 bytes; the Java client's 3 s would be 3 s without a commit whenever a worker comes or goes.
    "heartbeat_interval_ms": 500,
    # A rebalance waits this long for each member: the budget of on_revoked (10 s) and a margin for the rest.
    "rebalance_timeout_ms": 30_000,
    # aiokafka leaves the group when nothing was fetched for this long, and does not join again before something is: while a store
    # is away for an hour that would be a deadlock. Heartbeats alone say that a worker lives (24 days is the protocol's maximum).
    "max_poll_interval_ms": 2**31 - 1,
    # Memory: aiokafka holds one undecoded response a partition until it is read, so at most partitions * 2 MiB (64 partitions:
    # 128 MiB, compressed), and one answer in flight a broker (16 MiB). 2 MiB are some 5,000 records of 400 bytes: 4 partitions
    # fill a batch of 10,000 twice. A record over it still comes, alone: the broker never cuts the first one.
    "max_partition_fetch_bytes": 2 * 2**20,
    "fetch_max_bytes": 16 * 2**20,
}


class Link:
    """The clients of one source. ``open`` makes them, ``close`` ends them; a broken link is closed and opened again."""

    def __init__(self, url: KafkaUrl, config: KafkaConfig, instance: str | None) -> None:
        self.url = url
        self.identity = ""
        """``kafka:CLUSTER_ID`` once open; empty where the cluster has none (brokers before 0.10.1)."""
        self.ear = Ear()
        self.assignor = Assignor()
        self._client: dict[str, Any] = {"bootstrap_servers": list(url.bootstrap)} | CLIENT | dict(config.client)
        self._consumer_settings: dict[str, Any] = CONSUMER | dict(config.consumer) | {"group_id": url.group, "group_instance_id": instance}
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._closing: asyncio.Future[None] | None = None
        self._away_since: float | None = None
        self._probe_at = 0.0
        self._delay = FIRST_DELAY_S

    @property
    def where(self) -> str:
        """The brokers and topics in words."""
        return f"{','.join(self.url.bootstrap)} ({self.url.what})"

    @property
    def session_s(self) -> float:
        """How long the group waits for a heartbeat."""
        return float(self._consumer_settings["session_timeout_ms"]) / 1000

    @property
    def heartbeat_s(self) -> float:
        """The time between two heartbeats."""
        return float(self._consumer_settings["heartbeat_interval_ms"]) / 1000

    @property
    def metadata_age_s(self) -> float:
        """The time between two looks at the partitions."""
        return float(self._client["metadata_max_age_ms"]) / 1000

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The consumer of the open link."""
        assert self._consumer is not None
        return self._consumer

    @property
    def is_open(self) -> bool:
        """Whether there are clients."""
        return self._consumer is not None

    async def open(self, timeout_s: float | None) -> None:
        """Connect, however long the broker is away; SourceUnavailable after ``timeout_s`` (None: never), SourceError if it refuses us."""
        if self.is_open:
            return
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                left = None if deadline is None else max(0.05, deadline - time.monotonic())
                async with asyncio.timeout(ATTEMPT_TIMEOUT_S if left is None else min(left, ATTEMPT_TIMEOUT_S)):
                    await self._open_once()
            except (KafkaError, OSError, TimeoutError) as error:
                await self.close()
                await self.failed(self.ear.take() or error, deadline)
            except BaseException:
                await self.close()
                raise
            else:
                self.answered()
                return

    async def _open_once(self) -> None:
        with listening(self.ear):
            self._admin = AIOKafkaAdminClient(**self._client)
            await self._admin.start()
            cluster = (await self._admin.describe_cluster()).get("cluster_id")
            self.identity = f"kafka:{cluster}" if cluster else ""
            self._consumer = AIOKafkaConsumer(
                **self._client,
                **self._consumer_settings,
                partition_assignment_strategy=(self.assignor,),
                auto_offset_reset="none",
                enable_auto_commit=False,
                isolation_level="read_committed",
            )
            await self._consumer.start()
            make_records(self._consumer)

    async def close(self) -> None:
        """End both clients within a few CLOSE_TIMEOUT_S; never raises for a broker that is away.

        It goes on when its caller gives up waiting, and the next call waits for it: clients left half closed would hold up the loop's end.
        """
        consumer, self._consumer = self._consumer, None
        admin, self._admin = self._admin, None
        if consumer is not None or admin is not None:
            self._closing = asyncio.ensure_future(_end_clients(consumer, admin, self._closing))
        if self._closing is not None:
            await asyncio.shield(self._closing)

    async def partitions(self) -> set[TopicPartition]:
        """The partitions of the topics that are there now. Asks for all topics: asking for one by name may create it."""
        assert self._admin is not None
        return {
            TopicPartition(topic["topic"], part["partition"])
            for topic in await self._admin.describe_topics()
            if not topic["is_internal"] and not topic["error_code"] and self.url.matches(topic["topic"])
            for part in topic["partitions"]
        }

    async def commit(self, offsets: Mapping[KafkaPartition, int]) -> None:
        """Tell the group's coordinator, once. Raises KafkaError.

        Not by the consumer's own commit: that shields its request, whose late error asyncio would show as one that nobody asked for.
        """
        told = {tp: OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        await self.consumer._coordinator._do_commit_offsets(None, told)  # noqa: SLF001

    async def held_by_group(self) -> set[TopicPartition] | None:
        """The partitions that any member of our group holds; None while the group rebalances."""
        assert self._admin is not None
        (answer,) = await self._admin.describe_consumer_groups([self.url.group])
        (group,) = answer.to_object()["groups"]
        if group["state"] != "Stable":
            return None
        assignments = [ConsumerProtocol.ASSIGNMENT.decode(member["member_assignment"]) for member in group["members"]]
        return {TopicPartition(*tp) for assignment in assignments for tp in assignment.partitions()}

    async def ask(self, question: Callable[[], Awaitable[T]], timeout_s: float | None = None) -> T:
        """The answer to a question, asked again with back-off while the broker is away (for ``timeout_s``; None: for ever)."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                left = ATTEMPT_TIMEOUT_S if deadline is None else max(0.05, min(ATTEMPT_TIMEOUT_S, deadline - time.monotonic()))
                async with asyncio.timeout(left):
                    answer = await question()
            except (KafkaError, OSError, TimeoutError) as error:
                await self.failed(error, deadline)
            else:
                self.answered()
                return answer

    async def failed(self, error: BaseException | str, deadline: float | None = None) -> None:
        """Say once that the broker is away, and wait a while; raise where waiting can't help or ``deadline`` is over."""
        self._went(error)
        if deadline is not None and time.monotonic() + self._delay > deadline:
            raise SourceUnavailable(f"Kafka at {self.where} does not answer: {reason_of(error)}")
        await asyncio.sleep(self._delay)
        self._delay = min(self._delay * 2, LONGEST_DELAY_S)

    def _went(self, error: BaseException | str) -> None:
        refuse(error, self.where)
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning("Kafka at %s does not answer (%s); trying again until it does", self.where, reason_of(error))

    def answered(self) -> None:
        """Say once that the broker is back."""
        self._delay = FIRST_DELAY_S
        if self._away_since is not None:
            log.warning("Kafka at %s is back after %.0f s; going on", self.where, time.monotonic() - self._away_since)
            self._away_since = None

    async def look(self) -> None:
        """After a read without records: if the clients complained, or the broker was away, ask it whether it is there.

        A single complaint is nothing (a leader moved, an idle connection was closed), so only an unanswered question is told.
        """
        complaint = self.ear.take()
        if (complaint is None and self._away_since is None) or time.monotonic() < self._probe_at:
            return
        admin = self._admin
        if admin is None:
            return
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await admin.describe_cluster()
        except (KafkaError, OSError, TimeoutError) as error:
            self._went(complaint or error)
            self._probe_at = time.monotonic() + self._delay
            self._delay = min(self._delay * 2, LONGEST_DELAY_S)
        else:
            self.answered()


def refuse(error: BaseException | str, where: str) -> None:
    """Raise SourceError for what no waiting mends: credentials, permissions, codecs, brokers that are too old."""
    name = type(error).__name__
    if isinstance(error, REFUSED):
        raise SourceError(f"Kafka at {where} refuses the connection: {reason_of(error)}; check --kafka-config")
    if "AuthorizationFailed" in name:
        raise SourceError(f"Kafka at {where} denies access ({name}: {reason_of(error)}); the user needs READ and DESCRIBE")
    if isinstance(error, UnsupportedCodecError):
        raise SourceError(f"the records of {where} are compressed with a codec that is not installed: {reason_of(error)}")
    if isinstance(error, UnsupportedVersionError):
        raise SourceError(f"the broker at {where} is too old: {reason_of(error)}")


async def _end_clients(consumer: AIOKafkaConsumer | None, admin: AIOKafkaAdminClient | None, before: asyncio.Future[None] | None) -> None:
    if before is not None:
        await before
    ends: list[Callable[[], Awaitable[None]]] = []
    if consumer is not None:
        # After a stop that was cut short (a broker that is away) its tasks would live on, and connect again: all are ended by hand.
        ends += [consumer.stop, partial(_end_coordination, consumer), consumer._client.close]  # noqa: SLF001
        if consumer._fetcher is not None:  # noqa: SLF001
            ends.insert(2, consumer._fetcher.close)  # noqa: SLF001
    if admin is not None:
        ends.append(admin.close)
    for end in ends:
        error = await ended(end, CLOSE_TIMEOUT_S)
        if error is not None and not isinstance(error, KafkaError | OSError | TimeoutError):
            raise error


async def _end_coordination(consumer: AIOKafkaConsumer) -> None:
    """The tasks that keep the membership. They may swallow a cancellation: one that waits for another, cancelled, just goes on."""
    for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task"):
        task = getattr(consumer._coordinator, name, None)  # noqa: SLF001
        if task is not None:
            await cancelled(task)


async def ended(step: Callable[[], Awaitable[None]], timeout_s: float) -> BaseException | None:
    """One step of a farewell, given up after a time; what it raised."""
    # In a task of its own: aiokafka cancels its tasks and waits for them, and the CancelledError of one that was not done comes out.
    ending = asyncio.ensure_future(step())
    await asyncio.wait({ending}, timeout=timeout_s)
    await cancelled(ending)
    return ending.exception() if ending.done() and not ending.cancelled() else None


async def cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel a task until it is done, for CLOSE_TIMEOUT_S at most. Its error, if it has one, counts as told."""
    deadline = time.monotonic() + CLOSE_TIMEOUT_S
    while not task.done() and time.monotonic() < deadline:
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
    if task.done() and not task.cancelled():
        task.exception()
