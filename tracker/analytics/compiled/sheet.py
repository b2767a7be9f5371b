"""A sheet: packs a chunk of rows for the kernels, and has what they write."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from tracker.analytics.compiled.cells import BLOCK, COLUMN, COLUMNS, FULL, HEAD, ODD, VALUES, Array
from tracker.analytics.compiled.json_text import FRACTION
from tracker.analytics.compiled.states import put_rows
from tracker.analytics.flat import json_lines

CHUNK_ROWS, CHUNK_BYTES = 2_048, 3_000_000
ROW_BYTES = 1_000_000
"""A greater state goes the other road."""
_ASIDE = 20
"""Places that keep columns from standing at powers of two, where a processor's cache has room for few of them."""
_decode = msgspec.msgpack.decode


class Sheet:
    """What the kernels write to; used again and again, and made anew where it is too small."""

    def __init__(self) -> None:
        self._make(8 * CHUNK_BYTES, 8 * CHUNK_ROWS + _ASIDE)

    def _make(self, written_bytes: int, places: int) -> None:
        self.written = np.empty(written_bytes + BLOCK, np.uint8)[:-BLOCK]
        self._tape = np.zeros((ROW_BYTES + 2, 5), np.int64)
        self.cells = np.zeros((len(COLUMNS), places, 2), np.int64)

    def read(self, ids: Sequence[str], states: Sequence[bytes]) -> Array | None:
        """The data that the rows' cells stand for; None where a row is not as expected. Raises `ValueError` and others for what is damaged."""
        if max(map(len, states), default=0) > ROW_BYTES:
            return None
        encoded = list(map(str.encode, ids))
        packed = b"".join([HEAD, *encoded, *states, bytes(BLOCK)])
        data = np.frombuffer(packed, np.uint8)
        starts = np.cumsum([len(HEAD), *map(len, encoded), *map(len, states)])
        end = FULL
        while end == FULL:
            self.cells[:, 0, 0] = 0
            end = put_rows(data, self.written, self._tape, self.cells, starts[: len(ids) + 1], starts[len(ids) :])
            if end == FULL:
                self._make(2 * len(self.written), 2 * self.cells.shape[1])
        if end == ODD:
            return None
        if self.cells[COLUMN["fraction"], 0, 0]:
            self._write_fractions(packed, end)
        return data

    def _write_fractions(self, packed: bytes, at: int) -> None:
        """What Python writes as JSON: behind the rest of it. Raises `ValueError` where there is no room, which those rows would have to be made for."""
        cells = self.cells
        places = cells[COLUMN["fraction"], 1 : cells[COLUMN["fraction"], 0, 0] + 1].tolist()
        texts = json_lines([_decode(packed[start:end]) for start, end in places]).split(b",\n  ")
        joined = b"".join(texts)
        self.written[at : at + len(joined)] = np.frombuffer(joined, np.uint8)
        sizes = np.array(list(map(len, texts)), np.int64)
        found = np.stack((at + np.cumsum(sizes) - sizes, sizes), axis=1)
        for name in VALUES:
            of_column = cells[COLUMN[name], 1 : cells[COLUMN[name], 0, 0] + 1]
            theirs = of_column[:, 1] == FRACTION
            of_column[theirs] = found[of_column[theirs, 0]]
