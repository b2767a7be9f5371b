"""Filters: text -> a tree of frozen nodes. `tracker.query.grammar` has the syntax, `tracker.query.tree` the nodes and what they mean.

What counts from now is written out here, as comparisons with times: who asks gives the time, nothing later looks at a clock.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tracker.query import values
from tracker.query.fields import CLOCKED, COMPATIBLE_TYPE, DOCUMENTS, FIELDS, KNOWN, PARTS, TOOK, Field, Kind, suggestion
from tracker.query.grammar import Leaf, Syntax, position, quoted, read, unquoted, wrong
from tracker.query.tree import And, Compare, In, IsNull, Moment, Node, Not, Or, Value, all_of, any_of

if TYPE_CHECKING:
    from lark import Token

__all__ = ["MAX_VALUES", "And", "Compare", "In", "IsNull", "Moment", "Node", "Not", "Or", "Value", "parse"]

MAX_VALUES = 500
"""Values of one list: some of them stay within SQLite's oldest limit of 999 bound values."""

_NAMES = (*KNOWN, *(f"{document}.KEY" for document in DOCUMENTS))
_KEY = re.compile(r'("(?:\\.|[^"\\])*"|[^".]+)(\.|$)', re.DOTALL)
_EARLIER = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}
"""What a time is, where the time since then is greater, and so on."""


def parse(text: str, *, now: datetime | None = None, compatible: bool = False) -> Node:
    """The tree of a filter. FilterError: where it stands (position from 1), what was expected, what was found.

    ``now``, with a zone, is what ``now-10m``, ``silence`` and ``duration`` count from. With ``compatible``, ``type`` is what SailPoint's
    filters mean by it (`tracker.query.fields.COMPATIBLE_TYPE`).
    """
    return _Meaning(now, compatible).node(read(text))


class _Meaning(msgspec.Struct):
    """What the parts of one filter mean."""

    now: datetime | None
    compatible: bool

    def node(self, syntax: Syntax) -> Node:
        if isinstance(syntax, Leaf):
            return self.comparison(syntax)
        parts = tuple(map(self.node, syntax.parts))
        if syntax.word == "not":
            return Not(parts[0])
        return And(parts) if syntax.word == "and" else Or(parts)

    def comparison(self, leaf: Leaf) -> Node:
        field, op = self.field(leaf.name), str(leaf.op)
        if op in ("isnull", "pr"):
            nothing = IsNull(_NULL_WITH.get(field.name, field))
            return nothing if op == "isnull" else Not(nothing)
        if op not in field.operators:
            can = ", ".join((*field.operators, "isnull", "pr"))
            raise wrong(position(leaf.op), f'{field.name} is a {field.kind.value} and has no "{op}"; it has {can}')
        if len(leaf.values) > MAX_VALUES:
            raise wrong(position(leaf.values[MAX_VALUES]), f'"{op}" takes at most {MAX_VALUES} values, not {len(leaf.values)}')
        if field.name in CLOCKED:
            return self.since(field, op, leaf.values)
        if op == "in":
            some = tuple(value for token in leaf.values if (value := self.value(field, op, token)) is not None)
            ways: list[Node] = [In(field, some)] if some else []
            return any_of([*ways, IsNull(field)] if len(some) < len(leaf.values) else ways)
        return all_of([self.compared(field, "eq" if op == "ca" else op, token) for token in leaf.values])

    def compared(self, field: Field, op: str, token: Token) -> Node:
        value = self.value(field, op, token)
        if value is None:
            return IsNull(field) if op == "eq" else Not(IsNull(field))
        return Compare(field, op, value)

    def since(self, field: Field, op: str, tokens: tuple[Token, ...]) -> Node:
        """``silence`` and ``duration``: time that went by until now is a time that was earlier."""
        lengths = [values.duration(_text(token), position(token)) for token in tokens]
        moments = tuple(values.since(self.now, -length, position(token)) for length, token in zip(lengths, tokens, strict=True))
        of_field = FIELDS["modified" if field.name == "silence" else "launched"]
        earlier = _either(of_field, _EARLIER.get(op, "in"), moments)
        if field.name == "duration":
            earlier = Or((And((IsNull(FIELDS["completed"]), earlier)), _either(TOOK, op if op in _EARLIER else "in", tuple(lengths))))
        return Not(earlier) if op == "ne" else earlier

    def field(self, token: Token) -> Field:
        name, at = str(token), position(token)
        if self.compatible and name == COMPATIBLE_TYPE.name:
            return COMPATIBLE_TYPE
        if name in KNOWN:
            return KNOWN[name]
        for document in DOCUMENTS:
            if name == document or name.startswith(document + "."):
                return Field(name, "", Kind.JSON, nullable=True, many=True, keys=_keys(document, name, at))
        raise wrong(at, f"there is no field {quoted(name)}{suggestion(name, _NAMES) or '; fields are ' + ', '.join(_NAMES)}")

    def value(self, field: Field, op: str, token: Token) -> Value | None:
        """None for the null that only a JSON value is compared with."""
        text, at = _text(token), position(token)
        if field.kind is Kind.TIME:
            return values.moment(text, at, self.now)
        if field.kind is Kind.NUMBER:
            return values.number(text, at)
        if token.type == "WORD" and text == "null":
            if field.kind is Kind.JSON and op in ("eq", "ne", "in"):
                return None
            raise wrong(at, f'null is no value; write "{field.name} isnull", or put the word in double quotes')
        if field.kind is Kind.JSON and token.type == "WORD" and op not in PARTS:
            return _json(field, op, text, at)
        if field.kind is Kind.LABEL or (field.kind is Kind.WORD and op in ("eq", "ne", "in")):
            return _word(field, text, at)
        return text if field.kind is Kind.ID else text.casefold()


_NULL_WITH = {"duration": FIELDS["launched"], "silence": FIELDS["modified"]}
"""What is null exactly where these are."""


def _either(field: Field, op: str, of: tuple[Value, ...]) -> Node:
    if op == "in":
        return Compare(field, "eq", of[0]) if len(of) == 1 else In(field, of)
    return Compare(field, op, of[0])


def _text(token: Token) -> str:
    at = position(token)
    text = unquoted(token, at) if token.type == "STRING" else str(token)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise wrong(at, "the value is not Unicode text")
    return text


def _json(field: Field, op: str, text: str, at: int) -> Value:
    value = values.json_value(text)
    if isinstance(value, bool) and op not in ("eq", "ne", "in"):
        raise wrong(at, f'{text} is neither more nor less than another; write "{field.name} eq {text}", or put the word in double quotes')
    return value.casefold() if isinstance(value, str) else value


def _word(field: Field, text: str, at: int) -> str:
    word = {each.casefold(): each for each in field.words}.get(text.casefold())
    if word is not None:
        return word
    near = suggestion(text, field.words)
    if field.kind is Kind.LABEL:  # as SailPoint says it
        shown = quoted(text)[1:].removesuffix('"')
        raise wrong(at, f"Error converting Enumerated string (type) value ({shown}); expected one of {', '.join(field.words)}{near}")
    raise wrong(at, f"expected one of {', '.join(field.words)}, found {quoted(text)}{near}")


def _keys(document: str, name: str, at: int) -> tuple[str, ...]:
    """The keys of ``attributes.KEY.MEMBER``: a dot goes inside, and one that belongs to a key stands in quotes with it."""
    keys, here, more = [], len(document) + 1, True
    while more:
        match = _KEY.match(name, here)
        if match is None:
            raise wrong(at + min(here, len(name)), f'expected a key, as in {document}.KEY or {document}."any key"')
        keys.append(unquoted(match[1], at + here) if match[1][0] == '"' else match[1])
        here, more = match.end(), match[2] == "."
    return tuple(keys)
