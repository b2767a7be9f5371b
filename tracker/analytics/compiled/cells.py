"""What the kernels share: the bytes of a chunk of rows (the data), the JSON that is written of them, and cells for all that they find.

A cell is two integers. Of a text: where it stands, and of how many bytes it is; a null has −1 of them. Of a number: itself, and nothing.
Cells stand in columns, and the first one of a column says how many there are behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numba
import numpy as np

from tracker.analytics.compiled.making import kept_in

FIELDS = (
    "type",
    "uniqueName",
    "description",
    "parentName",
    "parentId",
    "launcher",
    "progress",
    "percentComplete",
    "target",
    "taskDefinitionSummary",
)
TARGET = ("target.id", "target.type", "target.name")
DEFINITION = tuple(f"definition.{name}" for name in ("id", "uniqueName", "description", "parentName", "executor", "arguments"))
MESSAGE = ("message.type", "message.key", "message.localizedText", "message.parameters")
LOCALIZED = ("text.locale", "text.message")
NAMED = (*FIELDS, *TARGET, *DEFINITION, *MESSAGE, *LOCALIZED)
"""Members of a state's maps: the last part of each is how a state calls it."""
LISTS = ("argument.key", "attribute.key", "return.name", "truncated", "message.type", "attempt.launched")
"""Columns of which it is kept, after each row, how many cells they have so far."""
COLUMNS = (
    *NAMED,
    *("id", "created", "modified", "launched", "completed", "firstLaunched", "completionStatus", "state", "attempt"),
    *("argument.key", "argument.value", "attribute.key", "attribute.value", "return.name", "return.attributeName", "truncated"),
    *("parameter", "parameters.end", "parameters.given"),
    *("attempt.number", "attempt.launched", "attempt.completed", "attempt.completionStatus"),
    *(f"{name}.end" for name in LISTS),
    *("fraction", "found", "opened", "keys", "first", "second"),
)
"""All columns; the last ones are the kernels' own."""
VALUES = ("argument.value", "attribute.value", "parameter")
"""Columns whose cells stand in the JSON that was written, not in the data."""
COLUMN = {name: at for at, name in enumerate(COLUMNS)}

_WORDS = ("QUEUED_TASK", "purged", "SUCCESS", "WARNING")
# Names first, as `COLUMNS` has them: the number of a name's column is that of its word.
_SPELLED = tuple(name.rpartition(".")[2] for name in NAMED) + _WORDS
HEAD = "".join(_SPELLED).encode()
"""What the data of each chunk begin with: the words that kernels compare with, or show where a state has none."""
WORD_SIZES = np.array([len(word) for word in _SPELLED])
WORD_STARTS = np.cumsum(WORD_SIZES) - WORD_SIZES
QUEUED_TASK, PURGED, SUCCESS, WARNING = range(len(NAMED), len(_SPELLED))

BLOCK = 8
"""Bytes that are read or copied at once: so many can be read behind any text."""
MAX_LEVELS = 128
"""Levels of maps and arrays; what is deeper goes the other road."""
ODD, FULL = -1, -2
"""What kernels answer where something is not as expected, and where there was not enough place."""
MOST = 2**31 - 1
"""Of a number in the table."""
Array: TypeAlias = Any
"""Of NumPy: of bytes (the data), of tokens (the tape), of cells. To mypy, NumPy's numbers and Python's are two."""
F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Machine code when it is first called."""
    return cast("F", numba.njit(nogil=True, forceinline=True)(function))


def entry(function: F) -> F:
    """A kernel that Python calls. Its machine code is kept for the next process, in a folder of this version of all kernels: Numba compares one file."""
    folder = kept_in()
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, folder
    try:
        return cast("F", numba.njit(nogil=True, cache=bool(folder))(function))
    finally:
        config.CACHE_DIR = before


@kernel
def put(cells: Array, column: int, start: int, size: int) -> None:
    """One more cell. The last place is only ever written over: there were too few where it is used."""
    count = cells[column, 0, 0] + 1
    place = min(count, cells.shape[1] - 1)
    cells[column, place, 0] = start
    cells[column, place, 1] = size
    cells[column, 0, 0] = count


@kernel
def put_null(cells: Array, column: int) -> None:
    """One more null."""
    put(cells, column, 0, -1)


@kernel
def put_word(cells: Array, column: int, word: int) -> None:
    """One more cell with one of our own words."""
    put(cells, column, WORD_STARTS[word], WORD_SIZES[word])
