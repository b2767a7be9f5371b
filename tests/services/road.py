"""The whole road in this process, Kafka to SQLite, with a deadline on everything; and what the tests of it share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import GroupCoordinatorNotAvailableError

from tests.crash.crash_log import TIMESTAMP_MS, Outcome
from tests.crash.outcome import differences, offsets, records_read
from tests.naive.workload import lines
from tracker.model.records import Record
from tracker.projector import Options, Projector, Totals
from tracker.projector.projection import no_seam
from tracker.stores.sql import SqlStore

from .kafka import AIOKafkaAdminClientClosing, Broker
from .reading import DEADLINE_S, source

SETTLED_S = 90.0
KEPT = {"retention.ms": "-1"}
"""The workload's records carry old times."""
NEVER_PARKED = 0.0


@asynccontextmanager
async def tracking(
    broker: Broker, topic: str, store: Path, query: str = "", *, seam: Callable[[str], None] = no_seam, **options: Any
) -> AsyncIterator[asyncio.Task[Totals]]:
    """A projector at work; stopped in order at the end, where whatever ended it before is raised."""
    with SqlStore(str(store)) as opened:
        projector = Projector(
            lambda on_revoked: source(broker, topic, query, on_revoked=on_revoked),
            opened,
            options=Options(**{"max_batch_records": 500, "max_parked_ratio": NEVER_PARKED, **options}),
            seam=seam,
        )
        running = asyncio.create_task(projector.run())
        try:
            yield running
        finally:
            projector.stop()
            async with asyncio.timeout(DEADLINE_S):
                await running


async def track(broker: Broker, topic: str, store: Path, query: str = "", **options: Any) -> Totals:
    """One run to the ends that the log has now."""
    async with tracking(broker, topic, store, query, until_end=True, **options) as running, asyncio.timeout(SETTLED_S):
        return await asyncio.shield(running)


async def wait_for(
    holds: Callable[[], bool], what: str, running: asyncio.Task[Totals] | None = None, deadline_s: float = SETTLED_S
) -> None:
    """Wait for a condition; a run that ends meanwhile raises what ended it."""
    try:
        async with asyncio.timeout(deadline_s):
            while not holds():
                if running is not None and running.done():
                    running.result()
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"waited {deadline_s:.0f} s for {what}") from None


async def settled(store: Path, outcome: Outcome, running: asyncio.Task[Totals] | None = None) -> None:
    """All expected records are in the store."""
    await wait_for(lambda: records_read(store) >= outcome.total, f"{outcome.total} records", running)


async def is_exact(broker: Broker, topic: str, store: Path, outcome: Outcome) -> bool:
    """AssertionError with every difference from the naive fold and the naive counts; the positions are the log's ends."""
    assert await asyncio.to_thread(differences, store, outcome, outcome.documents()) == []
    assert offsets(store) == await ends(broker, topic, list(offsets(store)))
    return True


async def ends(broker: Broker, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """The last stable offsets, as an independent client sees them."""
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, isolation_level="read_committed") as consumer:
        found = await consumer.end_offsets([KafkaPartition(topic, number) for number in partitions])
        return {at.partition: end for at, end in found.items()}


def spread(topic: str, tasks: int, first_task: int = 0, partitions: int = 4) -> list[Record]:
    """A workload without keys: each event of a task stands in a partition of its own chance."""
    rng = Random(first_task)
    log = lines(tasks, 8, first_task=first_task)
    return [Record(topic, rng.randrange(partitions), 0, line, None, (), TIMESTAMP_MS) for line in log]


def expecting(outcome: Outcome, log: Iterable[Record]) -> list[Record]:
    """The same records, counted as expected."""
    found = list(log)
    for record in found:
        outcome.add(record)
    return found


async def described(broker: Broker, group: str) -> dict[str, Any]:
    """What the broker says of a group."""
    async with AIOKafkaAdminClientClosing(broker.bootstrap) as admin:
        try:
            answers: list[Any] = await admin.describe_consumer_groups([group])
        except GroupCoordinatorNotAvailableError:  # a broker's first group
            return {"state": "unknown"}
        (found,) = answers[0].to_object()["groups"]
        return dict(found)


async def held_by(broker: Broker, group: str) -> list[set[int]]:
    """The partitions of each member of a stable group; none while it rebalances."""
    found = await described(broker, group)
    if found["state"] != "Stable":
        return []
    assignments = [ConsumerProtocol.ASSIGNMENT.decode(member["member_assignment"]) for member in found["members"]]
    return [{number for _, numbers in assignment.assignment for number in numbers} for assignment in assignments]


async def until_rebalancing(broker: Broker, group: str) -> None:
    """The group waits for its members to join again."""

    async def rebalances() -> bool:
        return bool((await described(broker, group))["state"] == "PreparingRebalance")

    await until(rebalances)


async def until_shared(broker: Broker, group: str, shares: Iterable[int] = (2, 2)) -> None:
    """The members of the group hold so many partitions."""
    wanted = sorted(shares)

    async def shared() -> bool:
        return sorted(map(len, await held_by(broker, group))) == wanted

    await until(shared)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask the broker until it says what is waited for."""
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():  # noqa: ASYNC110 - the broker has to be asked
            await asyncio.sleep(0.05)
