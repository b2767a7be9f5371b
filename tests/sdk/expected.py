"""What the lists must hold, worked out from the workload by hand-written rules and not by the product."""

from __future__ import annotations

from collections.abc import Callable

from .workload import BULK, FULL, bulk_id

SORTED = 'sourceId eq "source-a"'
COUNTED = 'sourceId eq "source-b"'
IN_A = range(40)
"""The numbers of the bulk tasks of source-a."""
_KNOWS_ISNULL = ("v1", "v2025", "v2026")
_KNOWS_LAUNCHER = ("v1", "v2026")


def _those(of: Callable[[int], bool]) -> list[str]:
    return sorted(bulk_id(number) for number in IN_A if of(number))


LISTS = {
    'id eq "bulk-0007"': [bulk_id(7)],
    'id in ("bulk-0007", "bulk-0011", "none")': [bulk_id(7), bulk_id(11)],
    'id eq "a/b c:d é"': ["a/b c:d é"],
    'sourceId eq "source-a"': _those(lambda _: True),
    'sourceId in ("source-c", "source-d")': [FULL],
    'sourceId eq "source-a" and completionStatus eq "Success"': _those(lambda number: number % 4 == 0),
    'sourceId eq "source-a" and completionStatus eq"Success"': _those(lambda number: number % 4 == 0),
    'sourceId eq "source-a" and completionStatus in ("SUCCESS", "error")': _those(lambda number: number % 4 < 2),
    'type eq "CLOUD_ENTITLEMENT_IMPORT"': [FULL],
    'type in ("CLOUD_ACCOUNT_AGGREGATION", "CLOUD_REFRESH_ROLE") and sourceId eq "source-a"': _those(lambda _: True),
}
"""Filters of every version, and whom they find."""
ISNULL = {'sourceId eq "source-a" and completionStatus isnull': _those(lambda number: number % 4 > 1)}
LAUNCHER = {
    'sourceId eq "source-a" and launcher eq "SWEEP"': _those(lambda number: number % 2 == 1),
    'sourceId eq "source-a" and launcher in ("system", "nobody")': _those(lambda number: number % 2 == 0),
}


def lists(flavour: str) -> dict[str, list[str]]:
    """The filters that this version documents, and whom they find."""
    return LISTS | (ISNULL if flavour in _KNOWS_ISNULL else {}) | (LAUNCHER if flavour in _KNOWS_LAUNCHER else {})


def filters(flavour: str) -> dict[str, str]:
    """The filters to ask for, by name."""
    return {text: text for text in lists(flavour)}


def counted() -> int:
    """How many tasks COUNTED finds."""
    return BULK - len(IN_A)
