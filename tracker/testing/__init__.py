"""What users and we test with: events by short calls, the proof that they converge, and the suites for stores and sources.

Each name is imported when it is first used: the suites need pytest, the rest needs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.testing.events import BEGINNING as BEGINNING
    from tracker.testing.events import assert_convergent as assert_convergent
    from tracker.testing.events import completed as completed
    from tracker.testing.events import corrected as corrected
    from tracker.testing.events import created as created
    from tracker.testing.events import deleted as deleted
    from tracker.testing.events import launched as launched
    from tracker.testing.events import messaged as messaged
    from tracker.testing.events import progressed as progressed
    from tracker.testing.events import returned as returned
    from tracker.testing.events import seconds as seconds
    from tracker.testing.events import to_records as to_records
    from tracker.testing.events import updated as updated
    from tracker.testing.simulate import Simulation as Simulation
    from tracker.testing.sources import PreparedLog as PreparedLog
    from tracker.testing.sources import SourceSuite as SourceSuite
    from tracker.testing.stores import StoreSuite as StoreSuite

_HOMES = {
    "PreparedLog": "sources",
    "Simulation": "simulate",
    "SourceSuite": "sources",
    "StoreSuite": "stores",
}
"""Public name -> module; all others are of ``events``."""

__all__ = [
    "BEGINNING",
    "PreparedLog",
    "Simulation",
    "SourceSuite",
    "StoreSuite",
    "assert_convergent",
    "completed",
    "corrected",
    "created",
    "deleted",
    "launched",
    "messaged",
    "progressed",
    "returned",
    "seconds",
    "to_records",
    "updated",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tracker.testing' has no attribute {name!r}")
    value = getattr(import_module(f"tracker.testing.{_HOMES.get(name, 'events')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
