"""Indexes of attributes: however far they have come, filters find what the Python predicate finds."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.query_store import commit
from tests.unit.test_filters_agree import ATTRIBUTES, _ids, any_field, comparisons, composed, logs, quoted
from tracker.query import connect, decoded, indexing
from tracker.query.attributes import attribute, name
from tracker.query.fields import Field
from tracker.query.indexing import catch_up
from tracker.query.memory import MemoryReader
from tracker.query.pages import BY_ID
from tracker.query.sqlite import SqliteReader
from tracker.stores.attribute_index import SqliteAttributeIndex
from tracker.stores.memory import MemoryStore
from tracker.stores.sql import SqlStore

of_attributes = st.sampled_from(ATTRIBUTES)
filters = st.recursive(comparisons(of_attributes) | comparisons(of_attributes) | comparisons(any_field), composed, max_leaves=6)


def _path(field: Field) -> str:
    return field.name.removeprefix("attributes.")


def _name(field: Field) -> str:
    return name(attribute(_path(field)))


def _end(ended: threading.Event, _: int) -> None:
    ended.set()


def _held(store: MemoryStore) -> set[str]:
    """For each value that a task has, the filter that finds it."""
    found = set[str]()
    with MemoryReader(store).snapshot() as snapshot:
        for row in snapshot.rows(None, BY_ID):
            for field in ATTRIBUTES:
                values = decoded.many(attribute(_path(field)))(row.state)
                found.update(f"{field.name} eq {_literal(value)}" for value in values if not isinstance(value, dict))
    return found


def _literal(value: object) -> str:
    return quoted(value) if isinstance(value, str) else json.dumps(value)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    log=logs,
    steps=st.lists(st.tuples(st.sampled_from(["commit", "commit", "all", "page", "anew"]), of_attributes), min_size=3, max_size=10),
    few=st.sampled_from([1, 3, 20_000]),
    texts=st.lists(filters, min_size=10, max_size=20),
)
def test_the_same_is_found_with_indexes_anywhere(tmp_path_factory, log, steps, few, texts):
    """Of any attributes, dropped, asked for anew and brought up in pages at any moment between the commits of any log."""
    path, memory = str(tmp_path_factory.mktemp("indexes") / "status.db"), MemoryStore()
    events = [event for events in log for event in events]
    size = max(1, len(events) // 3)
    with pytest.MonkeyPatch.context() as patch, SqlStore(path) as store, closing(connect(f"sqlite:///{path}")) as tasks:
        patch.setattr(indexing, "PAGE_TASKS", 2)
        patch.setattr("tracker.query.sql._FEW", few)
        index = SqliteAttributeIndex(store)
        index.ask(map(_name, ATTRIBUTES))
        for step, field in steps:
            if step == "commit":
                for each in (store, memory):
                    commit(each, events[:size])
                del events[:size]
            elif step == "anew":
                index.drop([_name(field)])
                index.ask([_name(field)])
            else:
                ended = threading.Event()
                if step == "page":
                    catch_up(tasks, index, stop=ended, on_page=partial(_end, ended))
                else:
                    assert catch_up(tasks, index)
        held = sorted(_held(memory))
        with closing(SqliteReader(path)) as reader:
            for text in [
                *texts,
                *held,
                *map(" and ".join, pairwise(held)),
                *(f"({one} or {other})" for one, other in zip(held, texts, strict=False)),
            ]:
                assert _ids(reader, text) == _ids(MemoryReader(memory), text), text
