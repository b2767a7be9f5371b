"""PostgreSQL behind a real PgBouncer in transaction mode: each transaction may be on another connection to the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.unit.query_store import commit, event
from tracker.model.limits import Limits
from tracker.query import open_query
from tracker.stores.base import StatusStore
from tracker.stores.open import open_store
from tracker.testing.stores import StoreSuite

from .pgbouncer import PgBouncer
from .postgres import NoServer, Server, drop_database, new_database


@pytest.fixture(scope="module")
def bouncer(postgres: Server) -> Iterator[PgBouncer]:
    """One for the module; without it the tests are skipped, with the reason."""
    try:
        started = PgBouncer(postgres)
    except NoServer as reason:
        pytest.skip(f"no PgBouncer: {reason}")
    with started:
        yield started


@pytest.fixture
def bounced(postgres: Server, bouncer: PgBouncer) -> Iterator[str]:
    """A new database, by PgBouncer's address."""
    direct = new_database(postgres)
    yield f"{bouncer.url}/{direct.rpartition('/')[2]}"
    drop_database(postgres, direct)


class TestPostgresBehindPgBouncer(StoreSuite):
    """All promises hold."""

    @pytest.fixture(autouse=True)
    def _url(self, bounced: str) -> None:
        self.url = bounced

    def open(self, folder: Path, *, limits: Limits | None = None) -> StatusStore:  # noqa: ARG002 - the database is the test's
        return open_store(self.url, limits=limits)


async def test_more_readers_than_connections(bounced: str) -> None:
    """Ten streams and a follower share three connections with a writer; long listings go on by a cursor of their transaction."""
    with open_store(bounced) as store:
        commit(store, [event(f"t{number:04}", "created", launcher=f"Sweep-{number % 7}") for number in range(1_500)])
        async with open_query(bounced) as tasks:
            counted = await asyncio.gather(*(tasks.count(f'launcher eq "sweep-{number % 7}"') for number in range(20)))

            async def streamed() -> int:
                async with aclosing(tasks.documents('launcher sw "sweep"')) as documents:
                    return len([document async for document in documents])

            token = await tasks.token()
            lengths = await asyncio.gather(*(streamed() for _ in range(10)))
            async with asyncio.timeout(20), aclosing(tasks.changes(token, follow=True)) as changes:
                following = asyncio.ensure_future(anext(changes))
                await asyncio.to_thread(commit, store, [event("new", "created")])
                change = await following

    assert sum(counted[:7]) == 1_500
    assert lengths == [1_500] * 10
    assert change.id == "new"
