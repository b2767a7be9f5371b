"""Filters: a tree -> a Python function of a row, which means what `tracker.query.sql` makes the database mean."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from tracker.model.rows import Columns
from tracker.query.base import Row
from tracker.query.fields import Field, Kind
from tracker.query.filters import And, Compare, In, IsNull, Moment, Node, Not, Value

Predicate: TypeAlias = Callable[[Row], bool]

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
        return lambda row: not inner(row)
    if isinstance(node, Compare):
        return _compare(node)
    if isinstance(node, In):
        return _any([_test(node.field, "eq", value) for value in node.values])
    if isinstance(node, IsNull):
        read = reader(node.field)
        return lambda row: read(row) is None
    parts = [compile_predicate(each) for each in node.nodes]
    if isinstance(node, And):
        return lambda row: all(part(row) for part in parts)
    return _any(parts)


def reader(field: Field) -> Callable[[Row], Any]:
    """A function that gives the field's value."""
    if field.column == "id":
        return lambda row: row.id
    at = Columns._fields.index(field.column)
    return lambda row: cast("Columns", row.columns)[at]


def _any(parts: list[Predicate]) -> Predicate:
    return lambda row: any(part(row) for part in parts)


def _compare(node: Compare) -> Predicate:
    if node.op == "ne":
        equal = _test(node.field, "eq", node.value)
        return lambda row: not equal(row)
    return _test(node.field, node.op, node.value)


def _test(field: Field, op: str, value: Value) -> Predicate:
    read = reader(field)
    if isinstance(value, Moment):
        return _time_test(read, op, value)
    test = _TESTS[op]
    if field.kind in (Kind.TEXT, Kind.WORD):
        folded = str(value).casefold()
        return lambda row: (held := read(row)) is not None and test(held.casefold(), folded)
    return lambda row: (held := read(row)) is not None and test(held, value)


def _time_test(read: Callable[[Row], Any], op: str, moment: Moment) -> Predicate:
    low, beyond = moment.prefix, moment.beyond
    if op == "eq":
        return lambda row: (held := read(row)) is not None and low <= held < beyond
    # After the moment means after its last microsecond; up to it includes that.
    test, bound = {"gt": (operator.ge, beyond), "ge": (operator.ge, low), "lt": (operator.lt, low), "le": (operator.lt, beyond)}[op]
    return lambda row: (held := read(row)) is not None and test(held, bound)
