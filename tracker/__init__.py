"""Folds task events from Kafka or log files into task statuses, exactly, whatever the order.

The names below are the library's public face; each is imported when it is first used, so that ``import tracker`` costs nothing::

    import tracker

    async with tracker.open_query("sqlite:///status.db") as tasks:
        status = await tasks.get("af1b82086c194f89acce82e156ff6e61")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.emit.base import Outgoing as Outgoing
    from tracker.emit.open import open_emitter as open_emitter
    from tracker.errors import TrackerError as TrackerError
    from tracker.model.events import TaskEvent as TaskEvent
    from tracker.model.events import parse as parse_event
    from tracker.model.limits import Limits as Limits
    from tracker.model.status import TaskStatus as TaskStatus
    from tracker.projector import Options as Options
    from tracker.projector import Projector as Projector
    from tracker.query.api import open_query as open_query
    from tracker.query.blocking import connect as connect
    from tracker.replay import replay as replay_files
    from tracker.sources.open import open_source as open_source
    from tracker.stores.open import open_store as open_store

_HOMES = {
    "Limits": ("tracker.model.limits", "Limits"),
    "Options": ("tracker.projector", "Options"),
    "Outgoing": ("tracker.emit.base", "Outgoing"),
    "Projector": ("tracker.projector", "Projector"),
    "TaskEvent": ("tracker.model.events", "TaskEvent"),
    "TaskStatus": ("tracker.model.status", "TaskStatus"),
    "TrackerError": ("tracker.errors", "TrackerError"),
    "connect": ("tracker.query.blocking", "connect"),
    "open_emitter": ("tracker.emit.open", "open_emitter"),
    "open_query": ("tracker.query.api", "open_query"),
    "open_source": ("tracker.sources.open", "open_source"),
    "open_store": ("tracker.stores.open", "open_store"),
    "parse_event": ("tracker.model.events", "parse"),
    "replay_files": ("tracker.replay", "replay"),
}
"""Public name -> module and name there."""

__all__ = [
    "Limits",
    "Options",
    "Outgoing",
    "Projector",
    "TaskEvent",
    "TaskStatus",
    "TrackerError",
    "connect",
    "open_emitter",
    "open_query",
    "open_source",
    "open_store",
    "parse_event",
    "replay_files",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    value = getattr(import_module(home[0]), home[1])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
