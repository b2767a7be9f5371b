"""A worker that freezes in the middle of its transaction, or loses its cable there, holds nobody up for long."""

from __future__ import annotations

from time import monotonic

import pytest

from tracker.errors import StoreUnavailable
from tracker.stores.base import Commit
from tracker.stores.postgres import FROZEN_MS, PostgresStore
from tracker.testing.stores.values import write


@pytest.mark.timeout(90)
def test_a_transaction_whose_worker_is_frozen_ends(database: str) -> None:
    """Everything of a commit but its COMMIT, and then silence: another worker's commit of the same task goes through, the frozen one's never."""
    with PostgresStore(database) as frozen, PostgresStore(database) as other:
        frozen._on_link(lambda link: frozen.write(link, Commit(writes=[write("a", b"frozen")])))
        began = monotonic()
        revision = other.commit(Commit(writes=[write("a", b"other")]))
        waited_s = monotonic() - began
        with pytest.raises(StoreUnavailable):  # it wakes, and is told
            frozen.commit(Commit(writes=[write("b")]))
        after = frozen.commit(Commit(writes=[write("b")]))
        held = other.load(["a"])["a"]

    assert FROZEN_MS / 1000 - 1 < waited_s < FROZEN_MS / 1000 + 10
    assert (held.registers, held.revision) == (b"other", revision)
    assert after != revision
