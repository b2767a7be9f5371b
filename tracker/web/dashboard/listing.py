"""The list of tasks: chips, filter, table; what follows it in a moment (facets, histogram); and what brings it up to date."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from tracker.errors import FilterError, TooLong
from tracker.query import questions
from tracker.query.base import Question, Snapshot
from tracker.query.fields import KNOWN
from tracker.query.pages import Page
from tracker.query.predicate import compile_predicate
from tracker.query.questions import together
from tracker.web import markup, wording
from tracker.web.answers import clock
from tracker.web.context import Asking, Context, Served
from tracker.web.dashboard import chrome, panels
from tracker.web.dashboard.place import COLUMNS, LIMITS, Place, place
from tracker.web.dashboard.selecting import OUTCOME_FIELDS, Selection, equals
from tracker.web.dashboard.standing import Standing, standing
from tracker.web.dashboard.tally import Tally, tally

PAGE_BYTES = 16_000_000
"""Of stored states: a page of greater tasks ends early."""
MAX_LIVE = 250
"""Tasks that one look brings up to date: as many as a page has."""

router = APIRouter(include_in_schema=False)


class Row(msgspec.Struct):
    """One task of the table."""

    id: str
    task: dict[str, Any] | None
    """None: it is deleted."""
    outcome: wording.Outcome | None
    took: str | None
    key: str = ""
    """What the list is sorted by first: where it changes, the task would stand elsewhere."""
    matches: bool = True
    """Whether the filter is still true of it."""


class Listing(msgspec.Struct):
    """A page and its counts, of one snapshot."""

    rows: list[Row]
    next: str | None
    looked_at: int | None
    tally: Tally
    standing: Standing


@router.api_route("/", methods=["GET", "HEAD"])
async def tasks(request: Request, served: Served, asking: Asking) -> Response:
    """The list; with ``part`` a piece of it, for what runs in the page."""
    at, now = place(request.query_params, request.query_params.getlist("column")), clock()
    part = request.query_params.get("part")
    try:
        selection = Selection(at.filters, now)
    except FilterError as error:
        return await _wrong_filter(request, served, asking, at, now, error)
    pulse = chrome.pulse_of(request)
    if part == "panels":
        found, stood = await served.turns.ask(together(panels.panels(selection, at, now), standing(now, pulse)), selection.where)
        return markup.page(request, "_panels.html", at=at, selection=selection, panels=found, standing=stood, now=now, equals=equals)
    if part == "live":
        ids = request.query_params.getlist("id")[:MAX_LIVE]
        live = await served.turns.ask(_live(selection, at, ids, now, standing(now, pulse)), selection.where)
        return markup.page(request, "_live.html", **_shared(at, selection, now, live), writes=chrome.may_write(asking))
    listed = await served.turns.ask(_listing(selection, at, now, standing(now, pulse)), selection.where)
    more: panels.Panels | None = None
    more_at: Standing | None = None
    if at.panels:
        with suppress(TooLong):  # the list is there, and says that they are not
            more, more_at = await served.turns.ask(together(panels.panels(selection, at, now), standing(now, pulse)), selection.where)
    context = _shared(at, selection, now, listed)
    shown: dict[str, Any] = {
        "panels": more,
        "panels_standing": more_at,
        "limits": LIMITS,
        "fields": tuple(KNOWN),
        "equals": equals,
        "error": None,
    }
    return chrome.framed(request, served, asking, "tasks.html", **context, **shown)


def _shared(at: Place, selection: Selection, now: datetime, listed: Listing) -> dict[str, Any]:
    return {
        "at": at,
        "now": now,
        "selection": selection,
        "listing": listed,
        "standing": listed.standing,
        "columns": [COLUMNS[name] for name in at.columns],
        "all_columns": COLUMNS,
        "outcomes": wording.OUTCOMES,
        "outcome_fields": OUTCOME_FIELDS,
    }


async def _wrong_filter(request: Request, served: Context, asking: Asking, at: Place, now: datetime, error: FilterError) -> Response:
    """The page with the filter as it was written, and the error under its place."""
    if request.query_params.get("part"):
        return markup.wrong(request, 400, "The filter can't be understood", str(error))
    stood = await served.tasks.ask(standing(now, chrome.pulse_of(request)), small=True)
    shown = {"error": _pointed(at.filters, error), "fields": tuple(KNOWN)}
    return chrome.framed(request, served, asking, "tasks.html", 400, now=now, at=at, standing=stood, **shown)


def _pointed(text: str, error: FilterError) -> dict[str, Any]:
    """The text in three pieces, the wrong one in the middle, and what is wrong."""
    start = min(error.position - 1, len(text))
    end = start
    while end < len(text) and not text[end].isspace() and text[end] not in "()," and end - start < 40:
        end += 1
    said = str(error).removeprefix(f"filter, position {error.position}: ")
    return {
        "before": text[max(0, start - 60) : start],
        "at": text[start:end] or " ",
        "after": text[end : end + 40],
        "said": said,
        "position": error.position,
    }


def _listing(selection: Selection, at: Place, now: datetime, place: Question[Standing]) -> Question[Listing]:
    page = questions.page(selection.where, at.sorters, at.limit, at.after, extension=True, max_bytes=PAGE_BYTES)
    counted = tally(selection)

    def question(snapshot: Snapshot) -> Listing:
        found: Page[dict[str, Any]] = page(snapshot)
        rows = [_row(task, now, at) for task in found.items]
        return Listing(rows, found.next, found.looked_at, counted(snapshot), place(snapshot))

    return question


def _live(selection: Selection, at: Place, ids: Sequence[str], now: datetime, place: Question[Standing]) -> Question[Listing]:
    """The tasks with these ids as they are now, wherever they would stand in the list by now; and the counts."""
    counted = tally(selection)
    matches = None if selection.where is None else compile_predicate(selection.where)

    def question(snapshot: Snapshot) -> Listing:
        rows = []
        for id in ids:
            row = snapshot.task(id)
            if row is None or row.state.deleted:
                rows.append(Row(id, None, None, None, matches=False))
            else:
                shown = _row(questions.shown(snapshot, row, extension=True), now, at)
                shown.matches = matches is None or matches(row)
                rows.append(shown)
        return Listing(rows, None, None, counted(snapshot), place(snapshot))

    return question


def _row(task: dict[str, Any], now: datetime, at: Place) -> Row:
    return Row(task["id"], task, wording.outcome(task), wording.took(task, now), _key(task, at.sorted_by[0]))


def _key(task: dict[str, Any], field: str) -> str:
    if field == "duration":
        return f"{task['launched']} {task['completed']}" if task["launched"] and task["completed"] else ""
    value: Any = task
    for name in ["target", "id"] if field == "sourceId" else field.split("."):
        value = None if value is None else value.get(name, task["tracker"].get(name))
    return "" if value is None else str(value)
