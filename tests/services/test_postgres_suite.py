"""PostgreSQL under the suite of all stores, the oldest server and the newest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker.model.limits import Limits
from tracker.stores.base import StatusStore
from tracker.stores.open import open_store
from tracker.testing.stores import StoreSuite

from .postgres import Server, drop_database, new_database


class _PostgresSuite(StoreSuite):
    """A database for each test."""

    server: Server
    url: str

    def open(self, folder: Path, *, limits: Limits | None = None) -> StatusStore:  # noqa: ARG002 - the database is the test's
        return open_store(self.url, limits=limits)


class TestPostgres17(_PostgresSuite):
    """The newest server."""

    @pytest.fixture(autouse=True)
    def _server(self, postgres: Server) -> None:
        self.server = postgres

    @pytest.fixture(autouse=True)
    def _database(self, _server: None) -> Iterator[None]:
        self.url = new_database(self.server)
        yield
        drop_database(self.server, self.url)


class TestPostgres15(_PostgresSuite):
    """The oldest server."""

    @pytest.fixture(autouse=True)
    def _server(self, postgres15: Server) -> None:
        self.server = postgres15

    @pytest.fixture(autouse=True)
    def _database(self, _server: None) -> Iterator[None]:
        self.url = new_database(self.server)
        yield
        drop_database(self.server, self.url)
