"""The table as a dataframe: `to_arrow`, `to_polars`, `to_pandas` of an open store, each of one snapshot; `arrow_reader` for what is greater
than memory.

``tasks`` is what `tracker.connect` gives. Nothing runs in the background, so they work in notebooks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from tracker.analytics import needs
from tracker.analytics.arrow import Batches
from tracker.analytics.attributes import parse_attributes
from tracker.analytics.compiled import compiled_batches
from tracker.analytics.reading import about, place_of, reached
from tracker.query.api import clock
from tracker.query.base import Filters, Snapshot, parsed
from tracker.query.blocking import BlockingQuery

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


def arrow_reader(
    tasks: BlockingQuery,
    filters: Filters = None,
    *,
    attributes: Sequence[str] = (),
    since: str | int | None = None,
    now: datetime | None = None,
) -> pa.RecordBatchReader:
    """The table batch by batch, in bounded memory: DuckDB queries it, and ``pyarrow.dataset`` writes it. Arguments as for `to_arrow`.

    The snapshot is held until the last batch was read, or the reader is gone.
    """
    where, wanted = parsed(filters, now or clock()), parse_attributes(attributes)
    place, text = None if since is None else place_of(since), filters if isinstance(filters, str) else None

    def question(snapshot: Snapshot) -> Iterator[pa.RecordBatch]:
        told_of_it = about(reached(snapshot), place, text)
        made = compiled_batches(snapshot, where, place, wanted, told_of_it) or Batches(wanted, told_of_it)
        yield pa.RecordBatch.from_pylist([], made.schema)  # what a reader is told before the first row
        yield from made.read(snapshot, where, place)

    batches = tasks.each(question)
    return pa.RecordBatchReader.from_batches(next(batches).schema, batches)


def to_arrow(
    tasks: BlockingQuery,
    filters: Filters = None,
    *,
    attributes: Sequence[str] = (),
    since: str | int | None = None,
    now: datetime | None = None,
) -> pa.Table:
    """The tasks that match as an Arrow table, in code point order of the ids; its columns are those of `tracker.analytics.columns`.

    ``attributes``: ``KEY:TYPE`` or ``NAME=KEY:TYPE``, for a column each, of type json, string, bool, int64, double or timestamp. ``since``: only
    what changed after this revision or change token, by revision and id; what is gone is told by the column ``change``. The table's metadata
    has under ``tracker`` the token to go on from. Raises `UsageError` (or `FilterError`), `StoreChanged`, `StoreError`.
    """
    return arrow_reader(tasks, filters, attributes=attributes, since=since, now=now).read_all()


def to_polars(
    tasks: BlockingQuery,
    filters: Filters = None,
    *,
    attributes: Sequence[str] = (),
    since: str | int | None = None,
    now: datetime | None = None,
) -> pl.DataFrame:
    """`to_arrow` as a polars frame: dictionaries are categoricals, maps are lists of structs of ``key`` and ``value``."""
    needs("polars", "to_polars")
    import polars as pl

    table = to_arrow(tasks, filters, attributes=attributes, since=since, now=now)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def to_pandas(
    tasks: BlockingQuery,
    filters: Filters = None,
    *,
    attributes: Sequence[str] = (),
    since: str | int | None = None,
    now: datetime | None = None,
) -> pd.DataFrame:
    """`to_arrow` as a pandas frame: dictionaries are categoricals, integers nullable (``Int32``), times ``datetime64[us, UTC]``, maps dicts."""
    needs("pandas", "to_pandas")
    import pandas as pd

    table = to_arrow(tasks, filters, attributes=attributes, since=since, now=now)
    nullable = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return table.to_pandas(types_mapper=nullable.get, maps_as_pydicts="strict")
