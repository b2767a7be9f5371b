"""Tokens -> canonical JSON, as `tracker.fold.json_text.canonical` writes it."""

from __future__ import annotations

import numpy as np

from tracker.analytics.compiled.cells import COLUMN, ODD, Array, kernel, put
from tracker.analytics.compiled.tape import BEGIN, DOUBLE, FALSE, INTEGER, KIND, MAP, NEXT, NIL, SIZE, START, TEXT, TRUE, byte_at, is_below
from tracker.analytics.flat import LEAST_PLAIN

MOST_BYTES, MOST_OF_TOKEN = 6, 24
"""A byte of a text takes no more than this (``\\u0000``), and all else of a token no more than that."""
FRACTION = -2
"""The size of a cell that Python has to write; its start is its number in the column ``fraction``, whose cells are begins and ends in MessagePack."""
MOST_DIGITS = 1e15
"""Below it are numbers of 15 digits."""
_TENS = np.array([float(10**places) for places in range(19)])
"""Powers of ten, which are exact as fractions and in 64 bits."""
_FRACTIONS, _OPENED, _KEYS = COLUMN["fraction"], COLUMN["opened"], COLUMN["keys"]
"""Of each level the token and how many were written of it, and the last key."""


@kernel
def put_json(data: Array, written: Array, tape: Array, cells: Array, token: int, at: int, column: int) -> int:
    """A value as a cell, written at ``at``; where it ends."""
    end = (
        _write(data, written, tape, cells, token, at)
        if tape[token, SIZE] > 0 and tape[token, KIND] != TEXT
        else _write_scalar(data, written, tape, token, at)
    )
    if end == ODD:
        put(cells, column, cells[_FRACTIONS, 0, 0], FRACTION)
        put(cells, _FRACTIONS, tape[token, BEGIN], tape[tape[token, NEXT], BEGIN])
        return at
    put(cells, column, at, end - at)
    return end


@kernel
def _write(data: Array, written: Array, tape: Array, cells: Array, token: int, at: int) -> int:
    """An array or a map and all inside it; where it ends, or `ODD`."""
    level = -1
    for each in range(token, tape[token, NEXT]):
        if level >= 0:
            is_key = tape[cells[_OPENED, level, 0], KIND] == MAP and cells[_OPENED, level, 1] % 2 == 0
            if is_key:
                if tape[each, KIND] != TEXT or (cells[_OPENED, level, 1] and not is_below(data, tape, cells[_KEYS, level, 0], each)):
                    return ODD
                cells[_KEYS, level, 0] = each
            if cells[_OPENED, level, 1]:
                written[at] = 44 if is_key or tape[cells[_OPENED, level, 0], KIND] != MAP else 58
                at += 1
            cells[_OPENED, level, 1] += 1
        if tape[each, SIZE] > 0 and tape[each, KIND] != TEXT:
            written[at] = 123 if tape[each, KIND] == MAP else 91
            at += 1
            level += 1
            cells[_OPENED, level, 0] = each
            cells[_OPENED, level, 1] = 0
        else:
            at = _write_scalar(data, written, tape, each, at)
            if at == ODD:
                return ODD
        while level >= 0 and cells[_OPENED, level, 1] == tape[cells[_OPENED, level, 0], SIZE]:
            written[at] = 125 if tape[cells[_OPENED, level, 0], KIND] == MAP else 93
            at += 1
            level -= 1
    return at


@kernel
def _write_scalar(data: Array, written: Array, tape: Array, token: int, at: int) -> int:
    """What has nothing inside; where it ends, or `ODD`."""
    kind = tape[token, KIND]
    if kind == TEXT:
        return _write_text(data, written, tape[token, START], tape[token, SIZE], at)
    if kind == INTEGER:
        return _write_integer(written, tape[token, START], at)
    if kind == NIL:
        return _write_bytes(written, b"null", at)
    if kind == TRUE:
        return _write_bytes(written, b"true", at)
    if kind == FALSE:
        return _write_bytes(written, b"false", at)
    if tape[token, SIZE] == 0:
        return _write_bytes(written, b"{}" if kind == MAP else b"[]", at)
    if byte_at(data, tape[token, BEGIN]) == DOUBLE:
        return _write_double(written, tape[token, START], at)
    return ODD


@kernel
def _write_bytes(written: Array, word: bytes, at: int) -> int:
    for place in range(len(word)):
        written[at + place] = word[place]
    return at + len(word)


@kernel
def _write_text(data: Array, written: Array, start: int, size: int, at: int) -> int:
    written[at] = 34
    at += 1
    for place in range(start, start + size):
        byte = byte_at(data, place)
        if byte >= 32 and byte not in (34, 92):
            written[at] = byte
            at += 1
        else:
            at = _write_escaped(written, byte, at)
    written[at] = 34
    return at + 1


@kernel
def _write_escaped(written: Array, byte: int, at: int) -> int:
    letter = byte
    if 8 <= byte <= 13 and byte != 11:
        letter = b"btn fr"[byte - 8]
    elif byte < 32:
        at = _write_bytes(written, b"\\u00", at)
        written[at] = 48 + (byte >> 4)
        written[at + 1] = b"0123456789abcdef"[byte & 15]
        return at + 2
    written[at] = 92
    written[at + 1] = letter
    return at + 2


@kernel
def _write_double(written: Array, bits: int, at: int) -> int:
    """A fraction of at most 15 digits as the shortest text that means it, else `ODD`.

    Of numbers with so few digits and so many decimals at most one is read as this fraction. It is the quotient of two whole numbers that are
    exact, so their division gives what reading it would.
    """
    value = np.int64(bits).view(np.float64)
    size = abs(value)
    if not (size == 0 or LEAST_PLAIN <= size < MOST_DIGITS):
        return ODD
    decimals, digits = 0, np.rint(size)
    while digits / _TENS[decimals] != size:
        decimals += 1
        if decimals == len(_TENS):
            return ODD
        digits = np.rint(size * _TENS[decimals])
        if digits >= MOST_DIGITS:
            return ODD
    if bits < 0:
        written[at] = 45
        at += 1
    number, unit = int(digits), int(_TENS[decimals])
    at = _write_integer(written, number // unit, at)
    written[at] = 46
    if decimals == 0:
        written[at + 1] = 48
        return at + 2
    number %= unit
    for place in range(at + decimals, at, -1):
        written[place] = 48 + number % 10
        number //= 10
    return at + 1 + decimals


@kernel
def _write_integer(written: Array, value: int, at: int) -> int:
    rest = np.uint64(value)
    if value < 0:
        written[at] = 45
        at += 1
        rest = np.uint64(0) - rest  # of the least one too
    end, other = at + 1, rest // np.uint64(10)
    while other:
        other //= np.uint64(10)
        end += 1
    for place in range(end - 1, at - 1, -1):
        written[place] = np.uint64(48) + rest % np.uint64(10)
        rest //= np.uint64(10)
    return end
