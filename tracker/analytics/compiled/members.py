"""Members of maps, by their names; and what stamps are made of."""

from __future__ import annotations

import numpy as np

from tracker.analytics.compiled.cells import COLUMN, ODD, Array, kernel, put, put_null
from tracker.analytics.compiled.json_text import put_json
from tracker.analytics.compiled.tape import KIND, MAP, NEXT, NIL, SIZE, START, TEXT, byte_at, is_word

TIME, NO_TIME = 26, -(2**62)
"""Bytes of a time; and what stands for none."""
_FORM = np.frombuffer(b"0000-00-00T00:00:00.000000", np.uint8).astype(np.int64)
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_DAYS_BEFORE = np.cumsum(_DAYS) - _DAYS
_DAYS_TO_1970 = 719_162
FOUND = COLUMN["found"]
"""The token of each member that was found, by column; 0: there is none."""


@kernel
def find(data: Array, tape: Array, cells: Array, token: int, first: int, end: int) -> bool:
    """Find the members of a map among the columns from ``first`` to before ``end``; whether it has no others."""
    if tape[token, KIND] != MAP:
        return False
    key = token + 1
    while key < tape[token, NEXT]:
        if tape[key, KIND] != TEXT:
            return False
        column = first
        while column < end and not is_word(data, tape[key, START], tape[key, SIZE], column):
            column += 1
        if column == end:
            return False
        cells[FOUND, column, 0] = key + 1
        key = tape[key + 1, NEXT]
    return True


@kernel
def find_all(data: Array, tape: Array, cells: Array, token: int, first: int, end: int) -> bool:
    """`find`; whether it has all of them, and no others."""
    for column in range(first, end):
        cells[FOUND, column, 0] = 0
    if not find(data, tape, cells, token, first, end):
        return False
    there = 0
    for column in range(first, end):
        there += cells[FOUND, column, 0] > 0
    return there == end - first


@kernel
def put_text(tape: Array, cells: Array, column: int) -> bool:
    """The member that was found; whether it is a text or a null."""
    token = cells[FOUND, column, 0]
    if tape[token, KIND] == TEXT:
        put(cells, column, tape[token, START], tape[token, SIZE])
        return True
    put_null(cells, column)
    return bool(tape[token, KIND] == NIL)


@kernel
def put_pair(data: Array, written: Array, tape: Array, cells: Array, key: int, at: int, column: int) -> int:
    """A key, and its value as JSON into the column after it. Where that ends, or `ODD`."""
    if tape[key, KIND] != TEXT:
        return ODD
    put(cells, column, tape[key, START], tape[key, SIZE])
    return put_json(data, written, tape, cells, key + 1, at, column + 1)


@kernel
def time_of(data: Array, tape: Array, token: int) -> int:
    """Microseconds since 1970 of a token that is a time, else `NO_TIME`."""
    if tape[token, KIND] != TEXT or tape[token, SIZE] != TIME:
        return NO_TIME
    return micros(data, tape[token, START])


@kernel
def micros(data: Array, at: int) -> int:
    """Microseconds since 1970 of the time that stands there, else `NO_TIME`."""
    for place in range(TIME):
        byte, form = byte_at(data, at + place), _FORM[place]
        if byte != form and (form != 48 or byte < 48 or byte > 57):
            return NO_TIME
    year, month, day = _digits(data, at, 4), _digits(data, at + 5, 2), _digits(data, at + 8, 2)
    hour, minute, second = _digits(data, at + 11, 2), _digits(data, at + 14, 2), _digits(data, at + 17, 2)
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month < 1 or month > 12 or day < 1 or day > _DAYS[month] + (month == 2 and is_leap) or hour > 23 or minute > 59 or second > 59:
        return NO_TIME
    before = year - 1
    days: int = (
        before * 365 + before // 4 - before // 100 + before // 400 + _DAYS_BEFORE[month] + (month > 2 and is_leap) + day - 1 - _DAYS_TO_1970
    )
    return ((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + _digits(data, at + 20, 6)


@kernel
def _digits(data: Array, at: int, count: int) -> int:
    value = 0
    for place in range(at, at + count):
        value = value * 10 + byte_at(data, place) - 48
    return value


@kernel
def put_time(cells: Array, column: int, moment: int) -> None:
    """A time, or null for none."""
    put(cells, column, moment, -1 if moment == NO_TIME else 0)


@kernel
def stamp_head(data: Array, stamp: int) -> int:
    """How many bytes of a stamp are its attempt, sequence and time (`tracker.fold.event.stamp_head`)."""
    sequence_at = byte_at(data, stamp) - 46
    return sequence_at + byte_at(data, stamp + sequence_at - 1) - 48 + TIME


@kernel
def stamp_attempt(data: Array, stamp: int) -> int:
    """The attempt of a stamp."""
    value = 0
    for place in range(stamp + 1, stamp + byte_at(data, stamp) - 47):
        value = value * 10 + byte_at(data, place) - 48
    return value


@kernel
def is_stamp(data: Array, tape: Array, token: int) -> bool:
    """Whether a token can be one: a text that is as long as its own numbers say."""
    if tape[token, KIND] != TEXT or tape[token, SIZE] < TIME + 4:
        return False
    stamp = tape[token, START]
    digits = byte_at(data, stamp) - 48
    return 1 <= digits <= 12 and TIME + 4 <= stamp_head(data, stamp) <= tape[token, SIZE]
