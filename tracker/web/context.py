"""What every route is given: the open tasks, what it may write to, and when it must end."""

from __future__ import annotations

import asyncio
from typing import Annotated, TypeAlias
from urllib.parse import unquote

from fastapi import Depends, Request
from pydantic import BeforeValidator

from tracker.query.api import TaskQuery
from tracker.web.corrections import Corrections


class Context:
    """One for an app; ``request.app.state.context``, or as a parameter: ``served: Served``."""

    def __init__(self, tasks: TaskQuery, corrections: Corrections | None) -> None:
        self.tasks = tasks
        """Open while the app is."""
        self.corrections = corrections
        """None: there is no log that corrections could be written to."""
        self.stopping = asyncio.Event()
        """Set when the server begins to stop: answers without an end must end now."""


def context_of(request: Request) -> Context:
    """The app's context."""
    context: Context = request.app.state.context
    return context


def _decoded(segment: object) -> object:
    try:
        return unquote(segment, errors="strict") if isinstance(segment, str) else segment
    except UnicodeDecodeError:
        raise ValueError("expected a task id in UTF-8, percent-encoded") from None


Served: TypeAlias = Annotated[Context, Depends(context_of)]
TaskId: TypeAlias = Annotated[str, BeforeValidator(_decoded)]
"""A path's segment. Routes match the path as it was sent, so that an id may hold ``%2F``; here it is decoded, once."""
