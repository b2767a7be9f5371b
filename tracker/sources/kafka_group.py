"""Membership in a consumer group: giving partitions up in good order, being sure of them, and two workers with one name.

What a real broker (4.1.0) does with one static name used twice, as seen by aiokafka 0.14: see the test of the duplicate instance.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
from collections import deque
from collections.abc import Callable, Iterable

from aiokafka import ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import IllegalStateError, KafkaError

from tracker.errors import DuplicateInstance
from tracker.model.records import Position, TopicPartition
from tracker.sources.base import OnRevoked
from tracker.sources.kafka_link import Link, cancelled
from tracker.sources.kafka_log import reason_of

log = logging.getLogger("tracker.kafka")

COMMIT_EVERY_S = 1.0
"""How often positions are told to Kafka: lag displays need no more, and a commit costs the broker a write."""
COMMIT_TIMEOUT_S = 2.0
"""A commit is a courtesy to displays: it must not hold up a rebalance or a stop."""
LOSSES = 3
"""So many losses of a static name in quick succession are no accident."""


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """This worker's place in the group. ``end`` and ``begin`` are the source's epochs."""

    def __init__(
        self,
        link: Link,
        on_revoked: OnRevoked | None,
        budget_s: float,
        instance: str | None,
        *,
        end: Callable[[], None],
        begin: Callable[[Iterable[KafkaPartition]], None],
    ) -> None:
        self._link, self._on_revoked, self._budget_s, self._instance = link, on_revoked, budget_s, instance
        self._end, self._begin = end, begin
        self._assigned = asyncio.Event()
        self._closing = asyncio.Event()
        self._failure: BaseException | None = None
        self._joined = False
        self._confirmed_at = -math.inf
        """Loop time: when the broker last confirmed that we are a member (the time the question was sent)."""
        self._losses: deque[float] = deque(maxlen=LOSSES)
        self._stored: dict[KafkaPartition, int] = {}
        self._unread: set[TopicPartition] = set()
        self._committer: asyncio.Task[None] | None = None
        self._committing = False
        self._commit_failed = False

    def subscribe(self) -> None:
        """Join the group with the open link's consumer."""
        self._assigned.clear()
        self._joined = False
        url = self._link.url
        if url.pattern is None:
            self._link.consumer.subscribe(topics=list(url.topics), listener=self)
        else:  # aiokafka matches a prefix; the Java client, and we, the whole name
            self._link.consumer.subscribe(pattern=re.compile(rf"(?:{url.pattern})\Z"), listener=self)
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_now_and_then())

    async def wait(self, assignment: Callable[[], frozenset[KafkaPartition] | None]) -> frozenset[KafkaPartition]:
        """Wait for an assignment. Raises KafkaError where the group can't be joined, and DuplicateInstance."""
        self.check()
        while (found := assignment()) is None:
            # An epoch also ends without a revocation: the event is of the one before then, and would never let the loop turn.
            self._assigned.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    await self._assigned.wait()
            self._link.consumer._coordinator.check_errors()  # noqa: SLF001 - only getmany would tell, and it must not run yet
            await self._link.look()
            self.check()
        return found

    async def look_for_unread(self, known: set[TopicPartition]) -> None:
        """Have the group rebalance if it leaves partitions unread at two looks in a row, which only static members do."""
        if self._instance is None or not self._link.is_open:
            return
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                held = await self._link.held_by_group()
        except (KafkaError, OSError, TimeoutError):
            return
        unread = known - held if held is not None else set()
        if unread and unread == self._unread and self._link.is_open:
            self._link.assignor.demand()
            self._link.consumer._coordinator.request_rejoin()  # noqa: SLF001
            unread = set()
        self._unread = unread

    def check(self) -> None:
        """Raise DuplicateInstance once it is certain, or what ``on_revoked`` raised."""
        if self._failure is not None:
            raise self._failure

    # -- aiokafka calls these ------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        """The epoch ends before anything is awaited; then the running batch has its budget, and the group waits for it."""
        self._assigned.clear()
        self._end()
        given_up = frozenset(TopicPartition(*tp) for tp in revoked)
        if given_up and self._on_revoked is not None:
            try:
                async with asyncio.timeout(self._budget_s):
                    (failed,) = await asyncio.gather(self._on_revoked(given_up), return_exceptions=True)
                if isinstance(failed, BaseException):  # aiokafka would only log it: the next read raises it
                    self._failure = self._failure or failed
            except TimeoutError:
                log.warning(
                    "the running batch did not end within %.0f s of a rebalance; the store refuses its commit if it is late", self._budget_s
                )
        await self._commit()
        self._stored.clear()
        if self._joined and not self.is_known:
            self.lost_membership()
        if self._failure is not None:  # the end is near: joining again would only fence the other worker once more
            await self._closing.wait()

    async def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        """Nothing is fetched until the source has sought."""
        self._confirmed_at = asyncio.get_running_loop().time()
        with contextlib.suppress(IllegalStateError):
            self._link.consumer.pause(*assigned)
        self._joined = True
        self._begin(assigned)
        self._assigned.set()

    # -- two workers with one name -------------------------------------------------------------------------------

    def lost_membership(self) -> None:
        """The broker took our place from us. It does so after a silence of session.timeout.ms, which is not counted here, and when
        another worker joins under our name.
        """
        now = asyncio.get_running_loop().time()
        if self._instance is None or now - self._confirmed_at > self._link.session_s:
            return
        self._losses.append(now)
        # Each of the two notices its loss by its next heartbeat and then takes the place back, so two heartbeats a turn.
        if len(self._losses) == LOSSES and now - self._losses[0] < LOSSES * 4 * self._link.heartbeat_s + 5:
            self._failure = DuplicateInstance(
                f"another worker of group {self._link.url.group} runs as --instance {self._instance}: the two take the partitions from "
                f"each other; give each worker a name of its own"
            )

    @property
    def is_known(self) -> bool:
        """Whether this worker has a member id; the broker takes it away from one that it does not know any more."""
        return bool(self._link.consumer._coordinator.member_id)  # noqa: SLF001

    async def confirm(self) -> bool:
        """Whether the broker has confirmed this membership within two thirds of the session timeout; it is asked if need be.

        Then no other member can have our partitions: a session begins anew with each heartbeat.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - self._confirmed_at < self._link.session_s * 2 / 3:
            return True
        asked_at, confirmed = loop.time(), False
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(self._link.session_s / 3):
                await self._link.consumer._coordinator.ensure_coordinator_known()  # noqa: SLF001 - after a restart it is looked for
                confirmed = await self._link.consumer._coordinator._do_heartbeat()  # noqa: SLF001 - there is no public question
        if confirmed:
            self._confirmed_at = asked_at
        return confirmed

    # -- committed offsets, for displays -------------------------------------------------------------------------

    def note(self, positions: Iterable[Position]) -> None:
        """Remember what to tell Kafka with the next commit."""
        self._stored.update({KafkaPartition(p.topic, p.partition): p.next_offset for p in positions})

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            await self._commit()

    async def _commit(self) -> None:
        if not self._link.is_open or self._committing:
            return
        held = self._link.consumer.assignment()
        offsets = {tp: offset for tp, offset in self._stored.items() if tp in held}
        if not offsets:
            return
        self._stored, self._committing = {}, True
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await self._link.commit(offsets)
        except (KafkaError, OSError, TimeoutError) as error:
            self._stored = offsets | self._stored
            if not self._commit_failed:
                log.info("Kafka did not take the positions of %s (%s); only lag displays need them", self._link.where, reason_of(error))
            self._commit_failed = True
        else:
            self._commit_failed = False
        finally:
            self._committing = False

    async def close(self) -> None:
        """Tell Kafka the last positions and let a waiting rebalance go."""
        self._closing.set()
        if self._committer is not None:
            await cancelled(self._committer)
            self._committer = None
        await self._commit()
