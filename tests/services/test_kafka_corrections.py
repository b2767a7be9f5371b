"""PATCH through a real Kafka topic: HTTP -> event -> topic -> projector -> store -> HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tracker.emit.base import Outgoing
from tracker.emit.kafka import KafkaEmitter
from tracker.model.records import Position
from tracker.projector import Options, Projector
from tracker.query.api import open_query
from tracker.sources.open import open_source
from tracker.stores.open import open_store
from tracker.web.app import create_app
from tracker.web.corrections import Corrections
from tracker.web.server import listening, serve, url_of

from .kafka import Broker
from .reading import MakeTopic

ERROR = [{"op": "replace", "path": "/completionStatus", "value": "Error"}]


@asynccontextmanager
async def road(folder: Path, source: str) -> AsyncIterator[httpx.AsyncClient]:
    """A projector of the topic and a server over its store, in one loop."""
    url, stop, opened = f"sqlite:///{folder}/status.db", asyncio.Event(), listening("127.0.0.1:0")
    with open_store(url) as store:
        projector = Projector(lambda revoked: open_source(source, on_revoked=revoked), store, options=Options(max_batch_age_s=0))
        app = create_app(open_query(url), corrections=Corrections(source, lambda: KafkaEmitter(source)))
        running = [asyncio.create_task(projector.run()), asyncio.create_task(serve(app, opened, stop))]
        async with httpx.AsyncClient(base_url=url_of(opened), timeout=30) as client:
            yield client
        projector.stop()
        stop.set()
        await asyncio.gather(*running)


async def written(source: str, folder: Path, *kinds: str) -> None:
    """Events of task t in the topic and in the store."""
    base = {"specversion": "1.0", "source": "/test", "subject": "t", "time": "2026-01-01T00:00:00Z"}
    events = [Outgoing("t", json.dumps({**base, "id": kind, "type": f"io.tracker.task.{kind}"}).encode()) for kind in kinds]
    async with KafkaEmitter(source) as emitter, open_query(f"sqlite:///{folder}/status.db") as query:
        await query.wait_for(await emitter.emit(events), 30)


async def test_a_patch_goes_through_the_topic(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """200 with the corrected task; ten at once are ten events of one partition, and one of them decides."""
    source = f"kafka://{kafka.bootstrap}/{await topic(partitions=3)}"
    async with road(tmp_path, source) as client:
        await written(source, tmp_path, "created", "launched")
        answers = await asyncio.gather(*(client.patch("/task-status/v1/t", json=ERROR) for _ in range(10)))
        status = (await client.get("/api/status")).json()

    assert [(answer.status_code, answer.json()["completionStatus"]) for answer in answers] == [(200, "ERROR")] * 10
    assert sorted(each["read"] for each in status["partitions"]) == [0, 0, 12]


async def test_another_topic_or_cluster_is_told_beforehand(kafka: Broker, topic: MakeTopic) -> None:
    """What is written there would never be read; the store's own topic is fine."""
    name = await topic()
    async with KafkaEmitter(f"kafka://{kafka.bootstrap}/{name}") as emitter:
        [position] = await emitter.emit([Outgoing("t", b"{}")])
        assert await emitter.why_unread([position]) is None
        assert await emitter.why_unread([Position(name, 0, 1, "")]) is None
        assert "does not read" in str(await emitter.why_unread([Position("other", 0, 1, position.identity)]))
        assert "does not read" in str(await emitter.why_unread([]))
        assert "but" in str(await emitter.why_unread([Position(name, 0, 1, "kafka:another")]))
