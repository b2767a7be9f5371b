"""What every route is given: the open tasks, what it may write to, and when it must end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, TypeAlias
from urllib.parse import unquote

from fastapi import Depends, Request
from pydantic import BeforeValidator

from tracker.query.api import TaskQuery
from tracker.stores.base import StatusStore
from tracker.web.access import Access, Client
from tracker.web.corrections import Corrections
from tracker.web.meters import Meters
from tracker.web.turns import Turns

Writable: TypeAlias = Callable[[], AbstractContextManager[StatusStore]]
"""Opens the store to write to it, in the thread that will."""


class Context:
    """One for an app; ``request.app.state.context``, or as a parameter: ``served: Served``."""

    def __init__(
        self,
        tasks: TaskQuery,
        access: Access,
        corrections: Corrections | None,
        writable: Writable | None,
        meters: Meters,
        *,
        projects: bool,
    ) -> None:
        self.tasks = tasks
        """Open while the app is."""
        self.turns = Turns(tasks)
        """For questions that look for tasks, or for many of them."""
        self.access = access
        self.corrections = corrections
        """None: there is no log that corrections could be written to."""
        self.writable = writable
        """For parked records, tried again or dropped; None: the store is only read."""
        self.meters = meters
        self.projects = projects
        """Whether the projector runs in this process."""
        self.stopping = asyncio.Event()
        """Set when the server begins to stop: answers without an end must end now."""


def context_of(request: Request) -> Context:
    """The app's context."""
    context: Context = request.app.state.context
    return context


def client_of(request: Request) -> Client:
    """Who asks, as the gate let it in."""
    client: Client = request.scope["tracker.client"]
    return client


def _decoded(segment: object) -> object:
    try:
        return unquote(segment, errors="strict") if isinstance(segment, str) else segment
    except UnicodeDecodeError:
        raise ValueError("expected a task id in UTF-8, percent-encoded") from None


Served: TypeAlias = Annotated[Context, Depends(context_of)]
Asking: TypeAlias = Annotated[Client, Depends(client_of)]
TaskId: TypeAlias = Annotated[str, BeforeValidator(_decoded)]
"""A path's segment. Routes match the path as it was sent, so that an id may hold ``%2F``; here it is decoded, once."""
