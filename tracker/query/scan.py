"""What no index and no SQL can say (attributes, texts of messages) is decided on the decoded rows, one by one, as far as a scan may go.

So are the questions about them, and all questions of a store in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tracker.query.base import Row, Scan
from tracker.query.fields import Field
from tracker.query.filters import Node
from tracker.query.predicate import compile_predicate, reader

Scalar: TypeAlias = str | int | None


def decided(rows: Iterable[Row], rest: Node, scan: Scan | None = None) -> Iterator[Row]:
    """The rows that match what is left of a filter; ends, and says so in ``scan``, before a row more than may be looked at."""
    matches = compile_predicate(rest)
    for row in rows:
        if scan is not None:
            if scan.looked_at == scan.limit or (scan.limit is not None and scan.bytes_left <= 0):
                scan.ended = True
                return
            scan.looked_at += 1
            scan.bytes_left -= len(row.registers)
            scan.last = row.key
        if matches(row):
            yield row


def counts(rows: Iterable[Row], by: Field) -> dict[Scalar, int]:
    """How many rows have each value."""
    return dict(Counter(map(reader(by), rows)))


def most(counted: Mapping[Scalar, int], limit: int | None) -> dict[Scalar, int]:
    """The values that most tasks have; of equally many the least, null last."""
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0] is None, item[0]))
    return dict(ordered[:limit])


def ends(rows: Iterable[Row], field: Field) -> tuple[str, str] | None:
    """The least and the greatest time."""
    read = reader(field)
    least = greatest = None
    for row in rows:
        if (held := read(row)) is not None:
            least = held if least is None else min(least, held)
            greatest = held if greatest is None else max(greatest, held)
    return None if least is None or greatest is None else (least, greatest)


def moments(rows: Iterable[Row], field: Field, length: int, by: Field | None) -> list[tuple[str, Scalar, int]]:
    """How many rows have each beginning of a time and each value."""
    read, value_of = reader(field), (lambda _row: None) if by is None else reader(by)
    found = Counter((held[:length], value_of(row)) for row in rows if (held := read(row)) is not None)
    return [(beginning, value, count) for (beginning, value), count in found.items()]


def values(rows: Iterable[Row], fields: Sequence[Field]) -> Iterator[tuple[Any, ...]]:
    """Each row's values of these fields."""
    reads = [reader(field) for field in fields]
    return (tuple([read(row) for read in reads]) for row in rows)
