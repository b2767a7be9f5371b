"""States -> cells: what `tracker.fold.view` and `tracker.analytics.flat` read out of a state, and no other meaning."""

from __future__ import annotations

import numpy as np

from tracker.analytics.compiled.cells import (
    COLUMN,
    DEFINITION,
    FIELDS,
    FULL,
    LISTS,
    MOST,
    ODD,
    QUEUED_TASK,
    SUCCESS,
    TARGET,
    WARNING,
    Array,
    entry,
    kernel,
    put,
    put_null,
    put_word,
)
from tracker.analytics.compiled.json_text import MOST_BYTES, MOST_OF_TOKEN
from tracker.analytics.compiled.lists import put_attributes, put_messages, put_returns, put_truncated
from tracker.analytics.compiled.members import (
    FOUND,
    NO_TIME,
    TIME,
    find,
    find_all,
    is_stamp,
    micros,
    put_pair,
    put_text,
    put_time,
    stamp_attempt,
    stamp_head,
    time_of,
)
from tracker.analytics.compiled.tape import (
    ARRAY,
    FALSE,
    INTEGER,
    KIND,
    MAP,
    NEXT,
    NIL,
    SIZE,
    START,
    TEXT,
    is_below,
    is_word,
    tokenize,
)

PENDING, RUNNING, COMPLETED = range(3)
_TYPE, _UNIQUE_NAME, _DESCRIPTION, _LAUNCHER, _PROGRESS, _PERCENT = (
    COLUMN[name] for name in ("type", "uniqueName", "description", "launcher", "progress", "percentComplete")
)
_TARGET, _DEFINITION, _ARGUMENTS, _ARGUMENT = (
    COLUMN[name] for name in ("target", "taskDefinitionSummary", "definition.arguments", "argument.key")
)
_ID, _CREATED, _MODIFIED, _FIRST_LAUNCHED, _LAUNCHED, _COMPLETED, _STATUS, _STATE, _ATTEMPT = (
    COLUMN[name] for name in ("id", "created", "modified", "firstLaunched", "launched", "completed", "completionStatus", "state", "attempt")
)
_ATTEMPT_NUMBER, _ATTEMPT_LAUNCHED, _ATTEMPT_COMPLETED, _ATTEMPT_STATUS = (
    COLUMN[f"attempt.{name}"] for name in ("number", "launched", "completed", "completionStatus")
)
# Members of maps stand side by side in `COLUMNS`: the first one, and the one after the last.
_FIELDS_AT, _TARGET_AT, _DEFINITION_AT = ((COLUMN[names[0]], COLUMN[names[-1]] + 1) for names in (FIELDS, TARGET, DEFINITION))
_LAST = COLUMN["fraction"]
"""The columns after it are the kernels' own."""
_ENDS, _ITEMS = COLUMN[f"{LISTS[0]}.end"], np.array([COLUMN[name] for name in LISTS])


@entry
def put_rows(data: Array, written: Array, tape: Array, cells: Array, ids: Array, states: Array) -> int:
    """All rows of a chunk; ``ids`` and ``states`` are where each begins, and at last where the last one ends.

    Gives where the JSON ends that was written behind them, `ODD` or `FULL`.
    """
    at = 0
    for row in range(len(states) - 1):
        size = states[row + 1] - states[row]
        tokens = tokenize(data, tape, cells, states[row], states[row + 1])
        if tokens == ODD:
            return ODD
        if at + MOST_BYTES * size + MOST_OF_TOKEN * tokens > len(written):
            return FULL
        put(cells, _ID, ids[row], ids[row + 1] - ids[row])
        at = _put_row(data, written, tape, cells, at)
        if at < 0:
            return at
        for each in range(len(_ITEMS)):
            put(cells, _ENDS + each, cells[_ITEMS[each], 0, 0], 0)
    return FULL if cells[: _LAST + 1, 0, 0].max() >= cells.shape[1] else at


@kernel
def _put_row(data: Array, written: Array, tape: Array, cells: Array, at: int) -> int:
    """The state on the tape. Where its JSON ends, `ODD` or `FULL`."""
    if tape[0, KIND] != ARRAY or tape[0, SIZE] != 11:
        return ODD
    forgotten, attempt = 1, tape[1, NEXT]
    created, first, modified, fields = attempt + 1, attempt + 2, attempt + 3, attempt + 4
    if (tape[forgotten, KIND] != FALSE and tape[forgotten, KIND] != ARRAY) or not _is_number(tape, attempt, 1):
        return ODD
    if tape[created, KIND] != TEXT or tape[first, KIND] != TEXT:  # else what follows stands elsewhere
        return ODD
    began, changed = time_of(data, tape, created if tape[created, SIZE] else first), time_of(data, tape, modified)
    if NO_TIME in (began, changed):
        return ODD
    put_time(cells, _CREATED, began)
    put_time(cells, _MODIFIED, changed)
    attributes = tape[fields, NEXT]
    attempts = tape[attributes, NEXT]
    messages = tape[attempts, NEXT]
    returns = tape[messages, NEXT]
    number = tape[attempt, START]
    if not _put_fields(data, tape, cells, fields, number) or not _put_target(data, tape, cells):
        return ODD
    at = _put_definition(data, written, tape, cells, at)
    if at >= 0:
        at = put_attributes(data, written, tape, cells, attributes, at)
    if at >= 0:
        at = put_messages(data, written, tape, cells, messages, at)
    if at < 0:
        return at
    problem = put_returns(data, tape, cells, returns)
    if problem < 0:
        return problem
    state = _put_attempts(data, tape, cells, attempts, number)
    if state == ODD or not put_truncated(data, tape, cells, forgotten, tape[returns, NEXT]):
        return ODD
    put(cells, _STATE, state, 0)
    put(cells, _ATTEMPT, number, 0)
    return at


@kernel
def _is_number(tape: Array, token: int, least: int) -> bool:
    """Whether it is a whole number from ``least`` that the table can have."""
    return bool(tape[token, KIND] == INTEGER and least <= tape[token, START] <= MOST)


@kernel
def _put_fields(data: Array, tape: Array, cells: Array, layers: int, attempt: int) -> bool:
    """The fields that are texts, each with its default; whether all was as expected (`tracker.fold.view.field_values`)."""
    for column in range(_FIELDS_AT[0], _FIELDS_AT[1]):
        cells[FOUND, column, 0] = 0
    if tape[layers, KIND] != ARRAY:
        return False
    layer = layers + 1
    while layer < tape[layers, NEXT]:
        if tape[layer, KIND] != ARRAY or tape[layer, SIZE] != 2 or not is_stamp(data, tape, layer + 1):
            return False
        progress, percent = cells[FOUND, _PROGRESS, 0], cells[FOUND, _PERCENT, 0]
        if not find(data, tape, cells, layer + 2, _FIELDS_AT[0], _FIELDS_AT[1]):
            return False
        if attempt > 1 and stamp_attempt(data, tape[layer + 1, START]) != attempt:
            cells[FOUND, _PROGRESS, 0], cells[FOUND, _PERCENT, 0] = progress, percent
        layer = tape[layer, NEXT]
    for column in range(_FIELDS_AT[0], _PROGRESS + 1):
        if cells[FOUND, column, 0]:
            if not put_text(tape, cells, column):
                return False
        elif column == _TYPE:
            put_word(cells, column, QUEUED_TASK)
        elif column == _UNIQUE_NAME:
            id = min(cells[_ID, 0, 0], cells.shape[1] - 1)
            put(cells, column, cells[_ID, id, 0], cells[_ID, id, 1])
        elif column in (_DESCRIPTION, _LAUNCHER):
            put(cells, column, 0, 0)
        else:
            put_null(cells, column)
    return True


@kernel
def _put_members(data: Array, tape: Array, cells: Array, column: int, first: int, end: int) -> int:
    """The members of the object that was found, which are texts, and whether it is null: 1, 0 where it is, or `ODD`."""
    token = cells[FOUND, column, 0]
    if token == 0 or tape[token, KIND] == NIL:
        put_null(cells, column)
        for member in range(first, end):
            put_null(cells, member)
        return 0
    put(cells, column, 0, 0)
    if not find_all(data, tape, cells, token, first, end):
        return ODD
    for member in range(first, end):
        if member != _ARGUMENTS and not put_text(tape, cells, member):
            return ODD
    return 1


@kernel
def _put_target(data: Array, tape: Array, cells: Array) -> bool:
    return _put_members(data, tape, cells, _TARGET, _TARGET_AT[0], _TARGET_AT[1]) != ODD


@kernel
def _put_definition(data: Array, written: Array, tape: Array, cells: Array, at: int) -> int:
    """The definition with its arguments. Where they end as JSON, or `ODD`."""
    there = _put_members(data, tape, cells, _DEFINITION, _DEFINITION_AT[0], _DEFINITION_AT[1])
    if there != 1:
        return at if there == 0 else ODD
    arguments = cells[FOUND, _ARGUMENTS, 0]
    if tape[arguments, KIND] != MAP:
        return ODD
    key = last = arguments + 1
    while key < tape[arguments, NEXT]:
        if key != last and not is_below(data, tape, last, key):
            return ODD
        at = put_pair(data, written, tape, cells, key, at, _ARGUMENT)
        if at == ODD:
            return ODD
        last, key = key, tape[key + 1, NEXT]
    return at


@kernel
def _put_attempts(data: Array, tape: Array, cells: Array, attempts: int, attempt: int) -> int:
    """Each attempt, and what the current one says of the row: its state, or `ODD`."""
    if tape[attempts, KIND] != ARRAY:
        return ODD
    first = launched = completed = NO_TIME
    status = size = -1
    each = attempts + 1
    while each < tape[attempts, NEXT]:
        if tape[each, KIND] != ARRAY or tape[each, SIZE] != 6 or tape[each, NEXT] != each + 7 or not _is_number(tape, each + 1, 1):
            return ODD
        launched, completed, status, size = NO_TIME, NO_TIME, tape[each + 5, START], tape[each + 5, SIZE]
        if tape[each + 2, KIND] != TEXT or tape[each + 5, KIND] != TEXT:
            return ODD
        if tape[each + 2, SIZE]:
            if not is_stamp(data, tape, each + 2):
                return ODD
            launched = micros(data, tape[each + 2, START] + stamp_head(data, tape[each + 2, START]) - TIME)
            if launched == NO_TIME:
                return ODD
            first = launched if first == NO_TIME else min(first, launched)
        if size:
            completed = time_of(data, tape, each + 6)
            if completed == NO_TIME:
                return ODD
        size = size or -1
        put(cells, _ATTEMPT_NUMBER, tape[each + 1, START], 0)
        put_time(cells, _ATTEMPT_LAUNCHED, launched)
        put_time(cells, _ATTEMPT_COMPLETED, completed)
        put(cells, _ATTEMPT_STATUS, status, size)
        each += 7
    if each > attempts + 1 and tape[each - 6, START] != attempt:  # the last one is not the current one
        launched = completed = NO_TIME
        size = -1
    put_time(cells, _FIRST_LAUNCHED, first)
    put_time(cells, _LAUNCHED, launched)
    put_time(cells, _COMPLETED, completed)
    put(cells, _STATUS, status, size)
    percent = cells[FOUND, _PERCENT, 0]
    if percent and not _is_number(tape, percent, 0):
        return ODD
    is_well = size > 0 and (is_word(data, status, size, SUCCESS) or is_word(data, status, size, WARNING))
    put(cells, _PERCENT, 100 if is_well else tape[percent, START] if percent else 0, 0)
    return COMPLETED if size > 0 else PENDING if launched == NO_TIME else RUNNING
