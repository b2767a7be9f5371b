"""Filters and orders: trees -> SQL with bound values, which means what `tracker.query.predicate` makes Python mean."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, String, and_, bindparam, false, func, not_, or_, select

from tracker.query import functions
from tracker.query.fields import FIELDS, Field, Kind
from tracker.query.functions import Bound
from tracker.query.pages import Key, Order, Sort
from tracker.query.tree import AFTER_ALL, BEFORE_ALL, And, Compare, In, IsNull, Moment, Node, Not, Or, Value, all_of, any_of
from tracker.stores import tables

_TASK = tables.task.c
Clause: TypeAlias = ColumnElement[bool]


def split(node: Node) -> tuple[Node | None, Node | None]:
    """What `clause` can say, and what is left to be decided on decoded rows; None is nothing. Joined by ``and`` they mean the node.

    Of ``a or b`` where only ``b`` is left, nothing can be said beforehand. Where both hold something that can be said, as in
    ``(state eq RUNNING and …) or (state eq PENDING and …)``, it is said, and the whole decided again on what that finds.
    """
    node = _pushed(node, negated=False)
    if _sayable(node):
        return node, None
    if not isinstance(node, And):
        return implied(node), node
    parts = [split(each) for each in node.nodes]
    said, left = ([part for part in side if part is not None] for side in zip(*parts, strict=True))
    return all_of(said) if said else None, all_of(left)


def _pushed(node: Node, *, negated: bool) -> Node:
    """The same with every ``not`` right before a comparison, which makes more parts of an ``and``."""
    if isinstance(node, Not):
        return _pushed(node.node, negated=not negated)
    if not isinstance(node, And | Or):
        return Not(node) if negated else node
    nodes = tuple(_pushed(each, negated=negated) for each in node.nodes)
    return And(nodes) if isinstance(node, And) is not negated else Or(nodes)


def _sayable(node: Node) -> bool:
    if isinstance(node, Not):
        return _sayable(node.node)
    return all(map(_sayable, node.nodes)) if isinstance(node, And | Or) else node.field.column != ""


def implied(node: Node) -> Node | None:
    """What can be said of all that match, if it is anything."""
    if _sayable(node):
        return node
    if isinstance(node, And):
        said = [part for each in node.nodes if (part := implied(each)) is not None]
        return all_of(said) if said else None
    if not isinstance(node, Or):
        return None
    ways = [implied(each) for each in node.nodes]
    return None if None in ways else any_of([way for way in ways if way is not None])


def clause(node: Node, *, negated: bool = False) -> Clause:
    """The WHERE clause of a filter, or of its opposite. Of fields that have a column only: see `split`.

    ``not`` is pushed down to the comparisons, where a null is asked for by name: SQL's NOT of an unknown would be unknown.
    """
    if isinstance(node, Not):
        return clause(node.node, negated=not negated)
    if isinstance(node, And):
        return (or_ if negated else and_)(*(clause(each, negated=negated) for each in node.nodes))
    if not isinstance(node, Compare | In | IsNull):
        return (and_ if negated else or_)(*(clause(each, negated=negated) for each in node.nodes))
    column = column_of(node.field)
    if isinstance(node, IsNull):
        if node.field.column in ("completed", "completion_status"):
            return _in_states(("COMPLETED",), negated=not negated)
        return column.is_not(None) if negated else column.is_(None)
    if isinstance(node, Compare) and node.op == "ne":
        node, negated = Compare(node.field, "eq", node.value), not negated
    if node.field is FIELDS["state"] and (isinstance(node, In) or node.op == "eq"):
        return _in_states(node.values if isinstance(node, In) else (node.value,), negated=negated)
    positive = _one_of(node) if isinstance(node, In) else _compare(node.field, node.op, node.value)
    if not negated:
        return functions.many(positive) if node.field.column == "completion_status" and _is_success(node) else positive
    return or_(column.is_(None), not_(positive)) if node.field.nullable else not_(positive)


def _in_states(states: tuple[Value, ...], *, negated: bool) -> Clause:
    """The state is one of these, or none of them.

    Tasks in flight are taken to be few, or SQLite would walk the index of a listing's order, past all that have ended, to find them. They
    are also those without a completionStatus, which no index has. What has ended is taken to be most, or SQLite would sort it all for one
    page of it (2 s in 200,000 tasks). There are no statistics: those of live tables would be of any moment, and plans with them.
    """
    wanted = [word for word in FIELDS["state"].words if (word in states) is not negated]
    found = _TASK.state == wanted[0] if len(wanted) == 1 else _TASK.state.in_(wanted)
    return functions.many(found) if "COMPLETED" in wanted else functions.few(found)


def _is_success(node: Compare | In) -> bool:
    return "SUCCESS" in node.values if isinstance(node, In) else (node.op, node.value) == ("eq", "SUCCESS")


def is_of_living(node: Node) -> bool:
    """Whether no deleted task can match, as all its columns but ``id`` and ``revision`` are null: no need to ask for that too."""
    if isinstance(node, And | Or):
        return (any if isinstance(node, And) else all)(map(is_of_living, node.nodes))
    if isinstance(node, Not):
        return isinstance(node.node, IsNull) and _is_null_in_deleted(node.node.field)
    return not isinstance(node, IsNull) and getattr(node, "op", "in") != "ne" and _is_null_in_deleted(node.field)


def _is_null_in_deleted(field: Field) -> bool:
    return field.column not in ("id", "revision")


def column_of(field: Field) -> ColumnElement[Any]:
    """A field's column, or what it is computed of."""
    if field.kind is Kind.DURATION:
        return functions.microseconds(_TASK.completed) - functions.microseconds(_TASK.launched)
    return _TASK[field.column]


def _one_of(node: In) -> Clause:
    if node.field.kind is Kind.TIME:
        return _at_one_of(_TASK[node.field.column], node.values)
    if node.field.kind is Kind.LABEL:
        return or_(*(_compare(node.field, "eq", value) for value in dict.fromkeys(node.values)))
    if node.field is FIELDS["launcher"]:
        return _launched_by(node.values)
    return _comparable(node.field, whole=True).in_(node.values)


def _at_one_of(column: ColumnElement[Any], values: tuple[Value, ...]) -> Clause:
    """A time has one of these beginnings. Not a range for each: 500 of them, some lists of them, are too deep an expression for SQLite."""
    by_length: dict[int, list[str]] = defaultdict(list)
    for value in values:
        if isinstance(value, Moment) and value not in (BEFORE_ALL, AFTER_ALL):
            by_length[len(value.prefix)].append(value.prefix)
    return or_(false(), *(functions.beginning(column, length).in_(prefixes) for length, prefixes in by_length.items()))


def _launched_by(folded: tuple[Value, ...]) -> Clause:
    """The launcher is one of these without case, found by an index that knows nothing of casefold.

    The launchers that there are, few, are read off the index by jumping from each to the next greater one; those that match are then
    looked up: 1 ms instead of 300 in 200,000 tasks.
    """
    inner = tables.task.alias().c.launcher
    each = select(func.min(inner).label("value")).cte(recursive=True)
    following = select(func.min(inner)).where(inner > each.c.value).scalar_subquery()
    each = each.union_all(select(following).where(each.c.value.is_not(None)))
    return _TASK.launcher.in_(select(each.c.value).where(functions.casefold(each.c.value).in_(folded)))


def _comparable(field: Field, *, whole: bool) -> ColumnElement[Any]:
    """The column as it compares. Of a word the whole is looked for as it is stored, so that its index serves; it is ASCII."""
    column = column_of(field)
    if field.kind is Kind.TEXT:
        return functions.casefold(column)
    return functions.lower(column) if field.kind is Kind.WORD and not whole else column


def _compare(field: Field, op: str, value: Value) -> Clause:
    if op == "eq" and field.kind is Kind.TEXT:
        return _one_of(In(field, (value,)))
    column = _comparable(field, whole=op == "eq")
    if field.kind is Kind.LABEL:
        return functions.labelled(column, str(value))
    if isinstance(value, Moment):
        low, beyond = (bindparam(None, Bound(value, beyond), type_=String) for beyond in (False, True))
        after, before = column >= low, column < beyond
        return {"eq": and_(after, before), "ge": after, "le": before, "gt": column >= beyond, "lt": column < low}[op]
    if op == "co":
        return functions.found_at(column, str(value)) > 0
    if op == "sw":
        starts = functions.found_at(column, str(value)) == 1
        # An id's index finds where the prefix begins and ends; a prefix that ends with the last code point has no simple end.
        bounded = field.kind is Kind.ID and str(value)[-1:] not in ("", "\U0010ffff", "\ud7ff")
        return and_(starts, column >= value, column < str(value)[:-1] + chr(ord(str(value)[-1]) + 1)) if bounded else starts
    return {"eq": column == value, "gt": column > value, "ge": column >= value, "lt": column < value, "le": column <= value}[op]


def after_clause(order: Order, key: Key) -> Clause:
    """The rows that come after the one with this key."""
    ways: list[Clause] = []
    same: list[Clause] = []
    for sort, value in zip(order, key, strict=True):
        column = column_of(sort.field)
        if value is not None:  # nulls are last: nothing comes after one
            later = column < value if sort.descending else column > value
            ways.append(and_(*same, or_(later, column.is_(None)) if sort.field.nullable else later))
        same.append(column.is_(None) if value is None else column == value)
    first, value = order[0], key[0]
    if first.field.nullable or value is None:
        return or_(*ways)
    # Follows from the rest, and gives the first column's index a place to begin.
    column = column_of(first.field)
    return and_(column <= value if first.descending else column >= value, or_(*ways))


def ordering(sort: Sort) -> ColumnElement[Any]:
    """The ORDER BY term: nulls last in both directions."""
    column = column_of(sort.field)
    ordered = column.desc() if sort.descending else column.asc()
    return ordered.nulls_last() if sort.field.nullable else ordered
