"""/health: for whoever starts and stops processes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.query_store import event
from tracker.errors import StoreUnavailable
from tracker.query.api import TaskQuery
from tracker.stores.base import Counters, PartitionStatus
from tracker.stores.open import open_store
from tracker.testing.stores.values import position
from tracker.web import health
from tracker.web.health import STALLED_S, stuck
from tracker.web.meters import Meters

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def standing(*, lag: int, committed_s_ago: float | None) -> list[PartitionStatus]:
    """One partition, so many records behind its end, last committed so long ago."""
    status = PartitionStatus(
        position=position(next_offset=5),
        counters=Counters(),
        end_offset=5 + lag,
        end_seen_at=NOW.isoformat(),
        committed_at=None if committed_s_ago is None else (NOW - timedelta(seconds=committed_s_ago)).isoformat(),
    )
    return [status]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_a_server_that_answers_is_live_and_ready(served, path) -> None:
    """200 and ok."""
    answer = await (await served(event("a", "created"))).get(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


async def test_a_lag_that_is_not_known_is_said_and_no_illness(served) -> None:
    """Who only reads the store is ready, whether somebody fills it or not."""
    answer = await (await served(event("a", "created"))).get("/health/ready")
    assert "not known" in answer.json()["reason"]


async def test_a_store_that_is_away_is_not_ready(served, monkeypatch) -> None:
    """503 with the reason; live all the same."""

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    client = await served()
    monkeypatch.setattr(TaskQuery, "ask", away)
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (503, health.NO_STORE)
    assert (await client.get("/health/live")).status_code == 200


async def test_a_stuck_projector_is_not_ready(served, tmp_path, monkeypatch) -> None:
    """Where it runs in this process: records to read, and nothing was committed."""
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        store.claim([position()])
        store.report_ends([position(next_offset=7)], datetime.now(UTC).isoformat())
    monkeypatch.setattr(health, "STALLED_S", -1)
    answer = await (await served(meters=Meters())).get("/health/ready")
    assert answer.status_code == 503
    assert "7 records to read" in answer.json()["reason"]


async def test_the_lag_of_others_is_no_illness_of_a_reader(served, tmp_path, monkeypatch) -> None:
    """The same store, served by a process without a projector."""
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        store.claim([position()])
        store.report_ends([position(next_offset=7)], datetime.now(UTC).isoformat())
    monkeypatch.setattr(health, "STALLED_S", -1)
    assert (await (await served()).get("/health/ready")).status_code == 200


@pytest.mark.parametrize(
    ("lag", "committed_s_ago", "uptime_s", "is_stuck"),
    [
        (0, 9_999, 9_999, False),  # nothing to read
        (1, 1, 9_999, False),  # getting on
        (1, STALLED_S + 1, 9_999, True),
        (1, None, 9_999, True),
        (1, None, 1, False),  # just begun
        (1, 9_999, 1, False),  # begun again after a long pause
    ],
)
def test_stuck_is_a_lag_without_commits(lag, committed_s_ago, uptime_s, is_stuck) -> None:
    """For a minute of this process's life."""
    assert bool(stuck(standing(lag=lag, committed_s_ago=committed_s_ago), NOW, uptime_s)) is is_stuck
