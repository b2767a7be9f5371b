"""Our own API, the refused records: list and show them, try them again, drop their bytes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from tracker.errors import NotFound
from tracker.projector.retry import RetryTotals, retry_parked
from tracker.query.base import Snapshot
from tracker.stores.base import ParkedRecord, StatusStore
from tracker.web import documents
from tracker.web.answers import WAITING, WRITING, Reading, answer, answer_heads, clock, paged, problems, read
from tracker.web.context import Context, Served
from tracker.web.problems import Problem

T = TypeVar("T")
PAGE = 1_000
SOME = 20
"""Records read at once: each comes with its bytes, up to 1 MiB."""
MAX_NUMBER = 2**63 - 1
ReasonName: TypeAlias = Literal["too-large", "not-json", "not-an-event", "invalid-data", "future-time"]
Number: TypeAlias = Annotated[int, Path(ge=1, le=MAX_NUMBER, description="The store's own number of the record.")]
Reason: TypeAlias = Annotated[ReasonName | None, Query(description="Only records refused for this reason; all of them unless told.")]

router = APIRouter(prefix="/parked", tags=["parked"], responses=problems())


class Listing(Reading):
    """Parameters of a list of parked records."""

    reason: ReasonName | None = Field(None, description="Only those refused for this reason.")
    limit: int = Field(100, ge=1, le=PAGE, description="At most so many records.")
    after: int = Field(0, ge=0, le=MAX_NUMBER, description="Those with a greater number.")


@router.get("", operation_id="listParked", response_model=documents.ParkedPage, responses=problems(*WAITING))
async def list_parked(request: Request, served: Served, wanted: Annotated[Listing, Query()]) -> Response:
    """List the refused records, by number."""

    def question(snapshot: Snapshot) -> list[dict[str, Any]]:
        found, after, missing = list[dict[str, Any]](), wanted.after, wanted.limit + 1
        while some := snapshot.parked(after=after, limit=min(missing, SOME), reason=wanted.reason):
            found += map(_shown, some)
            after, missing = some[-1].number, missing - len(some)
        return found

    found, at = await read(served, wanted, question, clock())
    items = found[: wanted.limit]
    cursor = items[-1]["number"] if len(found) > len(items) else None
    return paged(request, {"items": items}, cursor, at)


@router.get("/{number:int}", operation_id="getParked", response_model=documents.ParkedWithBytes, responses=problems(404, *WAITING))
async def get_parked(served: Served, number: Number, wanted: Annotated[Reading, Query()]) -> Response:
    """Get one refused record with its bytes and headers."""
    parked, at = await read(served, wanted, lambda snapshot: snapshot.parked_record(number), clock())
    if parked is None:
        raise Problem(404, f"there is no parked record {number}")
    record = parked.record
    headers = [[name, None if value is None else _base64(value)] for name, value in record.headers]
    value = None if parked.dropped or record.value is None else _base64(record.value)
    return answer({**_shown(parked), "value": value, "headers": headers, "at": at})


@router.post("/retry", operation_id="retryAllParked", response_model=documents.RetryDocument, responses=problems(*WRITING))
async def retry_all(served: Served, reason: Reason = None) -> Response:
    """Try all refused records again (or those of one reason): what is an event by the store's present rules is folded, the rest stays."""

    def retry(store: StatusStore) -> RetryTotals:
        totals = RetryTotals()
        for numbers in _with_bytes(store, reason):
            done = retry_parked(store, numbers)
            for name in ("applied", "unchanged", "ignored", "still_parked"):
                setattr(totals, name, getattr(totals, name) + getattr(done, name))
        return totals

    return _totals(await _writing(served, retry))


@router.post("/{number:int}/retry", operation_id="retryParked", response_model=documents.RetryDocument, responses=problems(*WRITING))
async def retry_one(served: Served, number: Number) -> Response:
    """Try one refused record again."""
    return _totals(await try_again(served, number))


@router.delete("/{number:int}", operation_id="dropParked", response_model=documents.DropDocument, responses=problems(*WRITING))
async def drop(served: Served, number: Number) -> Response:
    """Delete the bytes of one refused record; the record and its count stay, so that the sums add up."""
    return answer({"dropped": await drop_bytes(served, number)})


async def try_again(served: Context, number: int) -> RetryTotals:
    """Try one refused record again. Raises `Problem`, `NotFound`."""
    return await _writing(served, partial(_retry_one, number))


async def drop_bytes(served: Context, number: int) -> int:
    """Delete the bytes of one refused record; how many were deleted. Raises `Problem`, `NotFound`."""

    def drop(store: StatusStore) -> int:
        if store.parked_record(number) is None:
            raise NotFound(f"there is no parked record {number}")
        return store.drop_parked([number])

    return await _writing(served, drop)


async def _writing(served: Context, work: Callable[[StatusStore], T]) -> T:
    """Do the work on the store, in a thread, as another writer beside the projector."""
    opened = served.writable
    if opened is None:
        raise Problem(409, "parked records can't be tried again or dropped here: this server only reads the store")

    def do() -> T:
        with opened() as store:
            return work(store)

    return await served.turns.write(do)


def _retry_one(number: int, store: StatusStore) -> RetryTotals:
    parked = store.parked_record(number)
    if parked is not None and parked.dropped:
        raise Problem(409, f"the bytes of parked record {number} were dropped: it can't be tried again")
    return retry_parked(store, [number])


def _with_bytes(store: StatusStore, reason: str | None) -> Iterator[list[int]]:
    """All records that still have their bytes, page by page."""
    after = 0
    while page := store.parked(after=after, limit=PAGE, reason=reason):
        after = page[-1].number
        if numbers := [each.number for each in page if not each.dropped]:
            yield numbers


def _totals(totals: RetryTotals) -> Response:
    return answer({"applied": totals.applied, "unchanged": totals.unchanged, "ignored": totals.ignored, "stillParked": totals.still_parked})


def _shown(parked: ParkedRecord) -> dict[str, Any]:
    record = parked.record
    document: dict[str, Any] = {
        "number": parked.number,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "reason": parked.reason,
        "detail": parked.detail,
        "key": None,
        "dropped": parked.dropped,
        "timestampMs": record.timestamp_ms,
    }
    if record.key is not None:
        try:
            document["key"] = record.key.decode()
        except UnicodeDecodeError:
            document["keyBase64"] = _base64(record.key)
    return document


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


answer_heads(router)
