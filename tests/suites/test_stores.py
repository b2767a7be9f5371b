"""Every store under the one suite; each class says only how it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from tracker.model.limits import Limits
from tracker.stores.base import StatusStore
from tracker.stores.memory import MemoryStore
from tracker.stores.open import open_store
from tracker.testing.stores import StoreSuite


class TestMemoryStore(StoreSuite):
    """One object that all workers of a test share."""

    durable: ClassVar[bool] = False

    @pytest.fixture(autouse=True)
    def _stores(self) -> None:
        self.stores: dict[Path, MemoryStore] = {}

    def open(self, folder: Path, *, limits: Limits | None = None) -> StatusStore:
        held = self.stores.setdefault(folder, MemoryStore(limits=limits))
        held.require(limits)
        return held


class TestSqliteStore(StoreSuite):
    """A file; each worker has a connection of its own."""

    def open(self, folder: Path, *, limits: Limits | None = None) -> StatusStore:
        return open_store(f"sqlite:///{folder}/status.db", limits=limits)
