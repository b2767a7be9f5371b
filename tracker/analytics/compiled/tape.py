"""MessagePack -> a tape of tokens.

A token is a row of five integers. Of a text: where it stands and how many bytes it has; of an integer its value as start; of an array or a map
the number of tokens in it as size, keys and values of a map counted each. Then the token that follows it and all inside it, and where its first byte stands.

No byte is read that is not the document's: each length is compared with the end before it is believed.
"""

from __future__ import annotations

import numpy as np

from tracker.analytics.compiled.cells import COLUMN, MAX_LEVELS, ODD, WORD_SIZES, WORD_STARTS, Array, kernel

NIL, FALSE, TRUE, INTEGER, OTHER, TEXT, ARRAY, MAP = range(8)
"""Kinds; `OTHER` are numbers that Python writes: fractions, and integers from 2**63."""
_NONE = -1
DOUBLE = 0xCB
"""The first byte of a fraction."""
_SIGNED = 0xD0
"""From this byte on integers have a sign."""
# By the first byte of a token: its kind, the bytes of a length or number that follow, and the length or number where none do.
_KINDS, _WIDTHS, _VALUES = np.full(256, _NONE), np.zeros(256, np.int64), np.zeros(256, np.int64)
for _kind, _first, _count in ((INTEGER, 0x00, 128), (MAP, 0x80, 16), (ARRAY, 0x90, 16), (TEXT, 0xA0, 32), (INTEGER, 0xE0, 32)):
    _KINDS[_first : _first + _count] = _kind
    _VALUES[_first : _first + _count] = np.arange(_count)
_VALUES[0xE0:] -= 32
for _kind, _first, _widths in (
    *((NIL, 0xC0, (0,)), (FALSE, 0xC2, (0,)), (TRUE, 0xC3, (0,)), (OTHER, 0xCA, (4, 8)), (INTEGER, 0xCC, (1, 2, 4, 8))),
    *((INTEGER, _SIGNED, (1, 2, 4, 8)), (TEXT, 0xD9, (1, 2, 4)), (ARRAY, 0xDC, (2, 4)), (MAP, 0xDE, (2, 4))),
):
    _KINDS[_first : _first + len(_widths)] = _kind
    _WIDTHS[_first : _first + len(_widths)] = _widths
KIND, START, SIZE, NEXT, BEGIN = range(5)
_BEGINNING = 7
"""Bytes that are positive in 64 bits."""
_OF_TEXT = np.array([((1 << 8 * size) - 1) << 8 * (_BEGINNING - size) for size in range(_BEGINNING + 1)])
"""By the size of a text: which bits are its own."""
_HOLDERS = COLUMN["opened"]
"""Of each level above: the array or map, and how many tokens are left in it."""


@kernel
def byte_at(data: Array, at: int) -> int:
    """A byte as a number that does not wrap."""
    return np.int64(data[at])  # type: ignore[return-value]  # to Numba it is an int; its own ``int`` would keep it unsigned


@kernel
def tokenize(data: Array, tape: Array, cells: Array, at: int, end: int) -> int:
    """One document onto the tape; how many tokens it has, or `ODD`. Behind the last one stands where the document ends."""
    level, holder, left, count = 0, 0, 1, 0
    while True:
        while left == 0:
            if level == 0:
                tape[count, BEGIN] = at
                return count if at == end else ODD
            tape[holder, NEXT] = count
            level -= 1
            holder, left = cells[_HOLDERS, level, 0], cells[_HOLDERS, level, 1]
        left -= 1
        if at >= end:
            return ODD
        tape[count, BEGIN] = at
        tape[count, NEXT] = count + 1
        first = byte_at(data, at)
        kind, width, value = _KINDS[first], _WIDTHS[first], _VALUES[first]
        at += 1 + width
        if kind == _NONE or at > end:
            return ODD
        if width:
            value, kind = _number(data, at - width, width, first, kind)
        tape[count, KIND] = kind
        # Three branches, which a processor foresees: it need not wait for where the next token begins.
        if kind == TEXT:
            tape[count, START], tape[count, SIZE] = at, value
            at += value
            if at > end:
                return ODD
        elif kind >= ARRAY:
            size = value * 2 if kind == MAP else value
            tape[count, SIZE] = size
            if level == MAX_LEVELS or size > end - at:
                return ODD
            cells[_HOLDERS, level, 0], cells[_HOLDERS, level, 1] = holder, left
            level += 1
            holder, left = count, size
        else:
            tape[count, START], tape[count, SIZE] = value, -1
        count += 1


@kernel
def _number(data: Array, at: int, width: int, first: int, kind: int) -> tuple[int, int]:
    """A length or a number of so many bytes, and the kind, which changes where it is none of 64 bits with a sign."""
    value = 0
    for place in range(at, at + width):
        value = (value << 8) | byte_at(data, place)
    if kind == INTEGER and first >= _SIGNED and width < 8:
        value -= ((value >> (8 * width - 1)) & 1) << (8 * width)
    elif kind == INTEGER and first < _SIGNED and value < 0:
        kind = OTHER
    return value, kind


@kernel
def beginning(data: Array, start: int, size: int) -> int:
    """A text's first seven bytes as a number that sorts as they do, with zeros behind a shorter one. Seven bytes can always be read."""
    value = 0
    for place in range(_BEGINNING):
        value = (value << 8) | byte_at(data, start + place)
    own: int = _OF_TEXT[min(size, _BEGINNING)]
    return value & own


@kernel
def compared(data: Array, one: int, one_size: int, other: int, other_size: int) -> int:
    """Below, equal to or above zero, as the first text stands to the second in the order of bytes, which is that of code points."""
    for place in range(min(one_size, other_size)):
        difference = byte_at(data, one + place) - byte_at(data, other + place)
        if difference:
            return difference
    return one_size - other_size


@kernel
def is_below(data: Array, tape: Array, one: int, other: int) -> bool:
    """Whether two tokens are texts, and the first one comes before the second."""
    if tape[one, KIND] != TEXT or tape[other, KIND] != TEXT:
        return False
    return compared(data, tape[one, START], tape[one, SIZE], tape[other, START], tape[other, SIZE]) < 0


@kernel
def is_word(data: Array, start: int, size: int, word: int) -> bool:
    """Whether a text is one of our own words."""
    return size == WORD_SIZES[word] and compared(data, start, size, WORD_STARTS[word], size) == 0
