"""A store by its URL: ``sqlite:///status.db`` (``?synchronous=full`` or ``normal``), ``postgresql://user@host/database`` (``?schema=NAME``
and libpq's settings), or ``memory://``.
"""

from __future__ import annotations

import threading
from difflib import get_close_matches
from urllib.parse import parse_qsl, unquote, urlsplit

from tracker.errors import UsageError
from tracker.model.limits import Limits
from tracker.stores.base import StatusStore
from tracker.stores.contents import Contents, Shadow
from tracker.stores.postgres_url import address, is_postgres, without_password


def open_store(url: str, *, limits: Limits | None = None, create: bool = True, hurry: threading.Event | None = None) -> StatusStore:
    """Open (and where ``create``, make) the store that ``url`` names.

    ``limits`` are those to make a new store with, and to hold an existing one to; None takes the store's own (or the defaults). ``hurry``
    is to be the store's, for who may not wait long for it to open either.
    Raises `UsageError`, `NotFound`, `StoreMismatch` or `StoreError`.
    """
    if is_postgres(url):
        where = address(url)
        from tracker.stores.postgres import PostgresStore

        return PostgresStore(where, limits=limits, create=create, hurry=hurry)
    if urlsplit(url).scheme == "memory":
        from tracker.stores.memory import MemoryStore

        return MemoryStore(limits=limits)
    path, synchronous = sqlite_path(url)
    from tracker.stores.sql import SqlStore

    store = SqlStore(path, limits=limits, synchronous=synchronous, create=create)
    store.hurry = hurry or store.hurry
    return store


def open_contents(url: str) -> Contents:
    """Everything that the store at ``url`` holds, of the moment in which it is entered. Raises as `open_store` does."""
    if is_postgres(url):
        where = address(url)
        from tracker.stores.postgres_contents import PostgresContents

        return PostgresContents(where)
    from tracker.stores.sqlite_contents import SqliteContents

    return SqliteContents(sqlite_path(_kept(url))[0])


def open_shadow(url: str) -> Shadow:
    """What is built beside the store at ``url``. Raises as `open_store` does."""
    if is_postgres(url):
        where = address(url)
        from tracker.stores.postgres_shadow import PostgresShadow

        return PostgresShadow(where)
    from tracker.stores.sqlite_shadow import SqliteShadow

    return SqliteShadow(sqlite_path(_kept(url))[0])


def _kept(url: str) -> str:
    if urlsplit(url).scheme == "memory":
        raise UsageError(
            "a store in memory lives and ends with the process that fills it: name one that is kept, such as sqlite:///status.db"
        )
    return url


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
