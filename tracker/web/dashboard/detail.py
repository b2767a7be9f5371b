"""One task: how it stands, how it got there, and which event says so."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from tracker.fold.view import Reason
from tracker.query import questions
from tracker.query.base import Question, Snapshot
from tracker.query.kin import Tree
from tracker.web import markup, wording
from tracker.web.answers import clock
from tracker.web.context import Asking, Context, Served
from tracker.web.dashboard import chrome
from tracker.web.dashboard.selecting import equals
from tracker.web.dashboard.standing import Standing, standing
from tracker.web.dashboard.timeline import timeline

MESSAGES = 100
"""On one page; a task has up to 1,000."""
MESSAGE_TYPES = ("ERROR", "WARN", "INFO")
KIN, KIN_LEVELS = 200, 12
REASONS = 250
ATTRIBUTES = 400
"""Values of the attributes that are shown, at any depth."""
TEXT_CHARS = 4_000
"""Of one message."""
RAW_CHARS = 200_000

router = APIRouter(include_in_schema=False)


class Branch(msgspec.Struct):
    """A value among the attributes."""

    key: str
    text: str | None
    kind: str
    branches: list[Branch]
    more: int = 0
    """Members that are not shown."""


class Detail(msgspec.Struct):
    """What one snapshot has of a task."""

    task: dict[str, Any] | None
    why: dict[str, Reason] | None
    purged: str | None
    """The sentence that it was purged."""
    tree: Tree | None
    standing: Standing


@router.api_route("/task", methods=["GET", "HEAD"])
async def task(request: Request, served: Served, asking: Asking, id: str = "") -> Response:
    """The page of one task."""
    said = "The correction is written, and folded in." if request.query_params.get("corrected") else None
    return await shown(request, served, asking, id, said=said)


async def shown(
    request: Request, served: Context, asking: Asking, id: str, *, status: int = 200, said: str | None = None, wrong: str | None = None
) -> Response:
    """The task's page; ``said`` and ``wrong`` are what became of a correction."""
    now = clock()
    found = await served.turns.ask(_detail(id, standing(now, chrome.pulse_of(request))))
    at = chrome.zone_only(request)
    if found.task is None:
        return markup.wrong(request, 404, *_absent(id, found))
    reasons = found.why or {}
    events = [reasons[f"messages[{number}]"].event for number in range(len(found.task["messages"]))]
    said_at = [event.time + "Z" for event in events if event is not None]
    context: dict[str, Any] = {
        "id": id,
        "task": found.task,
        "outcome": wording.outcome(found.task),
        "took": wording.took(found.task, now),
        "timeline": timeline(found.task, said_at, now),
        "attributes": _branches(found.task["attributes"], [ATTRIBUTES]),
        "arguments": _branches((found.task["taskDefinitionSummary"] or {}).get("arguments") or {}, [ATTRIBUTES]),
        "tree": found.tree,
        "of_node": lambda node: wording.BY_NAME[node.completion_status or node.state],
        "reasons": list(_reasons(reasons)),
        "reasons_left_out": max(0, sum(1 for _ in _of_fields(reasons)) - REASONS),
        "raw": wording.pretty(
            {key: value for key, value in found.task.items() if key != "tracker"} | {"tracker": found.task["tracker"]}, RAW_CHARS
        ),
        "copies": _copies(request, id, is_open=served.access.is_open),
        "corrects": served.corrections is not None and chrome.may_write(asking),
        "why_not": _why_not(served, asking),
        "filter": equals("id", id),
        "said": said,
        "wrong": wrong,
        "outcomes": wording.OUTCOMES,
        **_messages(request, found.task, said_at),
    }
    return chrome.framed(request, served, asking, "task.html", status, now=now, at=at, standing=found.standing, **context)


def _detail(id: str, place: Question[Standing]) -> Question[Detail]:
    document, why, purged = questions.document(id, extension=True), questions.why(id), questions.purged(id)
    tree = questions.tree(id, max_tasks=KIN, max_depth=KIN_LEVELS)

    def question(snapshot: Snapshot) -> Detail:
        return Detail(document(snapshot), why(snapshot), purged(snapshot), tree(snapshot), place(snapshot))

    return question


def _absent(id: str, found: Detail) -> tuple[str, str]:
    """Title and sentence where there is no status."""
    if found.purged is not None:
        return "Purged", f"Retention has taken it away: {found.purged}. A later attempt opens it again."
    if found.why is not None:
        return "Deleted", f"The task {wording.cut(id, 256)!r} was deleted: of a deleted task nothing is kept."
    if not id:
        return "No such task", "A task is named by its id, as in /task?id=my-task."
    return "No such task", f"There is no task {wording.cut(id, 256)!r}. It appears as soon as its first event is read."


def _why_not(served: Context, asking: Asking) -> str | None:
    if served.corrections is None:
        return "Corrections are events in the log, and this server was started without --source."
    return None if chrome.may_write(asking) else f"{asking.name} may only read."


def _messages(request: Request, task: dict[str, Any], said_at: list[str]) -> dict[str, Any]:
    """One page of the messages, the latest first, of the type that is asked for."""
    kind = request.query_params.get("messages", "")
    kind = kind if kind in MESSAGE_TYPES else ""
    numbered = list(enumerate(zip(task["messages"], said_at, strict=True)))
    chosen = [(number, message, said) for number, (message, said) in numbered if not kind or message["type"] == kind]
    until = request.query_params.get("until", "")
    last = int(until) if until.isascii() and until.isdigit() and len(until) < 6 else len(numbered)
    older = [each for each in chosen if each[0] < last]
    page = older[-MESSAGES:]
    counts = {name: sum(message["type"] == name for message in task["messages"]) for name in MESSAGE_TYPES}
    return {
        "messages": page[::-1],
        "message_type": kind,
        "message_counts": counts,
        "older_until": page[0][0] if len(older) > len(page) else None,
        "is_newest": last >= len(numbered),
        "text_chars": TEXT_CHARS,
    }


def _of_fields(reasons: dict[str, Reason]) -> Iterator[tuple[str, Reason]]:
    for name, reason in reasons.items():
        if not name.startswith(("messages[", "returns[")):  # they stand beside the messages and returns themselves
            yield name, reason


def _reasons(reasons: dict[str, Reason]) -> Iterator[tuple[str, Reason]]:
    ordered = sorted(_of_fields(reasons), key=lambda item: item[0].startswith("attributes."))
    yield from ordered[:REASONS]


def _branches(value: dict[str, Any] | list[Any], left: list[int]) -> list[Branch]:
    """As a tree, with no more than ``left[0]`` values in all."""
    items = value.items() if isinstance(value, dict) else ((str(at), each) for at, each in enumerate(value))
    branches: list[Branch] = []
    for number, (key, each) in enumerate(items):
        if left[0] <= 0:
            branches.append(Branch("", None, "cut", [], more=len(value) - number))
            break
        left[0] -= 1
        if isinstance(each, dict | list) and each:
            branches.append(Branch(key, None, "list" if isinstance(each, list) else "object", _branches(each, left)))
        else:
            kind = "text" if isinstance(each, str) else "null" if each is None else "value"
            branches.append(Branch(key, wording.compact(each, 1_000), kind, []))
    return branches


def _copies(request: Request, id: str, *, is_open: bool) -> list[tuple[str, str, str]]:
    """The same task by other means: name, title, and what to type."""
    base = f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}"
    login = "" if is_open else ' -H "Authorization: Bearer $TRACKER_TOKEN"'
    url = f"{base}/api/tasks/{wording.in_query(id)}"
    python = (
        "import asyncio\nimport tracker\n\n\nasync def main() -> None:\n"
        '    async with tracker.open_query("sqlite:///status.db") as tasks:\n'
        f"        print(await tasks.get({id!r}))\n\n\nasyncio.run(main())"
    )
    return [
        ("curl", "curl", f"curl -s{login} {shlex.quote(url)}"),
        ("cli", "Command line", f"tracker get {'-- ' if id.startswith('-') else ''}{shlex.quote(id)}"),
        ("python", "Python", python),
    ]
