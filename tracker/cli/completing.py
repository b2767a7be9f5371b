"""What the shell offers where Tab is pressed: fields, operators and values of a filter, sorters, and the ids of tasks.

Each function gets what stands there so far and gives whole words to put in its place. Completion never fails: where nothing can be
known, nothing is offered.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from tracker.errors import TrackerError

if TYPE_CHECKING:
    from tracker.query.fields import Field

MAX_IDS = 50
"""Ids offered at once: a screen of them."""
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"?|[(),]|[^\s()",]+')


def sorters(incomplete: str) -> list[str]:
    """The fields of ``--sort``, with the sign that was typed."""
    from tracker.query.fields import SORTABLE

    before, comma, last = incomplete.rpartition(",")
    sign = "-" if last.startswith("-") else ""
    named = {name.removeprefix("-") for name in before.split(",")}
    return _whole(before + comma + sign, last.removeprefix("-"), (name for name in SORTABLE if name not in named))


def field(incomplete: str) -> list[str]:
    """The fields that counts can be by."""
    from tracker.query.fields import FIELDS

    return _whole("", incomplete, FIELDS)


def kinds(incomplete: str) -> list[str]:
    """The kinds of events."""
    from tracker.model.kinds import KINDS

    return _whole("", incomplete, KINDS)


def times(incomplete: str) -> list[str]:
    """The times that a histogram can be over."""
    return _whole("", incomplete, ("created", "modified", "launched", "completed"))


def filters(incomplete: str) -> list[str]:
    """What can stand next in a filter: a field, then its operators, then its words if it has such, then ``and`` or ``or``."""
    from tracker.query.fields import DOCUMENTS, KNOWN, Kind

    documents = [document + "." for document in DOCUMENTS]
    found = list(_TOKEN.finditer(incomplete))
    is_begun = bool(found) and found[-1].end() == len(incomplete) and found[-1][0] not in {"(", ")", ","}
    start = found[-1].start() if is_begun else len(incomplete)
    before, last = incomplete[:start], incomplete[start:]
    tokens = [match[0] for match in (found[:-1] if is_begun else found)]
    latest = tokens[-1] if tokens else "("
    listed = _open_list(tokens)
    if listed is not None:
        return _whole(before, last, _quoted(KNOWN.get(listed)) if latest in {"(", ","} else [])
    if latest in {"(", "and", "or", "not"}:
        return _whole(before, last, (*KNOWN, *documents, "not", "pr"))
    if latest == "pr":
        return _whole(before, last, (*KNOWN, *documents))
    if latest in KNOWN and tokens[-2:-1] != ["pr"]:
        return _whole(before, last, (*KNOWN[latest].operators, "isnull"))
    if latest.startswith(tuple(documents)) and tokens[-2:-1] in ([], ["("], ["and"], ["or"], ["not"]):
        return _whole(before, last, (*Kind.JSON.operators, "ca", "isnull"))
    if latest in {"eq", "ne", "in", "ca"} and len(tokens) > 1:
        return _whole(before + ("(" if latest in {"in", "ca"} else ""), last, _quoted(KNOWN.get(tokens[-2])))
    return _whole(before, last, ("and", "or"))


def _open_list(tokens: list[str]) -> str | None:
    """The field whose list of values is open at the end; None: no list is."""
    for place in range(len(tokens) - 1, 1, -1):
        if tokens[place] == ")":
            return None
        if tokens[place] == "(":
            return tokens[place - 2] if tokens[place - 1] in {"in", "ca"} else None
    return None


def _quoted(field: Field | None) -> list[str]:
    return [f'"{word}"' for word in field.words] if field is not None else []


def task(context: typer.Context, incomplete: str) -> list[str]:
    """The ids of tasks that begin so."""
    try:
        return asyncio.run(_ids(context.params.get("store"), incomplete))
    except TrackerError:
        return []


async def _ids(store: str | None, incomplete: str) -> list[str]:
    from tracker.query.api import open_query
    from tracker.settings import Settings

    text = incomplete.replace("\\", "\\\\").replace('"', '\\"')
    async with open_query(Settings.load().with_flags(store=store).store) as query:
        page = await query.documents_page(f'id sw "{text}"' if text else None, "id", MAX_IDS)
    return [document["id"] for document in page.items]


def _whole(before: str, last: str, known: Iterable[str]) -> list[str]:
    return [before + word for word in known if word.startswith(last)]
