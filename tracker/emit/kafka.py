"""Events written to a Kafka topic, keyed by the task, so that a task's events stay in one partition and in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tracker.emit.base import Outgoing
from tracker.errors import EmitError, UsageError
from tracker.model.records import Position
from tracker.sources.kafka_config import KafkaConfig
from tracker.sources.kafka_log import Ear, listening, reason_of
from tracker.sources.kafka_url import KafkaUrl, parse_kafka_url

TIMEOUT_S = 30.0
"""Connecting, and writing the events of one call, each. Somebody waits at a terminal; a broker restarts in less."""
CLOSE_TIMEOUT_S = 2.0
CONTENT_TYPE = ("content-type", b"application/cloudevents+json; charset=utf-8")


class KafkaEmitter:
    """Writes to the one topic of a Kafka URL (`tracker.emit.base.Emitter`), with acks=all and idempotently.

    Entering connects and raises `EmitError` after TIMEOUT_S. UsageError for a URL with a pattern or several topics.
    """

    def __init__(self, url: KafkaUrl | str, config: KafkaConfig | None = None) -> None:
        parsed = parse_kafka_url(url) if isinstance(url, str) else url
        if len(parsed.topics) != 1:
            raise UsageError(f"events are written to one topic, but the Kafka URL names {parsed.what}")
        (self._topic,) = parsed.topics
        self._where = f"{','.join(parsed.bootstrap)} ({self._topic})"
        self._identity = ""
        self._ear = Ear()
        config = config or KafkaConfig()
        self._client: dict[str, Any] = {"bootstrap_servers": list(parsed.bootstrap)} | dict(config.client)
        # The broker's default limit is 1 MiB with the record's frame; records up to it must pass here, too.
        self._settings: dict[str, Any] = {"max_request_size": 2 * 2**20} | dict(config.producer)
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                with listening(self._ear):
                    admin = AIOKafkaAdminClient(**self._client)
                    try:
                        await admin.start()
                        cluster = (await admin.describe_cluster()).get("cluster_id")
                    finally:
                        await admin.close()
                    self._identity = f"kafka:{cluster}" if cluster else ""
                    self._producer = AIOKafkaProducer(**self._client, **self._settings, acks="all", enable_idempotence=True)
                    await self._producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._stop()
            raise EmitError(f"Kafka at {self._where} can't be reached: {reason_of(self._ear.take() or error)}") from None
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stop()

    async def _stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await producer.stop()

    async def why_unread(self, positions: Sequence[Position]) -> str | None:
        """Whether the store reads other topics, or this one of another cluster."""
        held = [each.identity for each in positions if each.topic == self._topic]
        if not held:
            return f"the store does not read {self._topic} but {', '.join(sorted({each.topic for each in positions})) or 'nothing yet'}"
        if self._identity and all(held) and self._identity not in held:
            return f"the store reads {self._topic} of {held[0]}, but {self._where} is {self._identity}"
        return None

    async def emit(self, events: Sequence[Outgoing]) -> list[Position]:
        """The position after each event. Raises `EmitError` if the broker did not take them all within TIMEOUT_S."""
        producer = self._producer
        assert producer is not None, "an emitter is used inside 'async with'"
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for event in events:
                    sent.append(  # noqa: PERF401 - what was sent before an error must be known
                        await producer.send(self._topic, event.value, key=event.task_id.encode(), headers=[CONTENT_TYPE])
                    )
                written = await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            for future in sent:
                future.cancel()
            raise EmitError(
                f"Kafka at {self._where} did not take the events: {reason_of(error)}; some may be written, and writing them again does no harm"
            ) from None
        return [Position(self._topic, record.partition, record.offset + 1, self._identity) for record in written]
