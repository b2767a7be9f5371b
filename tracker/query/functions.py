"""What filters ask of the database beyond comparisons: the one place that differs from database to database.

SQLite lacks some of it, and is given it by `register`. In PostgreSQL ``instr`` is ``strpos``, the operator ``REGEXP`` is ``~``, and a
number of microseconds is ``extract(epoch FROM …) * 1000000``, which is exact there.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, UnaryExpression, and_, cast, func, literal_column
from sqlalchemy.sql.operators import custom_op


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that SQLite lacks."""
    connection.create_function("casefold", 1, _casefold, deterministic=True)
    connection.create_function("regexp", 2, _regexp, deterministic=True)


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _regexp(pattern: str, text: str | None) -> bool | None:
    return None if text is None else re.fullmatch(pattern, text) is not None


def few(clause: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same, and a word to SQLite, which keeps no statistics here: few rows are so."""
    return func.unlikely(clause)  # not said to be a boolean, of which SQLAlchemy would ask whether it is 1, and no index be seen


def many(clause: ColumnElement[bool]) -> ColumnElement[bool]:
    """Likewise: most rows are so, and an index of them is no way to find few."""
    return func.likelihood(clause, literal_column("1.0"))  # likely() says 15 of 16, which a partial index would outweigh


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same value, for which SQLite looks at no index: to group by one it would read every task in the index's order, not the tasks'."""
    return UnaryExpression(column, operator=custom_op("+"))


def casefold(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Unicode's casefold, as Python has it."""
    return func.casefold(text)


def lower(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of ASCII text."""
    return func.lower(text)


def found_at(text: ColumnElement[Any], part: str) -> ColumnElement[int]:
    """Where the part first stands in the text, from 1; 0 if it does not."""
    return func.instr(text, part)


def microseconds(time: ColumnElement[Any]) -> ColumnElement[int]:
    """Since 1970, exactly: whole seconds by the calendar, and the six digits after them."""
    seconds = cast(func.strftime("%s", func.substr(time, 1, 19)), BigInteger)
    return seconds * 1_000_000 + cast(func.substr(time, 21, 6), Integer)


def labelled(text: ColumnElement[Any], label: str) -> ColumnElement[bool]:
    """`tracker.query.predicate.label` of the text is this one. Told by a pattern without case flags, which differ in what they fold;
    that the words are in it is asked first, which costs a fraction of a pattern.
    """
    words = label.split("_")
    each = ("".join(f"[{letter}{letter.lower()}]" for letter in word) for word in words)
    pattern = "^" + "[^A-Za-z0-9]+".join(each) + "$"
    return and_(*(found_at(lower(text), word.lower()) > 0 for word in words), text.regexp_match(pattern))
