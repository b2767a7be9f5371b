"""How the suite's tests come to a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tracker.model.limits import Limits
from tracker.stores.base import StatusStore
from tracker.testing.stores.values import OTHER, position


class StoreTests(ABC):
    """How a store is opened; the base of all of the suite's parts."""

    durable: ClassVar[bool] = True
    """Whether what was committed is there after the store was closed and opened again."""

    @abstractmethod
    def open(self, folder: Path, *, limits: Limits | None = None) -> StatusStore:
        """The store of ``folder``, made if it is not there. Every call is another worker's: it shares nothing but what is stored."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[StatusStore]:
        """A new store; both partitions are claimed at 0."""
        with self.open(tmp_path) as store:
            store.claim([position(), position(OTHER)])
            yield store
