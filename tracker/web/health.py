"""Health for whoever starts and stops processes: no login, no figures.

Live: the event loop answers. Ready: the store can be read, and where this process runs the projector it gets on with what there is to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import inf

from fastapi import APIRouter, Response

from tracker.errors import TrackerError
from tracker.model.times import to_datetime, to_utc
from tracker.query.report import lag_records
from tracker.stores.base import PartitionStatus
from tracker.web import documents
from tracker.web.answers import answer, answer_heads, clock
from tracker.web.context import Served

STALLED_S = 60.0
"""Records to read and no commit for so long: stuck. The slowest batches (10,000 tasks of a cold store of millions) take some seconds."""
NO_STORE = {"status": "unavailable", "reason": "the store can't be read"}

router = APIRouter(prefix="/health", tags=["operations"])


@router.get("/live", operation_id="isLive", response_model=documents.Health)
async def is_live() -> Response:
    """Whether the process answers: 200 as long as it does."""
    return answer({"status": "ok", "reason": None})


@router.get("/ready", operation_id="isReady", response_model=documents.Health, responses={503: {"model": documents.Health}})
async def is_ready(served: Served) -> Response:
    """Whether requests should come here: 503 with the reason where the store can't be read, or the projector in this process is stuck."""
    now = clock()
    try:
        partitions = await served.tasks.ask(lambda snapshot: snapshot.partitions())
    except TrackerError:
        return answer(NO_STORE, status=503)
    if not served.projects:
        return answer({"status": "ok", "reason": _unknown(partitions, now)})
    # A worker's own watch knows more, and leaves out the partitions of others.
    reason = served.meters.trouble if served.meters.is_watched else stuck(partitions, now, served.meters.uptime_s)
    return answer({"status": "unavailable" if reason else "ok", "reason": reason}, status=503 if reason else 200)


def stuck(partitions: Sequence[PartitionStatus], now: datetime, uptime_s: float) -> str | None:
    """The partition that has records to read and was not committed for a minute of this process's life, in a sentence; None: there is none."""
    for each in partitions:
        lag, age_s = lag_records(each, now), min(uptime_s, _age_s(each, now))
        if lag and age_s > STALLED_S:
            at = each.position
            return f"{at.topic}, partition {at.partition}: {lag:,} records to read, and nothing was committed for {age_s:.0f} s"
    return None


def _age_s(each: PartitionStatus, now: datetime) -> float:
    return inf if each.committed_at is None else (now - to_datetime(to_utc(each.committed_at))).total_seconds()


def _unknown(partitions: Sequence[PartitionStatus], now: datetime) -> str | None:
    """This process only reads the store: whether somebody fills it is not its own health."""
    if partitions and all(lag_records(each, now) is not None for each in partitions):
        return None
    return "how far the store is behind the log is not known: no worker has reported in the last minute"


answer_heads(router)
