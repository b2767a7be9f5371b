"""What a state has any number of: attributes, messages, returns, names of what was cut. All in the order in which they are shown."""

from __future__ import annotations

from tracker.analytics.compiled.cells import (
    COLUMN,
    FULL,
    LOCALIZED,
    MESSAGE,
    ODD,
    PURGED,
    WORD_SIZES,
    WORD_STARTS,
    Array,
    kernel,
    put,
    put_word,
)
from tracker.analytics.compiled.json_text import put_json
from tracker.analytics.compiled.members import FOUND, find_all, put_pair, put_text
from tracker.analytics.compiled.tape import ARRAY, KIND, MAP, NEXT, NIL, SIZE, START, TEXT, beginning, compared

_ATTRIBUTE, _TRUNCATED, _PARAMETER = COLUMN["attribute.key"], COLUMN["truncated"], COLUMN["parameter"]
_RETURN_NAME, _RETURN_KEY = COLUMN["return.name"], COLUMN["return.attributeName"]
_LOCALIZED, _PARAMETERS = COLUMN["message.localizedText"], COLUMN["message.parameters"]
_PARAMETERS_END, _PARAMETERS_GIVEN = COLUMN["parameters.end"], COLUMN["parameters.given"]
_MESSAGE_AT, _TEXT_AT = ((COLUMN[names[0]], COLUMN[names[-1]] + 1) for names in (MESSAGE, LOCALIZED))
_FIRST, _SECOND = COLUMN["first"], COLUMN["second"]
"""What is put in order: the tokens of its first text and its second, and of its third with the first one's beginning."""


@kernel
def _note(data: Array, tape: Array, cells: Array, count: int, one: int, two: int, three: int) -> int:
    """What is to be put in order, by three texts: how many that are now, `ODD` or `FULL`."""
    if tape[one, KIND] != TEXT or tape[two, KIND] != TEXT or tape[three, KIND] != TEXT:
        return ODD
    if count == cells.shape[1]:
        return FULL
    at, begins = count, beginning(data, tape[one, START], tape[one, SIZE])
    # By insertion: nearly all of it comes in order. Most texts differ at their beginnings.
    while at > 0 and (
        begins < cells[_SECOND, at - 1, 1]
        or (begins == cells[_SECOND, at - 1, 1] and _is_before(data, tape, cells, one, two, three, at - 1))
    ):
        cells[_FIRST, at, 0], cells[_FIRST, at, 1] = cells[_FIRST, at - 1, 0], cells[_FIRST, at - 1, 1]
        cells[_SECOND, at, 0], cells[_SECOND, at, 1] = cells[_SECOND, at - 1, 0], cells[_SECOND, at - 1, 1]
        at -= 1
    cells[_FIRST, at, 0], cells[_FIRST, at, 1], cells[_SECOND, at, 0], cells[_SECOND, at, 1] = one, two, three, begins
    return count + 1


@kernel
def _is_before(data: Array, tape: Array, cells: Array, one: int, two: int, three: int, at: int) -> bool:
    difference = _difference(data, tape, one, cells[_FIRST, at, 0])
    if difference == 0:
        difference = _difference(data, tape, two, cells[_FIRST, at, 1])
    if difference == 0:
        difference = _difference(data, tape, three, cells[_SECOND, at, 0])
    return difference < 0


@kernel
def _difference(data: Array, tape: Array, one: int, other: int) -> int:
    if one == other:
        return 0
    return compared(data, tape[one, START], tape[one, SIZE], tape[other, START], tape[other, SIZE])


@kernel
def put_attributes(data: Array, written: Array, tape: Array, cells: Array, layers: int, at: int) -> int:
    """The attributes of all layers, by key. Where the last one ends as JSON, `ODD` or `FULL`."""
    count = 0
    if tape[layers, KIND] != ARRAY:
        return ODD
    layer = layers + 1
    while layer < tape[layers, NEXT]:
        if tape[layer, KIND] != ARRAY or tape[layer, SIZE] != 2 or tape[layer + 1, KIND] != TEXT or tape[layer + 2, KIND] != MAP:
            return ODD
        key = layer + 3
        while key < tape[layer, NEXT]:
            count = _note(data, tape, cells, count, key, key, key)
            if count < 0:
                return count
            key = tape[key + 1, NEXT]
        layer = tape[layer, NEXT]
    for each in range(count):
        at = put_pair(data, written, tape, cells, cells[_FIRST, each, 0], at, _ATTRIBUTE)
    return at


@kernel
def put_returns(data: Array, tape: Array, cells: Array, returns: int) -> int:
    """The returns by stamp, name and key. Zero or more, `ODD` or `FULL`."""
    count = 0
    if tape[returns, KIND] != MAP:
        return ODD
    name = returns + 1
    while name < tape[returns, NEXT]:
        if tape[name + 1, KIND] != MAP:
            return ODD
        key = name + 2
        while key < tape[name + 1, NEXT]:
            count = _note(data, tape, cells, count, key + 1, name, key)
            if count < 0:
                return count
            key += 2
        name = tape[name + 1, NEXT]
    for each in range(count):
        name, key = cells[_FIRST, each, 1], cells[_SECOND, each, 0]
        put(cells, _RETURN_NAME, tape[name, START], tape[name, SIZE])
        put(cells, _RETURN_KEY, tape[key, START], tape[key, SIZE])
    return count


@kernel
def put_messages(data: Array, written: Array, tape: Array, cells: Array, messages: int, at: int) -> int:
    """The messages by stamp. Where the last parameter ends as JSON, `ODD` or `FULL`."""
    count = 0
    if tape[messages, KIND] != MAP:
        return ODD
    identity = messages + 1
    while identity < tape[messages, NEXT]:
        said = identity + 1
        if tape[said, KIND] != ARRAY or tape[said, SIZE] != 2:
            return ODD
        count = _note(data, tape, cells, count, said + 1, identity, identity)
        if count < 0:
            return count
        identity = tape[said, NEXT]
    for each in range(count):
        at = _put_message(data, written, tape, cells, cells[_FIRST, each, 0] + 1, at)
        if at < 0:
            return at
    return at


@kernel
def _put_message(data: Array, written: Array, tape: Array, cells: Array, message: int, at: int) -> int:
    """One message. Where its last parameter ends as JSON, `ODD` or `FULL`."""
    if not find_all(data, tape, cells, message, _MESSAGE_AT[0], _MESSAGE_AT[1]):
        return ODD
    if not find_all(data, tape, cells, cells[FOUND, _LOCALIZED, 0], _TEXT_AT[0], _TEXT_AT[1]):
        return ODD
    for column in range(_MESSAGE_AT[0], _TEXT_AT[1]):
        if column not in (_LOCALIZED, _PARAMETERS) and not put_text(tape, cells, column):
            return ODD
    parameters = cells[FOUND, _PARAMETERS, 0]
    if tape[parameters, KIND] == ARRAY:
        each = parameters + 1
        while each < tape[parameters, NEXT]:
            at = put_json(data, written, tape, cells, each, at, _PARAMETER)
            each = tape[each, NEXT]
    elif tape[parameters, KIND] != NIL:
        return ODD
    put(cells, _PARAMETERS_END, cells[_PARAMETER, 0, 0], 0)
    put(cells, _PARAMETERS_GIVEN, 0, 0 if tape[parameters, KIND] == ARRAY else -1)
    return at


@kernel
def put_truncated(data: Array, tape: Array, cells: Array, forgotten: int, truncated: int) -> bool:
    """Names of the fields of which something was dropped, and ``purged`` where earlier attempts were; whether all was as expected."""
    if tape[truncated, KIND] != ARRAY:
        return False
    is_due = tape[forgotten, KIND] == ARRAY
    for name in range(truncated + 1, tape[truncated, NEXT]):
        if tape[name, KIND] != TEXT:
            return False
        if is_due and compared(data, WORD_STARTS[PURGED], WORD_SIZES[PURGED], tape[name, START], tape[name, SIZE]) < 0:
            put_word(cells, _TRUNCATED, PURGED)
            is_due = False
        put(cells, _TRUNCATED, tape[name, START], tape[name, SIZE])
    if is_due:
        put_word(cells, _TRUNCATED, PURGED)
    return True
