"""The flat table of a PostgreSQL store: every log of the tests, field for field, as of the other stores."""

from __future__ import annotations

import pytest

from tests.analytics.stores import all_logs, in_memory
from tests.unit.query_store import commit, event
from tracker.analytics import to_arrow, to_documents
from tracker.fold.json_text import canonical
from tracker.query.blocking import connect
from tracker.stores.open import open_store

pytestmark = pytest.mark.services


def test_the_table_is_the_store(database: str) -> None:
    """Read back from Arrow, statuses equal the store's, byte for byte; a memory store has the same table, but for revisions."""
    with open_store(database) as store:
        commit(store, all_logs())
    with connect(database) as tasks, in_memory(all_logs()) as other:
        table = to_arrow(tasks)
        expected = [canonical(document) for document in tasks.documents(extension=True)]
        assert [canonical(document) for document in to_documents(table, extension=True)] == expected
        assert table.drop_columns(["revision"]).equals(to_arrow(other).drop_columns(["revision"]))


def test_changes_are_told(database: str) -> None:
    """After a revision there is what changed later, with what was deleted."""
    with open_store(database) as store:
        commit(store, [event("a", "created"), event("b", "created")])
        with connect(database) as tasks:
            token = tasks.token()
            commit(store, [event("a", "deleted"), event("c", "created")])
            rows = to_arrow(tasks, since=token).select(["id", "change"]).to_pylist()
    assert rows == [{"id": "a", "change": "deleted"}, {"id": "c", "change": "changed"}]
