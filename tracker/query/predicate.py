"""Filters: a tree -> a Python function of a row, which means what `tracker.query.clauses` makes the database mean."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias, cast

from tracker.model.rows import Columns
from tracker.query import decoded
from tracker.query.base import Row
from tracker.query.fields import Field, Kind
from tracker.query.tree import And, Compare, In, IsNull, Moment, Node, Not, Value

Predicate: TypeAlias = Callable[[Row], bool]
Test: TypeAlias = Callable[[Any], bool]
"""Whether a value that is not null passes."""

_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "co": operator.contains,
    "sw": str.startswith,
}
_MICROSECOND = timedelta(microseconds=1)


def compile_predicate(node: Node) -> Predicate:
    """Whether a task that is not deleted matches."""
    if isinstance(node, Not):
        inner = compile_predicate(node.node)
        return lambda row: not inner(row)
    if isinstance(node, Compare):
        if node.op == "ne":
            return compile_predicate(Not(Compare(node.field, "eq", node.value)))
        return _passes(node.field, _test(node.field, node.op, node.value))
    if isinstance(node, In):
        tests = [_test(node.field, "eq", value) for value in node.values]
        return _passes(node.field, lambda held: any(test(held) for test in tests))
    if isinstance(node, IsNull):
        there = _passes(node.field, lambda _held: True)
        return lambda row: not there(row)
    parts = [compile_predicate(each) for each in node.nodes]
    if isinstance(node, And):
        return lambda row: all(part(row) for part in parts)
    return lambda row: any(part(row) for part in parts)


def reader(field: Field) -> Callable[[Row], Any]:
    """A function that gives the value of a field that has one."""
    if field.kind is Kind.DURATION:
        return _took
    if not field.column:
        of_state = decoded.one(field)
        return lambda row: of_state(row.state)
    if field.column in ("id", "revision"):
        return cast("Callable[[Row], Any]", operator.attrgetter(field.column))
    at = Columns._fields.index(field.column)
    return lambda row: cast("Columns", row.columns)[at]


def label(name: str) -> str:
    """A name as SailPoint's enumerated words are written: ``Cloud Account Aggregation`` is ``CLOUD_ACCOUNT_AGGREGATION``."""
    return re.sub("[^A-Za-z0-9]+", "_", name).upper()


def _passes(field: Field, test: Test) -> Predicate:
    if field.many:
        values = decoded.many(field)
        return lambda row: any(map(test, values(row.state)))
    read = reader(field)
    return lambda row: (held := read(row)) is not None and test(held)


def _test(field: Field, op: str, value: Value) -> Test:
    if isinstance(value, Moment):
        return _time_test(op, value)
    test = _TESTS[op]
    if field.kind is Kind.JSON:
        return _json_test(test, value)
    if field.kind is Kind.LABEL:
        return lambda held: label(held) == value
    if field.kind in (Kind.TEXT, Kind.WORD):
        folded = str(value).casefold()
        return lambda held: test(held.casefold(), folded)
    return lambda held: test(held, value)


def _json_test(test: Callable[[Any, Any], bool], value: Value) -> Test:
    """A value of another JSON type passes no test; 1 and 1.0 are of one."""
    if isinstance(value, str):
        return lambda held: isinstance(held, str) and test(held.casefold(), value)
    if isinstance(value, bool):
        return lambda held: held is value
    return lambda held: type(held) in (int, float) and test(held, value)


def _time_test(op: str, moment: Moment) -> Test:
    low, beyond = moment.prefix, moment.beyond
    if op == "eq":
        return lambda held: low <= held < beyond
    # After the moment means after its last microsecond; up to it includes that.
    test, bound = {"gt": (operator.ge, beyond), "ge": (operator.ge, low), "lt": (operator.lt, low), "le": (operator.lt, beyond)}[op]
    return lambda held: test(held, bound)


def _took(row: Row) -> int | None:
    columns = cast("Columns", row.columns)
    if columns.launched is None or columns.completed is None:
        return None
    return (datetime.fromisoformat(columns.completed) - datetime.fromisoformat(columns.launched)) // _MICROSECOND
