"""The HTTP APIs as an OpenAPI 3.1 document: what a server answers at ``/openapi.json``."""

from __future__ import annotations

from typing import Any

from tracker.errors import UsageError


def openapi() -> dict[str, Any]:
    """The document, both APIs. Raises UsageError where the extra ``web`` is not installed."""
    try:
        from tracker.web.app import create_app
    except ImportError as error:
        raise UsageError(f"the OpenAPI document needs an extra that is not installed ({error.name}): pip install 'tracker[web]'") from None
    from tracker.query import TaskQuery
    from tracker.stores.memory import MemoryStore

    return create_app(TaskQuery.over(MemoryStore())).openapi()
