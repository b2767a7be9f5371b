"""The stores that the suites of the query module run over: each is written to, and read beside that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.query import TaskQuery, open_query
from tracker.stores.base import StatusStore
from tracker.stores.memory import MemoryStore
from tracker.stores.open import open_store

STORES = ["sqlite", "memory", pytest.param("postgres", marks=pytest.mark.services)]
"""Parameters of a fixture."""


def store_of(request: pytest.FixtureRequest, folder: Path) -> tuple[StatusStore, TaskQuery]:
    """The parameter's store, new and open, and a query of it that is not open yet."""
    if request.param == "memory":
        store = MemoryStore()
        return store, TaskQuery.over(store)
    url = url_of(request, folder)
    return open_store(url), open_query(url)


def url_of(request: pytest.FixtureRequest, folder: Path) -> str:
    """Where the parameter's store, which is kept in a database, is to be."""
    return f"sqlite:///{folder}/status.db" if request.param == "sqlite" else str(request.getfixturevalue("database"))
