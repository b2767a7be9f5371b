"""Where two stores differ: task by task in id order, by the bytes of their states, and then field by field with why on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from tracker.errors import StoreError
from tracker.fold import view
from tracker.fold.state import from_bytes
from tracker.fold.view import Reason
from tracker.model.limits import Limits
from tracker.stores.base import PartitionStatus
from tracker.stores.contents import Contents, Holding

_HASH_BYTES = 16
CELLS = "columns"
"""The field that differs where two rows have the same state: somebody wrote to the table, or the columns' rules have changed."""
STATE = "state's bytes"
"""The field that differs where two states show the same."""


class Pair(NamedTuple):
    """One task on both sides; None: that side does not have it."""

    id: str
    a: Holding | None
    b: Holding | None

    @property
    def is_purged(self) -> bool:
        """Whether retention has purged attempts of it on a side: what the other side knows of them is no difference."""
        return any(side is not None and side.is_purged for side in (self.a, self.b))


class FieldDifference(msgspec.Struct, frozen=True):
    """One field of one task; a reason is None where no event has set it on that side."""

    field: str
    a: Any
    b: Any
    why_a: Reason | None = None
    why_b: Reason | None = None


class Comparison(msgspec.Struct):
    """How far a comparison is."""

    tasks: int = 0
    """Ids looked at, on either side."""
    left_out: int = 0
    """Not equal, and purged on a side."""
    different: int = 0
    hash_a: str = ""
    """Of all ids and states in order: equal for equal contents, in whatever database they are."""
    hash_b: str = ""


def pairs(a: Iterable[Holding], b: Iterable[Holding]) -> Iterator[Pair]:
    """Both in step, by id; each ascends."""
    first, second = iter(a), iter(b)
    one, other = next(first, None), next(second, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.id < other.id):
            assert one is not None
            yield Pair(one.id, one, None)
            one = next(first, None)
        elif one is None or other.id < one.id:
            yield Pair(other.id, None, other)
            other = next(second, None)
        else:
            yield Pair(one.id, one, other)
            one, other = next(first, None), next(second, None)


def is_equal(pair: Pair, *, cells: bool) -> bool:
    """Whether both sides have the same state and, where they are of one kind of database, the same row."""
    a, b = pair.a, pair.b
    return a is not None and b is not None and a.registers == b.registers and (not cells or a.cells == b.cells)


def differing(
    a: Contents,
    b: Contents,
    comparison: Comparison,
    on_task: Callable[[], None] = lambda: None,
    on_left_out: Callable[[Pair], None] = lambda _: None,
) -> Iterator[Pair]:
    """The tasks that are not equal, as they come, without those that were purged; ``comparison`` is kept up, and whole at the end."""
    cells = a.kind == b.kind
    hash_a, hash_b = (hashlib.blake2b(digest_size=_HASH_BYTES) for _ in "ab")
    for pair in pairs(a.holdings(), b.holdings()):
        comparison.tasks += 1
        on_task()
        equal = is_equal(pair, cells=cells)
        if not equal and pair.is_purged:
            comparison.left_out += 1
            on_left_out(pair)
            continue
        for digest, side in ((hash_a, pair.a), (hash_b, pair.b)):
            if side is not None:
                _add(digest, side)
        if not equal:
            comparison.different += 1
            yield pair
    comparison.hash_a, comparison.hash_b = hash_a.hexdigest(), hash_b.hexdigest()


def content_hash(holdings: Iterable[Holding]) -> str:
    """Of all ids and states in id order."""
    digest = hashlib.blake2b(digest_size=_HASH_BYTES)
    for each in holdings:
        _add(digest, each)
    return digest.hexdigest()


def _add(digest: Any, holding: Holding) -> None:
    id = holding.id.encode()
    digest.update(b"%d:%b%d:" % (len(id), id, len(holding.registers)))
    digest.update(holding.registers)


def fields(pair: Pair, limits_a: Limits, limits_b: Limits) -> list[FieldDifference]:
    """The fields that the two sides show otherwise. Where a side has no such task, ``task`` is the one field."""
    if pair.a is None or pair.b is None:
        return [FieldDifference("task", pair.a is not None, pair.b is not None)]
    if pair.a.registers == pair.b.registers:
        return [FieldDifference(CELLS, list(pair.a.cells), list(pair.b.cells))]
    try:
        (shown_a, why_a), (shown_b, why_b) = _shown(pair.a, limits_a), _shown(pair.b, limits_b)
    except StoreError:  # a state of another fold version, or damaged
        return [FieldDifference(STATE, pair.a.registers.hex(), pair.b.registers.hex())]
    found = []
    for name in [*shown_a, *(name for name in shown_b if name not in shown_a)]:
        one, other = shown_a.get(name), shown_b.get(name)
        if one != other or type(one) is not type(other):
            found.append(FieldDifference(name, one, other, why_a.get(name), why_b.get(name)))
    if found:
        return found
    named = [*why_a, *(name for name in why_b if name not in why_a)]
    by_reason = [name for name in named if _event(why_a.get(name)) != _event(why_b.get(name))]
    return [FieldDifference(name, shown_a.get(name), shown_b.get(name), why_a.get(name), why_b.get(name)) for name in by_reason] or [
        FieldDifference(STATE, pair.a.registers.hex(), pair.b.registers.hex())
    ]


def _event(reason: Reason | None) -> object:
    return None if reason is None else reason.event


def _shown(holding: Holding, limits: Limits) -> tuple[dict[str, Any], dict[str, Reason]]:
    """What a task shows, each attribute, message and return by itself; and why."""
    state = from_bytes(holding.registers)
    why = view.why(holding.id, state, limits)
    if state.deleted:
        return {"deleted": True}, why
    document = view.view(holding.id, state, limits) | view.extension(state, limits)
    shown = {name: value for name, value in document.items() if name not in ("attributes", "messages", "returns")}
    shown |= {f"attributes.{name}": value for name, value in document["attributes"].items()}
    for name in ("messages", "returns"):
        shown |= {f"{name}[{index}]": value for index, value in enumerate(document[name])}
    return shown, why


class PositionDifference(NamedTuple):
    """A partition that the two stores have read to different offsets; None: not at all."""

    topic: str
    partition: int
    a: int | None
    b: int | None


def positions(a: Iterable[PartitionStatus], b: Iterable[PartitionStatus]) -> list[PositionDifference]:
    """The partitions in which the two stand at different places."""
    ours, theirs = ({each.position.at: each.position.next_offset for each in side} for side in (a, b))
    everywhere = sorted(ours.keys() | theirs.keys())
    return [PositionDifference(*at, ours.get(at), theirs.get(at)) for at in everywhere if ours.get(at) != theirs.get(at)]
