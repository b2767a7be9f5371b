r"""Filters: text in SailPoint's syntax -> a tree of frozen nodes.

``state eq "RUNNING" and (launcher sw "agg" or not completed lt 2026-01-31T09:30:00Z)``. ``not`` binds tighter than ``and``, that tighter
than ``or``. Operators are lower case; ``isnull`` stands after its field and ``pr`` (is not null) before it. Strings stand in double
quotes with ``\"`` and ``\\`` as the only escapes; the quotes may be left out where nothing but letters, digits and the like is inside.

Meaning, for every translation of the tree alike: each comparison is true or false, never unknown. One with a null is false, ``ne`` is
the opposite of ``eq`` (so true of a null), ``not`` the opposite of what it stands before.

Source: SailPoint's Standard Collection Parameters, "Filtering Results".
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from tracker.errors import FilterError
from tracker.model.times import to_utc
from tracker.query.fields import FIELDS, Field, Kind, suggestion

if TYPE_CHECKING:
    from lark import Lark, Token

MAX_LENGTH = 4_000
"""Characters of a filter: what fits into a URL."""
MAX_DEPTH = 32
"""Levels of the tree: both translations recurse over it."""
MAX_VALUES = 500
"""Values of one ``in``: two of them stay within SQLite's oldest limit of 999 bound values."""

GRAMMAR = r"""
?start: or_
?or_: and_ ("or" and_)*
?and_: unary ("and" unary)*
?unary: "not" unary       -> not_
      | "pr" WORD         -> present
      | "(" or_ ")"
      | WORD "isnull"     -> isnull
      | WORD op value     -> compare
      | WORD "in" "(" value ("," value)* ")" -> in_
?value: WORD | STRING
!op: "eq" | "ne" | "gt" | "ge" | "lt" | "le" | "co" | "sw"
STRING: /"(\\.|[^"\\])*"/s
WORD: /[^\s()",'\\]+/
%ignore /\s+/
"""

_OPERATORS = ("eq", "ne", "in", "gt", "ge", "lt", "le", "co", "sw", "isnull")
_SHOWN = {
    "WORD": "a field or value",
    "STRING": "a value",
    "LPAR": '"("',
    "RPAR": '")"',
    "COMMA": '","',
    "$END": "the end",
}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?")
_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
_FRACTION = re.compile(r"\.([0-9]+)")


class Moment(msgspec.Struct, frozen=True):
    """A time as the beginning of its text: to the millisecond (23 characters, UTC), as statuses show it; to the microsecond (26) where more
    than three digits were written. A task's time is compared to that precision.
    """

    prefix: str

    @property
    def beyond(self) -> str:
        """A text greater than every time that has the prefix and smaller than every later one (``~`` follows digits and ``Z``)."""
        return self.prefix + "~"


Value: TypeAlias = str | int | float | Moment


class Compare(msgspec.Struct, frozen=True, tag=True):
    """``field op value``. Text of a field that compares without case is casefolded, a word in upper case where whole."""

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


def parse(text: str, *, now: datetime | None = None, compatible: bool = False) -> Node:  # noqa: ARG001 - soon
    """The tree of a filter. FilterError: where it stands (position from 1), what was expected, what was found."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH:,} characters, not {len(text):,}", MAX_LENGTH + 1)
    if not text.strip():
        raise FilterError('the filter is empty; expected one such as state eq "RUNNING"', 1)
    try:
        tree: Any = _parser().parse(text)
    except UnexpectedToken as error:
        found, accepts = error.token, error.accepts or error.expected
        at = (found.start_pos or 0) + 1
        if found.type == "$END":
            raise _wrong(len(text) + 1, f"expected {_expected(accepts)}, found the end") from None
        hint = suggestion(found, _words(accepts)) if found.type == "WORD" else ""
        if found.type not in {"WORD", "STRING"} and found.isalpha() and {"WORD", "STRING"} <= accepts:
            hint = f'; the value "{found}" stands in double quotes'
        raise _wrong(at, f"expected {_expected(accepts)}, found {_quoted(found)}{hint}") from None
    except UnexpectedCharacters as error:
        at = cast("int", error.pos_in_stream)
        what = {'"': "a string that is not closed", "'": "a single quote; strings stand in double quotes"}.get(text[at], _quoted(text[at]))
        raise _wrong(at + 1, f"found {what}") from None
    except UnexpectedEOF:
        raise _wrong(len(text) + 1, "it ends too early") from None
    node: Node = tree
    if depth(node) > MAX_DEPTH:
        raise FilterError(f"a filter is at most {MAX_DEPTH} levels deep, not {depth(node)}", 1)
    return node


def depth(node: Node) -> int:
    """Levels of the tree; a comparison has one. Iterative, as it guards those that recurse."""
    deepest, waiting = 0, [(node, 1)]
    while waiting:
        inner, level = waiting.pop()
        deepest = max(deepest, level)
        if isinstance(inner, Not):
            waiting.append((inner.node, level + 1))
        elif isinstance(inner, And | Or):
            waiting.extend((each, level + 1) for each in inner.nodes)
    return deepest


@cache
def _parser() -> Lark:
    from lark import Lark

    # The basic lexer: a keyword is one wherever it stands, so that a forgotten value is seen where it was forgotten.
    return Lark(GRAMMAR, parser="lalr", lexer="basic", transformer=_builder(), propagate_positions=False)


def _builder() -> Any:
    from lark import Transformer, v_args

    @v_args(inline=True)
    class Builder(Transformer):  # type: ignore[type-arg]
        """Called by the parser with the parts of each rule, from the inside out."""

        def op(self, word: Token) -> Token:
            return word

        def compare(self, name: Token, op: Token, value: Token) -> Node:
            field = _field(name)
            _allowed(field, op)
            return Compare(field, str(op), _value(field, value, whole=op not in ("co", "sw", *_ORDER)))

        def in_(self, name: Token, *values: Token) -> Node:
            field = _field(name)
            if len(values) > MAX_VALUES:
                raise _wrong((values[MAX_VALUES].start_pos or 0) + 1, f'"in" takes at most {MAX_VALUES} values, not {len(values)}')
            return In(field, tuple(_value(field, value, whole=True) for value in values))

        def isnull(self, name: Token) -> Node:
            return IsNull(_field(name))

        def present(self, name: Token) -> Node:
            return Not(IsNull(_field(name)))

        def not_(self, node: Node) -> Node:
            return Not(node)

        def and_(self, *nodes: Node) -> Node:
            return And(nodes)

        def or_(self, *nodes: Node) -> Node:
            return Or(nodes)

    return Builder()


_ORDER = ("gt", "ge", "lt", "le")


def _field(name: Token) -> Field:
    field = FIELDS.get(name)
    if field is None:
        raise _wrong(
            (name.start_pos or 0) + 1, f'there is no field "{name}"{suggestion(name, FIELDS) or "; fields are " + ", ".join(FIELDS)}'
        )
    return field


def _allowed(field: Field, op: Token) -> None:
    if op not in field.kind.operators:
        can = ", ".join((*field.kind.operators, "isnull", "pr"))
        raise _wrong((op.start_pos or 0) + 1, f'{field.name} is a {field.kind.value} and has no "{op}"; it has {can}')


def _value(field: Field, token: Token, *, whole: bool) -> Value:
    at = (token.start_pos or 0) + 1
    text = _unquoted(token, at) if token.type == "STRING" else str(token)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _wrong(at, "the value is not Unicode text")
    if field.kind is Kind.TIME:
        return _moment(text, at)
    if field.kind is Kind.NUMBER:
        return _number(text, at)
    if token.type == "WORD" and text == "null":
        raise _wrong(at, f'null is no value; write "{field.name} isnull", or put the word in double quotes')
    if field.kind is Kind.WORD and whole:
        word = {each.casefold(): each for each in field.words}.get(text.casefold())
        if word is None:
            raise _wrong(at, f"expected one of {', '.join(field.words)}, found {_quoted(text)}{suggestion(text, field.words)}")
        return word
    return text if field.kind is Kind.ID else text.casefold()


def _unquoted(token: Token, at: int) -> str:
    def escaped(match: re.Match[str]) -> str:
        if match[1] not in '"\\':
            raise _wrong(at + 1 + match.start(), f'{_quoted(match[0])} is no escape; there are \\" and \\\\')
        return match[1]

    return _ESCAPE.sub(escaped, token[1:-1])


def _moment(text: str, at: int) -> Moment:
    if _DATE.fullmatch(text):
        text += "0000-01-01"[len(text) :] + "T00:00:00Z"
    try:
        utc = to_utc(text.replace(",", "."))
    except ValueError as error:
        raise _wrong(at, f"{_quoted(text)} is no time: {error}") from None
    fraction = _FRACTION.search(text)
    return Moment(utc if fraction and len(fraction[1]) > 3 else utc[:23])


def _number(text: str, at: int) -> int | float:
    if _INTEGER.fullmatch(text):
        number = int(text)
        return number if -(2**63) <= number < 2**63 else float(number)
    if not _NUMBER.fullmatch(text):
        raise _wrong(at, f"expected a number, found {_quoted(text)}")
    return float(text)


def _expected(accepts: set[str]) -> str:
    if {"WORD", "STRING"} <= accepts:
        return "a value"
    if "WORD" in accepts:
        return 'a field, "not", "pr" or "("' if "LPAR" in accepts else "a field"
    if "EQ" in accepts:
        return f"an operator ({', '.join(_OPERATORS)})"
    return " or ".join(_SHOWN.get(name, f'"{name.lower()}"') for name in sorted(accepts))


def _words(accepts: set[str]) -> list[str]:
    return [name.lower() for name in accepts if name.lower() in (*_OPERATORS, "and", "or")]


def _quoted(text: str) -> str:
    shown = text if len(text) <= 40 else text[:37] + "..."
    return shown if shown[:1] == '"' else f'"{shown}"'


def _wrong(position: int, what: str) -> FilterError:
    return FilterError(f"filter, position {position}: {what}", position)
