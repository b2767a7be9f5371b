"""What filters ask of the database beyond comparisons: the one place that differs from database to database.

Each is a function of columns that SQLAlchemy writes in the words of the database at hand. SQLite lacks some of it, and is given it by
`register`; a PostgreSQL store has its own ``casefold``.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Integer, String, UnaryExpression, and_, cast, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.types import NullType

from tracker.query.tree import AFTER_ALL, BEFORE_ALL, Moment
from tracker.stores import tables


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that SQLite lacks."""
    connection.create_function("casefold", 1, _casefold, deterministic=True)
    connection.create_function("regexp", 2, _regexp, deterministic=True)


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _regexp(pattern: str, text: str | None) -> bool | None:
    return None if text is None else re.fullmatch(pattern, text) is not None


class _InSqlite(FunctionElement[Any]):
    """What is said to SQLite alone; to another database it is its first argument."""

    inherit_cache = True
    type = NullType()  # not said to be a boolean, of which SQLAlchemy would ask whether it is 1, and no index be seen

    def __init__(self, argument: ColumnElement[Any], said: ColumnElement[Any]) -> None:
        super().__init__(argument, said)


@compiles(_InSqlite)
def _its_argument(element: _InSqlite, compiler: SQLCompiler, **words: Any) -> str:
    argument, _ = element.clauses
    return f"({compiler.process(argument, **words)})"


@compiles(_InSqlite, "sqlite")
def _what_is_said(element: _InSqlite, compiler: SQLCompiler, **words: Any) -> str:
    _, said = element.clauses
    return compiler.process(said, **words)


def few(clause: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same, and a word to SQLite, which keeps no statistics here: few rows are so."""
    return _InSqlite(clause, func.unlikely(clause))


def many(clause: ColumnElement[bool]) -> ColumnElement[bool]:
    """Likewise: most rows are so, and an index of them is no way to find few."""
    return _InSqlite(clause, func.likelihood(clause, literal_column("1.0")))  # likely() says 15 of 16, which a partial index would outweigh


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same value, for which SQLite looks at no index: to group by one it would read every task in the index's order, not the tasks'."""
    return _InSqlite(column, UnaryExpression(column, operator=custom_op("+")))


class _Call(FunctionElement[Any]):
    """A call that each database writes in its own way; SQLite's is the first argument."""

    inherit_cache = True

    def __init__(self, in_sqlite: ColumnElement[Any], *arguments: ColumnElement[Any]) -> None:
        super().__init__(in_sqlite, *arguments)
        self.type = in_sqlite.type


@compiles(_Call)
def _in_sqlite(element: _Call, compiler: SQLCompiler, **words: Any) -> str:
    return compiler.process(next(iter(element.clauses)).self_group(operators.mul), **words)


def _in_postgres(call: type[_Call], written: Callable[..., str]) -> None:
    """How a call is written in PostgreSQL, of its arguments' texts."""

    @compiles(call, "postgresql")
    def _written(element: _Call, compiler: SQLCompiler, **words: Any) -> str:
        _, *arguments = (compiler.process(each, **words) for each in element.clauses)
        return written(compiler, *arguments)


class _Casefold(_Call):
    inherit_cache = True


class _FoundAt(_Call):
    inherit_cache = True


class _Microseconds(_Call):
    inherit_cache = True


class _Beginning(_Call):
    inherit_cache = True


class _Plain(_Call):
    inherit_cache = True


def _schema(compiler: SQLCompiler) -> str:
    """The store's schema, with the dot."""
    return compiler.preparer.format_table(tables.task).removesuffix("task")


_PARTS = {10: "day", 13: "hour", 16: "minute", 19: "second", 23: "milliseconds", 26: "microseconds"}
"""What the beginning of a time's text names, by its length."""
_in_postgres(_Casefold, lambda compiler, text: f"{_schema(compiler)}casefold({text})")
_in_postgres(_FoundAt, lambda _, text, part: f"strpos({text}, {part})")
_in_postgres(_Microseconds, lambda _, time: f"CAST(extract(epoch FROM {time}) * 1000000 AS BIGINT)")
_in_postgres(_Beginning, lambda _, time, length: f"date_trunc('{_PARTS[int(length)]}', {time} AT TIME ZONE 'UTC')")
_in_postgres(_Plain, lambda _, time: f"({time} AT TIME ZONE 'UTC')")


def casefold(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Unicode's casefold, as Python has it."""
    return _Casefold(func.casefold(text, type_=String), text)


def lower(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of ASCII text."""
    return func.lower(text)


def found_at(text: ColumnElement[Any], part: str) -> ColumnElement[int]:
    """Where the part first stands in the text, from 1; 0 if it does not."""
    place = func.instr(text, part, type_=Integer)
    return _FoundAt(place, *place.clauses)


def microseconds(time: ColumnElement[Any]) -> ColumnElement[int]:
    """Since 1970, exactly: whole seconds by the calendar, and the six digits after them."""
    seconds = cast(func.strftime("%s", func.substr(time, 1, 19)), BigInteger)
    return _Microseconds(seconds * 1_000_000 + cast(func.substr(time, 21, 6), Integer), time)


def beginning(time: ColumnElement[Any], length: int) -> ColumnElement[Any]:
    """A time's first characters, 10 to 26 of them: a text in SQLite, a moment in PostgreSQL. See `plain`."""
    return _Beginning(func.substr(time, 1, length, type_=String), time, literal_column(str(length)))


def plain(column: ColumnElement[Any], value: ColumnElement[Any] | None = None) -> ColumnElement[Any]:
    """The column, or a value of its kind, as it is to be read: times of PostgreSQL in UTC, whatever zone its session is in."""
    value = column if value is None else value
    return _Plain(value, value) if column.key in tables.TIMES else value


def labelled(text: ColumnElement[Any], label: str) -> ColumnElement[bool]:
    """`tracker.query.predicate.label` of the text is this one. Told by a pattern without case flags, which differ in what they fold;
    that the words are in it is asked first, which costs a fraction of a pattern.
    """
    words = label.split("_")
    each = ("".join(f"[{letter}{letter.lower()}]" for letter in word) for word in words)
    pattern = "^" + "[^A-Za-z0-9]+".join(each) + "$"
    return and_(*(found_at(lower(text), word.lower()) > 0 for word in words), text.regexp_match(pattern))


class Bound(msgspec.Struct, frozen=True):
    """A moment as a value of a statement: its beginning, or the first time after it where ``beyond``."""

    moment: Moment
    beyond: bool

    @property
    def text(self) -> str:
        """As SQLite compares it."""
        return self.moment.beyond if self.beyond else self.moment.prefix

    @property
    def instant(self) -> str:
        """As PostgreSQL does."""
        if self.moment in (BEFORE_ALL, AFTER_ALL):
            return "-infinity" if self.moment == BEFORE_ALL else "infinity"
        prefix = self.moment.prefix
        if not self.beyond:
            return prefix + "Z"
        step = timedelta(milliseconds=1) if len(prefix) == 23 else timedelta(microseconds=1)
        try:
            return (datetime.fromisoformat(prefix) + step).isoformat() + "Z"
        except OverflowError:  # nothing is later than the year 9999
            return "infinity"
