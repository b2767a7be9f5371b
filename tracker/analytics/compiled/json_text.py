"""Tokens -> canonical JSON, as `tracker.fold.json_text.canonical` writes it."""

from __future__ import annotations

import numpy as np

from tracker.analytics.compiled.sheet import COLUMN, ODD, Array, kernel, put
from tracker.analytics.compiled.tape import BEGIN, FALSE, INTEGER, KIND, MAP, NEXT, NIL, SIZE, START, TEXT, TRUE, byte_at, is_below

MOST_BYTES, MOST_OF_TOKEN = 6, 24
"""A byte of a text takes no more than this (``\\u0000``), and all else of a token no more than that."""
FRACTION = -2
"""The size of a cell that Python has to write; its start is its number in the column ``fraction``, whose cells are begins and ends in MessagePack."""
_FRACTIONS, _OPENED, _KEYS = COLUMN["fraction"], COLUMN["opened"], COLUMN["keys"]
"""Of each level the token and how many were written of it, and the last key."""


@kernel
def put_json(data: Array, tape: Array, cells: Array, token: int, at: int, column: int) -> int:
    """A value as a cell, written at ``at``; where it ends."""
    end = (
        _write(data, tape, cells, token, at)
        if tape[token, SIZE] > 0 and tape[token, KIND] != TEXT
        else _write_scalar(data, tape, token, at)
    )
    if end == ODD:
        put(cells, column, cells[_FRACTIONS, 0, 0], FRACTION)
        put(cells, _FRACTIONS, tape[token, BEGIN], tape[tape[token, NEXT], BEGIN])
        return at
    put(cells, column, at, end - at)
    return end


@kernel
def _write(data: Array, tape: Array, cells: Array, token: int, at: int) -> int:
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
                data[at] = 44 if is_key or tape[cells[_OPENED, level, 0], KIND] != MAP else 58
                at += 1
            cells[_OPENED, level, 1] += 1
        if tape[each, SIZE] > 0 and tape[each, KIND] != TEXT:
            data[at] = 123 if tape[each, KIND] == MAP else 91
            at += 1
            level += 1
            cells[_OPENED, level, 0] = each
            cells[_OPENED, level, 1] = 0
        else:
            at = _write_scalar(data, tape, each, at)
            if at == ODD:
                return ODD
        while level >= 0 and cells[_OPENED, level, 1] == tape[cells[_OPENED, level, 0], SIZE]:
            data[at] = 125 if tape[cells[_OPENED, level, 0], KIND] == MAP else 93
            at += 1
            level -= 1
    return at


@kernel
def _write_scalar(data: Array, tape: Array, token: int, at: int) -> int:
    """What has nothing inside; where it ends, or `ODD`."""
    kind = tape[token, KIND]
    if kind == TEXT:
        return _write_text(data, tape[token, START], tape[token, SIZE], at)
    if kind == INTEGER:
        return _write_integer(data, tape[token, START], at)
    if kind == NIL:
        return _write_bytes(data, b"null", at)
    if kind == TRUE:
        return _write_bytes(data, b"true", at)
    if kind == FALSE:
        return _write_bytes(data, b"false", at)
    if tape[token, SIZE] == 0:
        return _write_bytes(data, b"{}" if kind == MAP else b"[]", at)
    return ODD


@kernel
def _write_bytes(data: Array, word: bytes, at: int) -> int:
    for place in range(len(word)):
        data[at + place] = word[place]
    return at + len(word)


@kernel
def _write_text(data: Array, start: int, size: int, at: int) -> int:
    data[at] = 34
    at += 1
    for place in range(start, start + size):
        byte = byte_at(data, place)
        if byte >= 32 and byte not in (34, 92):
            data[at] = byte
            at += 1
        else:
            at = _write_escaped(data, byte, at)
    data[at] = 34
    return at + 1


@kernel
def _write_escaped(data: Array, byte: int, at: int) -> int:
    letter = byte
    if 8 <= byte <= 13 and byte != 11:
        letter = b"btn fr"[byte - 8]
    elif byte < 32:
        at = _write_bytes(data, b"\\u00", at)
        data[at] = 48 + (byte >> 4)
        data[at + 1] = b"0123456789abcdef"[byte & 15]
        return at + 2
    data[at] = 92
    data[at + 1] = letter
    return at + 2


@kernel
def _write_integer(data: Array, value: int, at: int) -> int:
    rest = np.uint64(value)
    if value < 0:
        data[at] = 45
        at += 1
        rest = np.uint64(0) - rest  # of the least one too
    end, other = at + 1, rest // np.uint64(10)
    while other:
        other //= np.uint64(10)
        end += 1
    for place in range(end - 1, at - 1, -1):
        data[place] = np.uint64(48) + rest % np.uint64(10)
        rest //= np.uint64(10)
    return end
