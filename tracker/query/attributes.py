"""Attributes that have an index: what it can say of a filter, and what stands in it.

The index follows the store's changes, as any other reader could, and may be behind them: what it finds are the tasks that had a value when it came by.
So together with all that changed since they are at least all that match; the filter is decided on their states, and no answer depends on how
far the index has come, only how long it takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import CompoundSelect, and_, or_, select, union_all

from tracker.errors import UsageError
from tracker.fold.state import TaskState
from tracker.model.records import Place
from tracker.query import decoded, functions
from tracker.query.clauses import Clause, clause, implied
from tracker.query.fields import Field
from tracker.query.filters import parse
from tracker.query.tree import And, Compare, In, IsNull, Node, Or, Value, comparisons
from tracker.stores import tables

VALUE_CODE_POINTS = 64
"""Of a text that stand in the index: PostgreSQL takes no more than 2.7 kB for value, name and task together."""
NAME_CODE_POINTS = 128
MAX_COMPARED = 16
"""Comparisons of attributes in a filter that indexes are looked into for, each by a query of its own; with more, for none."""
_PREFIX = "attributes."
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
Ids: TypeAlias = CompoundSelect[Any]
"""A query for ids of tasks."""
_TASK, _VALUE = tables.task.c, tables.attribute_value.c


def attribute(text: str) -> Field:
    """The field ``attributes.TEXT``, as filters write it. Raises UsageError."""
    try:
        node = parse(f"{_PREFIX}{text} isnull")
    except UsageError:
        node = None
    if not isinstance(node, IsNull):
        raise UsageError(f'expected an attribute as filters write it, such as region, "any key" or owner.name, found {text}')
    field = node.field
    if len(name(field)) > NAME_CODE_POINTS:
        raise UsageError(f"an attribute with an index has a name of at most {NAME_CODE_POINTS} characters, not {len(name(field))}")
    return field


def name(field: Field) -> str:
    """What stands for the attribute in the index: its keys, those that are no plain words in quotes, with dots between."""
    return ".".join(key if _BARE.fullmatch(key) else json.dumps(key) for key in field.keys)


def entry(value: Any) -> str | None:
    """What stands for a value: the same text for all that are equal in a filter; None for what none is equal to."""
    if isinstance(value, str):
        return json.dumps(value.casefold()[:VALUE_CODE_POINTS])
    if isinstance(value, bool):
        return json.dumps(value)
    try:
        return repr(float(value) + 0.0)
    except (TypeError, OverflowError):  # an array, an object; or a number that no attribute has
        return None


def entries(fields: Sequence[Field]) -> Callable[[TaskState], list[tuple[str, str]]]:
    """A function that gives the names and values, as `entry` has them, of a task that is there."""
    reads = [(name(field), decoded.many(field)) for field in fields]
    return lambda state: [(of, text) for of, read in reads for value in read(state) if (text := entry(value)) is not None]


def is_indexable(node: Node) -> bool:
    """Whether the filter compares attributes, and few enough to look into the indexes for each."""
    return 0 < sum(each.field.name.startswith(_PREFIX) for each in comparisons(node)) <= MAX_COMPARED


def narrowed(node: Node, places: Mapping[str, Place], is_few: Callable[[Ids], bool]) -> Clause | None:
    """What the indexes say of all tasks that match a filter of `tracker.query.clauses.split`; None if it is nothing.

    ``is_few`` is asked whether it is worth while to look up the tasks of these ids: where most have a value, a page of them is found sooner
    in the order of the listing.
    """
    if isinstance(node, Compare | In):
        ids = _found(node, places)
        return None if ids is None or not is_few(ids) else functions.few(_TASK.id.in_(ids))
    if isinstance(node, And):
        parts = [part for each in node.nodes if (part := narrowed(each, places, is_few)) is not None]
        return and_(*parts) if parts else None
    if isinstance(node, Or):
        ways = []
        for each in node.nodes:
            said = implied(each)
            parts = [part for part in (None if said is None else clause(said), narrowed(each, places, is_few)) if part is not None]
            if not parts:
                return None
            ways.append(and_(*parts))
        return or_(*ways)
    return None


def _found(node: Compare | In, places: Mapping[str, Place]) -> Ids | None:
    if not node.field.name.startswith(_PREFIX) or (isinstance(node, Compare) and node.op != "eq"):
        return None
    place, wanted = places.get(name(node.field)), _entries(node.values if isinstance(node, In) else (node.value,))
    if place is None or wanted is None:
        return None
    task = tables.task.alias().c
    later = task.revision > place.revision
    if place.task_id is not None:
        later = and_(task.revision >= place.revision, or_(later, task.id > place.task_id))
    of_value = select(_VALUE.task_id).where(_VALUE.name == name(node.field), _VALUE.value.in_(wanted))
    return union_all(of_value, select(task.id).where(later))


def _entries(values: Sequence[Value]) -> list[str] | None:
    found = [entry(value) for value in values]
    return None if None in found else sorted({each for each in found if each is not None})
