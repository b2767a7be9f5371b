"""Keeping the indexes of attributes up with a store's changes; `tracker.query.attributes` says what they are good for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from tracker.fold.state import TaskState
from tracker.model.records import Place
from tracker.query.attributes import attribute, entries
from tracker.query.base import Question, Snapshot
from tracker.query.blocking import BlockingQuery
from tracker.query.later import Later
from tracker.stores.attribute_index import AttributeIndex

PAGE_TASKS = 2_000
"""In one transaction, which other writers of a SQLite store wait for: some 30 ms."""


def catch_up(
    tasks: BlockingQuery, index: AttributeIndex, *, stop: threading.Event | None = None, on_page: Callable[[int], None] = lambda _: None
) -> bool:
    """Let every index go up to the newest commit; ``on_page`` is told of how many tasks. False: it was stopped, or another one does the same."""
    places: Mapping[str, Place] = tasks.ask(lambda snapshot: snapshot.indexed)
    if not places:
        return True
    values_of = entries([attribute(name) for name in places])
    later = Later(min(places.values(), key=_order))
    while stop is None or not stop.is_set():
        values = tasks.ask(_page(later, values_of))
        after = {name: max(place, later.place, key=_order) for name, place in places.items()}
        if after != places:
            if not index.write(values, places, after):
                return False
            places = after
            on_page(len(values))
        if later.is_last:
            return True
    return False


def behind(places: Mapping[str, Place], stop: int) -> Question[int]:
    """How many tasks have changed since the place that is the furthest behind; counted no further than ``stop``."""

    def question(snapshot: Snapshot) -> int:
        revision, task_id = min(places.values(), key=_order)
        return snapshot.changed_count(revision if task_id is None else revision - 1, stop)

    return question


def _page(later: Later, values_of: Callable[[TaskState], list[tuple[str, str]]]) -> Question[dict[str, list[tuple[str, str]]]]:
    """What the next tasks have; one that is gone has nothing."""

    def question(snapshot: Snapshot) -> dict[str, list[tuple[str, str]]]:
        later.look(snapshot, snapshot.revision())
        ids = [id for id, _ in later.next(PAGE_TASKS)]
        found: dict[str, list[tuple[str, str]]] = {id: [] for id in ids}
        for row in snapshot.tasks(ids):
            if not row.state.deleted:
                found[row.id] = values_of(row.state)
        later.take(len(ids))
        return found

    return question


def _order(place: Place) -> tuple[int, bool, str]:
    """Places as they follow each other: the end of a revision is behind all of its tasks."""
    return place.revision, place.task_id is None, place.task_id or ""
