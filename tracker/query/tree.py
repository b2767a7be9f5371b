"""The tree of a filter: frozen nodes, which `tracker.query.clauses` makes SQL of and `tracker.query.predicate` Python.

Meaning, for every translation alike: each comparison is true or false, never unknown. One with a null is false, ``ne`` is the opposite
of ``eq`` (so true of a null), ``Not`` the opposite of what it stands before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from tracker.query.fields import Field


class Moment(msgspec.Struct, frozen=True):
    """A time as the beginning of its text: to the millisecond (23 characters, UTC), as statuses show it; to the microsecond (26) where more
    than three digits were written. A task's time is compared to that precision.
    """

    prefix: str

    @property
    def beyond(self) -> str:
        """A text greater than every time that has the prefix and smaller than every later one (``~`` follows digits and ``Z``)."""
        return self.prefix + "~"


BEFORE_ALL = Moment("0000")
AFTER_ALL = Moment("9999~")
"""Where counting from now leaves the years 0001 to 9999: a moment before, or after, every time."""

Value: TypeAlias = str | int | float | bool | Moment


class Compare(msgspec.Struct, frozen=True, tag=True):
    """``field op value``; op is eq, ne, gt, ge, lt, le, co or sw. Text of a field that compares without case is casefolded, a whole word
    as it is stored; of a JSON value the type is that of the literal.
    """

    field: Field
    op: str
    value: Value


class In(msgspec.Struct, frozen=True, tag=True):
    """``field in (values)``: ``eq`` with one of them."""

    field: Field
    values: tuple[Value, ...]


class IsNull(msgspec.Struct, frozen=True, tag=True):
    """``field isnull``; ``pr field`` is its ``Not``."""

    field: Field


class Not(msgspec.Struct, frozen=True, tag=True):
    """The opposite."""

    node: Node


class And(msgspec.Struct, frozen=True, tag=True):
    """All of two or more."""

    nodes: tuple[Node, ...]


class Or(msgspec.Struct, frozen=True, tag=True):
    """At least one of two or more."""

    nodes: tuple[Node, ...]


Node: TypeAlias = Compare | In | IsNull | Not | And | Or


def all_of(nodes: list[Node]) -> Node:
    """One or more nodes joined by ``and``."""
    return nodes[0] if len(nodes) == 1 else And(tuple(nodes))


def any_of(nodes: list[Node]) -> Node:
    """One or more nodes joined by ``or``."""
    return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))


def comparisons(node: Node) -> Iterator[Compare | In]:
    """Those of a filter, wherever they stand in it."""
    if isinstance(node, And | Or):
        for each in node.nodes:
            yield from comparisons(each)
    elif isinstance(node, Not):
        yield from comparisons(node.node)
    elif isinstance(node, Compare | In):
        yield node
