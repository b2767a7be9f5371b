"""A store by its URL: ``sqlite:///status.db`` (``?synchronous=full`` or ``normal``), ``postgresql://user@host/database`` (``?schema=NAME``
and libpq's settings), or ``memory://``.
"""

from __future__ import annotations

from difflib import get_close_matches
from urllib.parse import parse_qsl, unquote, urlsplit

from tracker.errors import UsageError
from tracker.model.limits import Limits
from tracker.stores.base import StatusStore
from tracker.stores.postgres_url import address, is_postgres, without_password


def open_store(url: str, *, limits: Limits | None = None, create: bool = True) -> StatusStore:
    """Open (and where ``create``, make) the store that ``url`` names.

    ``limits`` are those to make a new store with, and to hold an existing one to; None takes the store's own (or the defaults).
    Raises `UsageError`, `NotFound`, `StoreMismatch` or `StoreError`.
    """
    if is_postgres(url):
        where = address(url)
        from tracker.stores.postgres import PostgresStore

        return PostgresStore(where, limits=limits, create=create)
    if urlsplit(url).scheme == "memory":
        from tracker.stores.memory import MemoryStore

        return MemoryStore(limits=limits)
    path, synchronous = sqlite_path(url)
    from tracker.stores.sql import SqlStore

    return SqlStore(path, limits=limits, synchronous=synchronous, create=create)


def sqlite_path(url: str) -> tuple[str, str]:
    """The file and the ``synchronous`` setting of a ``sqlite:///`` URL; raises `UsageError`."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path) < 2:
        raise UsageError(
            f"expected a store such as sqlite:///status.db, postgresql://user@host/database or memory://, got {without_password(url)}"
        )
    synchronous = "FULL"
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name != "synchronous":
            hint = " (did you mean synchronous?)" if get_close_matches(name, ["synchronous"]) else ""
            raise UsageError(f"{url}: the only setting of a SQLite store is synchronous, got {name}{hint}")
        if value.lower() not in ("full", "normal"):
            raise UsageError(f"{url}: synchronous is full (a power cut loses nothing committed) or normal, not {value!r}")
        synchronous = value.upper()
    # As in SQLAlchemy: three slashes and a relative path, four and an absolute one.
    return unquote(parts.path[1:]), synchronous
