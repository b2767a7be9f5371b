"""The attempts of a task on one scale of time: how long each waited, and how long it ran."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from tracker.web.wording import BY_NAME, Outcome, instant, span

WIDTH = 1_000.0
"""Of the drawing's own units."""
SHOWN = 20
"""Attempts that are drawn, the latest: a task may have 100."""
LEAST = 3.0
"""What is drawn is at least so wide."""


class Stretch(msgspec.Struct):
    """One bar of the drawing."""

    kind: str
    """waiting, or the name of an outcome."""
    x: float
    width: float
    told: str


class Drawn(msgspec.Struct):
    """One attempt."""

    number: int
    outcome: Outcome
    launched: str | None
    completed: str | None
    waited: str | None
    ran: str | None
    stretches: list[Stretch]
    is_running: bool


class Tick(msgspec.Struct):
    """One message on the scale."""

    kind: str
    x: float
    told: str
    at: int


class Timeline(msgspec.Struct):
    """All that is drawn."""

    attempts: list[Drawn]
    left_out: int
    ticks: list[Tick]
    begin: str
    end: str


def timeline(task: dict[str, Any], said_at: Sequence[str], now: datetime) -> Timeline:
    """Of a document with the extension; ``said_at`` is when each of its messages was said."""
    attempts = [dict(each) for each in task["tracker"]["attempts"]]
    if not attempts or attempts[-1]["attempt"] != task["tracker"]["attempt"]:
        attempts.append({"attempt": task["tracker"]["attempt"], "launched": None, "completed": None, "completionStatus": None})
    created = instant(task["created"])
    moments = [
        created,
        instant(task["modified"]),
        *(instant(each[name]) for each in attempts for name in ("launched", "completed") if each[name]),
    ]
    moments += [instant(each) for each in said_at]
    if not attempts[-1]["completionStatus"]:
        moments.append(now)
    begin, end = min(moments), max(moments)
    length_s = max((end - begin).total_seconds(), 0.001)

    def x(moment: datetime) -> float:
        return round(WIDTH * (moment - begin).total_seconds() / length_s, 2)

    def stretch(kind: str, start: datetime, stop: datetime, told: str) -> Stretch:
        at = min(x(start), WIDTH - LEAST)
        return Stretch(kind, at, max(LEAST, round(x(stop) - at, 2)), told)

    drawn, free = list[Drawn](), created
    for at, each in enumerate(attempts):
        is_last = at == len(attempts) - 1
        launched, completed = (each[name] and instant(each[name]) for name in ("launched", "completed"))
        outcome = BY_NAME[each["completionStatus"] or ("RUNNING" if launched else "PENDING")]
        stop = completed or (now if is_last else instant(attempts[at + 1]["launched"] or task["modified"]))
        stretches, waited, ran = list[Stretch](), None, None
        waits_until = launched or (now if is_last and not completed else None)
        if waits_until and waits_until > free:
            waited = span((waits_until - free).total_seconds())
            stretches.append(stretch("waiting", free, waits_until, f"waited {waited}"))
        if launched:
            ran = span((stop - launched).total_seconds())
            stretches.append(stretch(outcome.name.lower(), launched, stop, f"{outcome.word}: {ran}"))
        elif completed:
            stretches.append(stretch(outcome.name.lower(), completed, completed, outcome.word))
        free = completed or stop
        drawn.append(
            Drawn(
                each["attempt"],
                outcome,
                each["launched"],
                each["completed"],
                waited,
                ran,
                stretches,
                bool(launched) and not completed and is_last,
            )
        )
    ticks = [
        Tick(message["type"].lower(), x(instant(said)), message["localizedText"]["message"], at)
        for at, (message, said) in enumerate(zip(task["messages"], said_at, strict=True))
    ]
    texts = [f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z" for moment in (begin, end)]
    return Timeline(drawn[-SHOWN:], max(0, len(drawn) - SHOWN), ticks[-200:], *texts)
