"""Tasks as one flat table, in Arrow, polars, pandas, Parquet and CSV; see `tracker.analytics.columns` for what it has.

::

    import tracker
    from tracker.analytics import to_polars

    with tracker.connect("sqlite:///status.db") as tasks:
        frame = to_polars(tasks, filters='completionStatus eq "ERROR"', attributes=["identityCount:int64"])

The extra ``analytics`` has pyarrow, which all but CSV needs; polars and pandas are for those who want their frames.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.analytics.frames import arrow_reader as arrow_reader
    from tracker.analytics.frames import to_arrow as to_arrow
    from tracker.analytics.frames import to_pandas as to_pandas
    from tracker.analytics.frames import to_polars as to_polars
    from tracker.analytics.log import log_reader as log_reader
    from tracker.analytics.log import log_to_arrow as log_to_arrow
    from tracker.analytics.statuses import to_documents as to_documents

_HOMES = {
    "arrow_reader": "tracker.analytics.frames",
    "log_reader": "tracker.analytics.log",
    "log_to_arrow": "tracker.analytics.log",
    "to_arrow": "tracker.analytics.frames",
    "to_documents": "tracker.analytics.statuses",
    "to_pandas": "tracker.analytics.frames",
    "to_polars": "tracker.analytics.frames",
}
"""Public name -> its module, imported when it is first used: pyarrow takes a quarter of a second."""

__all__ = ["arrow_reader", "log_reader", "log_to_arrow", "needs", "to_arrow", "to_documents", "to_pandas", "to_polars"]


def needs(package: str, what: str) -> None:
    """Look for a package that an extra brings. Raises UsageError where it is not installed."""
    if find_spec(package) is None:
        also = "" if package == "pyarrow" else f" {package}"
        raise UsageError(f"{what} needs {package}, which is not installed: pip install 'tracker[analytics]'{also}")


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tracker.analytics' has no attribute {name!r}")
    needs("pyarrow", f"tracker.analytics.{name}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
