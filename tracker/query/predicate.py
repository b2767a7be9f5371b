"""Filters: a tree -> a Python function of a task's id and columns, which means what `tracker.query.sql` makes the database mean."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

from tracker.model.rows import Columns
from tracker.query.fields import Field, Kind
from tracker.query.filters import And, Compare, In, IsNull, Moment, Node, Not, Value

Predicate: TypeAlias = Callable[[str, Columns], bool]

_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "co": operator.contains,
    "sw": str.startswith,
}


def compile_predicate(node: Node) -> Predicate:
    """Whether a task that is not deleted matches."""
    if isinstance(node, Not):
        inner = compile_predicate(node.node)
        return lambda id, row: not inner(id, row)
    if isinstance(node, Compare):
        return _compare(node)
    if isinstance(node, In):
        return _any([_test(node.field, "eq", value) for value in node.values])
    if isinstance(node, IsNull):
        read = reader(node.field)
        return lambda id, row: read(id, row) is None
    parts = [compile_predicate(each) for each in node.nodes]
    if isinstance(node, And):
        return lambda id, row: all(part(id, row) for part in parts)
    return _any(parts)


def reader(field: Field) -> Callable[[str, Columns], Any]:
    """A function that gives the field's value."""
    if field.column == "id":
        return lambda id, _row: id
    at = Columns._fields.index(field.column)
    return lambda _id, row: row[at]


def _any(parts: list[Predicate]) -> Predicate:
    return lambda id, row: any(part(id, row) for part in parts)


def _compare(node: Compare) -> Predicate:
    if node.op == "ne":
        equal = _test(node.field, "eq", node.value)
        return lambda id, row: not equal(id, row)
    return _test(node.field, node.op, node.value)


def _test(field: Field, op: str, value: Value) -> Predicate:
    read = reader(field)
    if isinstance(value, Moment):
        return _time_test(read, op, value)
    test = _TESTS[op]
    if field.kind in (Kind.TEXT, Kind.WORD):
        folded = str(value).casefold()
        return lambda id, row: (held := read(id, row)) is not None and test(held.casefold(), folded)
    return lambda id, row: (held := read(id, row)) is not None and test(held, value)


def _time_test(read: Callable[[str, Columns], Any], op: str, moment: Moment) -> Predicate:
    low, beyond = moment.prefix, moment.beyond
    if op == "eq":
        return lambda id, row: (held := read(id, row)) is not None and low <= held < beyond
    # After the moment means after its last microsecond; up to it includes that.
    test, bound = {"gt": (operator.ge, beyond), "ge": (operator.ge, low), "lt": (operator.lt, low), "le": (operator.lt, beyond)}[op]
    return lambda id, row: (held := read(id, row)) is not None and test(held, bound)
