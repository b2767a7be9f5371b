"""The suite that every store of statuses must pass (it needs pytest).

Subclass `StoreSuite` in a test module, under a name that pytest collects, and say how a store is opened:

    class TestMyStore(StoreSuite):
        def open(self, folder, *, limits=None): ...

A store knows no fold, so the states here are any bytes.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in ("concurrency", "contents", "fences", "parking", "retention", "values")))

from tracker.testing.stores.concurrency import ConcurrencyTests  # noqa: E402 - pytest must know of them before
from tracker.testing.stores.contents import ContentTests  # noqa: E402
from tracker.testing.stores.fences import FenceTests  # noqa: E402
from tracker.testing.stores.parking import ParkedTests  # noqa: E402
from tracker.testing.stores.retention import RetentionTests  # noqa: E402

__all__ = ["StoreSuite"]


class StoreSuite(FenceTests, ContentTests, ParkedTests, RetentionTests, ConcurrencyTests):
    """The promises of `tracker.stores.base.StatusStore`, a few facts each."""
