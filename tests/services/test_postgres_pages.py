"""The dashboard's pages over a store in PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.rebuild.logs import log_in
from tests.services.test_postgres_rebuild import rebuilt, worked
from tests.unit.query_store import commit
from tests.web.conftest import served as served  # noqa: PLC0414 - a fixture
from tests.web.reading_pages import Page
from tests.web.test_pages import PAGES, tasks
from tracker.query.api import open_query
from tracker.stores.open import open_store


@pytest.mark.parametrize("path", [*PAGES, "/?part=panels", '/?filters=uniqueName co "1"&sorters=-completed', "/task?id=t5"])
async def test_a_page_is_the_same_over_postgres(served, database: str, path: str) -> None:
    """It answers as it does over SQLite, with the same tasks and counts."""
    with open_store(database) as store:
        commit(store, tasks())
    over_sqlite, over_postgres = await served(*tasks()), await served(query=open_query(database))
    one, other = await over_sqlite.get(path), await over_postgres.get(path)
    assert (other.status_code, other.headers["content-type"]) == (one.status_code, one.headers["content-type"])
    sqlite, postgres = Page(one.text), Page(other.text)
    assert (postgres.rows, postgres.counts) == (sqlite.rows, sqlite.counts)


async def test_the_system_page_tells_of_this_store(served, database: str, tmp_path: Path) -> None:
    """The server's version, who holds each partition, and how the last rebuild stands."""
    log = log_in(tmp_path)
    await asyncio.to_thread(worked, database, log)
    with open_store(database) as store:
        store.claim([each.position for each in store.partitions()], "worker-7")
    await asyncio.to_thread(rebuilt, database, log)
    text = (await (await served(query=open_query(database))).get("/system")).text
    assert "PostgreSQL 1" in text
    assert "worker-7" in text
    assert "SQLite" not in text
    assert "Last rebuild" in text
    assert "swapped" in text
