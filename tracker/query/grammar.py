r"""Filters: text in SailPoint's syntax -> what it says, before any field or value is looked at.

``state eq "RUNNING" and (launcher sw "agg" or not completed lt 2026-01-31T09:30:00Z)``. ``not`` binds tighter than ``and``, that tighter
than ``or``. Operators are lower case; ``isnull`` stands after its field and ``pr`` (is not null) before it. Strings stand in double
quotes with ``\"`` and ``\\`` as the only escapes; the quotes may be left out where nothing but letters, digits and the like is inside.

Source: SailPoint's Standard Collection Parameters, "Filtering Results".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from tracker.errors import FilterError
from tracker.query.fields import suggestion

if TYPE_CHECKING:
    from lark import Lark, Token

MAX_LENGTH = 4_000
"""Characters of a filter: what fits into a URL."""
MAX_DEPTH = 32
"""Levels as written: all that is done with a tree recurses over it."""

GRAMMAR = r"""
?start: or_
?or_: and_ ("or" and_)*
?and_: unary ("and" unary)*
?unary: "not" unary          -> not_
      | "(" or_ ")"
      | PR name              -> present
      | name ISNULL          -> leaf
      | name op value        -> leaf
      | name lists "(" value ("," value)* ")" -> leaf
?name: WORD | KEYED
?value: WORD | STRING
!op: "eq" | "ne" | "gt" | "ge" | "lt" | "le" | "co" | "sw"
!lists: "in" | "ca"
PR: "pr"
ISNULL: "isnull"
STRING: /"(\\.|[^"\\])*"/s
KEYED.1: /[^\s()",'\\]+\."(\\.|[^"\\])*"(\.([^\s()",'\\.]+|"(\\.|[^"\\])*"))*/s
WORD: /[^\s()",'\\]+/
%ignore /\s+/
"""
"""``KEYED`` is a field with a key in quotes, such as ``attributes."any key"``."""

_OPERATORS = ("eq", "ne", "in", "gt", "ge", "lt", "le", "co", "sw", "ca", "isnull")
_SHOWN = {
    "WORD": "a field or value",
    "STRING": "a value",
    "LPAR": '"("',
    "RPAR": '")"',
    "COMMA": '","',
    "$END": "the end",
}
_AFTER_PLUS = re.compile(r"[0-9][0-9.:]*(ms|[smhd])?")
"""What is left of ``now+1h`` or a time's offset where a URL's plus was read as a space."""
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Leaf(msgspec.Struct):
    """One comparison as written; ``isnull`` and ``pr`` have no values, ``in`` and ``ca`` one or more, all others one."""

    name: Token
    op: Token
    values: tuple[Token, ...]


class Branch(msgspec.Struct):
    """Comparisons joined by ``and`` or ``or``; or ``not`` one."""

    word: str
    parts: tuple[Syntax, ...]


Syntax: TypeAlias = Leaf | Branch


def read(text: str) -> Syntax:
    """What a filter says. FilterError: too long, too deep, or against the grammar."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH:,} characters, not {len(text):,}", MAX_LENGTH + 1)
    if not text.strip():
        raise FilterError('the filter is empty; expected one such as state eq "RUNNING"', 1)
    try:
        parsed: Any = _parser().parse(text)
    except UnexpectedToken as error:
        raise _unexpected(error.token, error.accepts or error.expected, len(text)) from None
    except UnexpectedCharacters as error:
        at = cast("int", error.pos_in_stream)
        what = {'"': "a string that is not closed", "'": "a single quote; strings stand in double quotes"}.get(text[at], quoted(text[at]))
        raise wrong(at + 1, f"found {what}") from None
    except UnexpectedEOF:
        raise wrong(len(text) + 1, "it ends too early") from None
    syntax: Syntax = parsed
    if depth(syntax) > MAX_DEPTH:
        raise FilterError(f"a filter is at most {MAX_DEPTH} levels deep, not {depth(syntax)}", 1)
    return syntax


def conjuncts(text: str) -> list[str]:
    """The parts of a valid filter that mean it when they are joined by ``and``, as they are written; in parentheses what is joined by ``or``."""
    begun, parts = 0, list[str]()
    for token in _outermost(text):
        if token.type == "OR":
            return [f"({text.strip()})"]
        if token.type == "AND":
            parts.append(text[begun : token.start_pos].strip())
            begun = (token.start_pos or 0) + len(token)
    return [*parts, text[begun:].strip()]


def _outermost(text: str) -> Iterator[Token]:
    depth = 0
    for token in _parser().lex(text):
        depth += {"LPAR": 1, "RPAR": -1}.get(token.type, 0)
        if not depth:
            yield token


def depth(syntax: Syntax) -> int:
    """Levels as written; a comparison has one. Iterative, as it guards those that recurse."""
    deepest, waiting = 0, [(syntax, 1)]
    while waiting:
        inner, level = waiting.pop()
        deepest = max(deepest, level)
        if isinstance(inner, Branch):
            waiting.extend((part, level + 1) for part in inner.parts)
    return deepest


@cache
def _parser() -> Lark:
    from lark import Lark, Transformer, v_args

    @v_args(inline=True)
    class Builder(Transformer):  # type: ignore[type-arg]
        """Called by the parser with the parts of each rule, from the inside out."""

        def op(self, word: Token) -> Token:
            return word

        lists = op

        def leaf(self, name: Token, op: Token, *values: Token) -> Syntax:
            return Leaf(name, op, values)

        def present(self, op: Token, name: Token) -> Syntax:
            return Leaf(name, op, ())

        def not_(self, part: Syntax) -> Syntax:
            return Branch("not", (part,))

        def and_(self, *parts: Syntax) -> Syntax:
            return Branch("and", parts)

        def or_(self, *parts: Syntax) -> Syntax:
            return Branch("or", parts)

    # The basic lexer: a keyword is one wherever it stands, so that a forgotten value is seen where it was forgotten.
    return Lark(GRAMMAR, parser="lalr", lexer="basic", transformer=Builder(), propagate_positions=False)


def _unexpected(found: Token, accepts: set[str], length: int) -> FilterError:
    if found.type == "$END":
        return wrong(length + 1, f"expected {_expected(accepts)}, found the end")
    words = [name.lower() for name in accepts if name.lower() in (*_OPERATORS, "and", "or")]
    hint = suggestion(found, words) if found.type == "WORD" else ""
    if found.type == "WORD" and "AND" in accepts and _AFTER_PLUS.fullmatch(found):
        hint = '; in a URL a "+" is written %2B'
    if found.type not in {"WORD", "STRING"} and found.isalpha() and {"WORD", "STRING"} <= accepts:
        hint = f'; the value "{found}" stands in double quotes'
    return wrong(position(found), f"expected {_expected(accepts)}, found {quoted(found)}{hint}")


def _expected(accepts: set[str]) -> str:
    if {"WORD", "STRING"} <= accepts:
        return "a value"
    if "WORD" in accepts:
        return 'a field, "not", "pr" or "("' if "LPAR" in accepts else "a field"
    if "EQ" in accepts:
        return f"an operator ({', '.join(_OPERATORS)})"
    return " or ".join(_SHOWN.get(name, f'"{name.lower()}"') for name in sorted(accepts))


def unquoted(text: str, at: int) -> str:
    """What a string in its quotes says; ``at`` is its position in the filter."""

    def escaped(match: re.Match[str]) -> str:
        if match[1] not in '"\\':
            raise wrong(at + 1 + match.start(), f'{quoted(match[0])} is no escape; there are \\" and \\\\')
        return match[1]

    return _ESCAPE.sub(escaped, text[1:-1])


def quoted(text: str) -> str:
    """Text as an error shows it."""
    shown = text if len(text) <= 40 else text[:37] + "..."
    return shown if shown[:1] == '"' else f'"{shown}"'


def position(token: Token) -> int:
    """Where a token begins, from 1."""
    return (token.start_pos or 0) + 1


def wrong(position: int, what: str) -> FilterError:
    """The error that says where it is, and what."""
    return FilterError(f"filter, position {position}: {what}", position)
