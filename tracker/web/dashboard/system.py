"""The system: how far the reading is, how fast it goes, that every record is accounted for, and the records that were refused."""

from __future__ import annotations

import platform
from time import monotonic
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from tracker.errors import NotFound, UsageError
from tracker.model.limits import FOLD_VERSION
from tracker.query.base import Snapshot
from tracker.query.report import StatusReport, report
from tracker.stores.base import ParkedRecord
from tracker.web import wording
from tracker.web.answers import clock
from tracker.web.context import Asking, Context, Served
from tracker.web.dashboard import chrome
from tracker.web.dashboard.forms import form
from tracker.web.dashboard.pulse import MINUTES, Pulse
from tracker.web.dashboard.standing import Standing, standing
from tracker.web.parked import MAX_NUMBER, drop_bytes, try_again

PARKED = 25
"""Refused records of one page; each is read with its bytes."""
RAW_BYTES = 16_384
"""Of a refused record that are shown; the API gives all of them."""
CHART_HEIGHT = 80.0

router = APIRouter(include_in_schema=False)


class Refused(msgspec.Struct):
    """One parked record as it is listed."""

    number: int
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: str | None
    dropped: bool


class System(msgspec.Struct):
    """What one snapshot says."""

    report: StatusReport
    refused: list[Refused]
    next: int | None
    standing: Standing
    committed_at: str | None
    kept_by: str
    """What keeps the store."""


@router.api_route("/system", methods=["GET", "HEAD"])
async def system(request: Request, served: Served, asking: Asking) -> Response:
    """The page of the system."""
    now, pulse = clock(), chrome.pulse_of(request)
    after, reason = _number(request.query_params.get("after", "0")), request.query_params.get("reason") or None

    def question(snapshot: Snapshot) -> System:
        found = report(snapshot.facts(), now)
        refused = [_refused(each) for each in snapshot.parked(after=after, limit=PARKED + 1, reason=reason)]
        committed = max((each.committed_at for each in found.partitions if each.committed_at), default=None)
        return System(
            found,
            refused[:PARKED],
            refused[PARKED - 1].number if len(refused) > PARKED else None,
            stood(snapshot),
            committed,
            snapshot.kept_by,
        )

    stood = standing(now, pulse)
    found = await served.turns.ask(question)
    context: dict[str, Any] = {
        "system": found,
        "sums": found.report.counters,
        "chart": _chart(pulse),
        "per_second": pulse.per_second(),
        "reason": reason,
        "after": after,
        "facts": _facts(served, found),
        "rebuild": _rebuild(found.report.rebuild),
        "retries": served.writable is not None and chrome.may_write(asking),
        "said": request.query_params.get("said", ""),
    }
    return chrome.framed(request, served, asking, "system.html", now=now, at=chrome.zone_only(request), standing=found.standing, **context)


@router.api_route("/parked", methods=["GET", "HEAD"])
async def refused(request: Request, served: Served, asking: Asking, number: str = "") -> Response:
    """One refused record with its bytes."""
    now, wanted = clock(), _number(number)
    stood = standing(now, chrome.pulse_of(request))

    def question(snapshot: Snapshot) -> tuple[ParkedRecord | None, Standing]:
        return snapshot.parked_record(wanted), stood(snapshot)

    found, place = await served.turns.ask(question)
    if found is None:
        raise NotFound(f"there is no parked record {wanted}")
    value = found.record.value
    context: dict[str, Any] = {
        "record": found,
        "row": _refused(found),
        "value": None if value is None or found.dropped else value[:RAW_BYTES].decode("utf-8", "replace"),
        "hex": None if value is None or found.dropped else _hex(value[:1_024]),
        "size": len(value or b""),
        "cut": len(value or b"") > RAW_BYTES,
        "record_headers": [(name, (held or b"")[:500].decode("utf-8", "replace")) for name, held in found.record.headers],
        "retries": served.writable is not None and chrome.may_write(asking),
    }
    return chrome.framed(request, served, asking, "parked.html", now=now, at=chrome.zone_only(request), standing=place, **context)


@router.post("/parked/retry")
async def retry(request: Request, served: Served) -> Response:
    """Try one refused record again."""
    number = _number((await form(request)).get("number", ""))
    totals = await try_again(served, number)
    words = (("applied", "it is an event by now, and was applied"), ("unchanged", "it is an event by now, and changed nothing"))
    others = (("ignored", "it is of a type that is ignored"), ("still_parked", "it is refused as before"))
    said = next((text for name, text in (*words, *others) if getattr(totals, name)), "it was tried")
    return _back(request, f"Record {number}: {said}.")


@router.post("/parked/drop")
async def drop(request: Request, served: Served) -> Response:
    """Delete the bytes of one refused record."""
    given = await form(request)
    number = _number(given.get("number", ""))
    if given.get("sure") != "yes":
        raise UsageError("tick that you mean it: the record's bytes are gone then, only its count stays")
    await drop_bytes(served, number)
    return _back(request, f"The bytes of record {number} were deleted.")


def _back(request: Request, said: str) -> Response:
    return RedirectResponse(f"{request.scope['root_path']}/system?{urlencode({'said': said})}#refused", 303)


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_NUMBER:
        return int(text)
    raise UsageError(f"expected the number of a parked record, found {text[:40]!r}")


def _refused(each: ParkedRecord) -> Refused:
    record = each.record
    key = None if record.key is None else record.key.decode("utf-8", "replace")
    return Refused(each.number, record.topic, record.partition, record.offset, each.reason, each.detail, key, each.dropped)


def _hex(data: bytes) -> str:
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at:06x}  {row.hex(' '):<47}  {text}")
    return "\n".join(lines)


def _chart(pulse: Pulse) -> dict[str, Any]:
    """Records read in each of the last 60 minutes, as bars."""
    minutes = pulse.per_minute(monotonic())
    most = max((each or 0 for each in minutes), default=0)
    width = 1_000 / MINUTES
    bars = [
        {
            "x": round(at * width + 1, 2),
            "width": round(width - 2, 2),
            "height": round(CHART_HEIGHT * each / (most or 1), 2),
            "count": each,
            "ago": MINUTES - 1 - at,
        }
        for at, each in enumerate(minutes)
        if each is not None
    ]
    return {"bars": bars, "most": most}


def _rebuild(note: dict[str, Any] | None) -> dict[str, Any] | None:
    """How the last rebuild stands, for people; another release may have noted it otherwise."""
    if note is None:
        return None
    state, total = note.get("state", "in a state that this release does not know"), note.get("total")
    return {
        "state": state.replace("-", " "),
        "sources": ", ".join(note.get("sources", ())) or "its log",
        "share": f"{note.get('done', 0) / total:.0%}" if total and state in ("building", "catching-up", "verifying") else None,
        "compared": note.get("tasks", 0),
        "different": note.get("different", 0),
        "asks": state == "different",
        "noted_at": note.get("notedAt"),
    }


def _facts(served: Context, system: System) -> list[tuple[str, str]]:
    found = system.report
    size = "in memory" if found.size is None else wording.size(found.size.bytes)
    if found.size is not None and found.size.free_bytes:
        size += f", {wording.size(found.size.free_bytes)} of it free"
    return [
        ("Tasks", wording.number(found.tasks)),
        *([("Purged tasks", wording.number(found.purged))] if found.purged else []),
        ("Store", f"{system.kept_by}, {size}" if found.size is not None else size),
        ("Revision", wording.number(found.revision)),
        ("Projector", "in this process" if served.projects else "in another process"),
        ("This process", f"up for {wording.span(served.meters.uptime_s)}"),
        ("tracker", f"{chrome.VERSION}, fold version {FOLD_VERSION}"),
        ("Build", f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"),
    ]
