"""``postgresql://user@host:5432/database?schema=NAME`` as an address: what libpq is told, and what may be shown to people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tracker.errors import UsageError

SCHEMES = ("postgresql", "postgres")
CONNECT_TIMEOUT_S = 10
SILENCE_MS = 20_000
"""A server that confirms nothing for so long is gone; TCP's own patience is a quarter of an hour."""
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_HOSTS = re.compile(r"(?:(?:\[[^]]*\]|[^:,]*)(?::[0-9]*)?(?:,|$))*")
"""Hosts with their ports. Where that is none, or an @ comes later, a password that is not percent-encoded has ended them early."""
_SECRETS = ("password", "sslpassword", "oauth_client_secret")


@dataclass(frozen=True)
class Address:
    """Where a store is."""

    conninfo: str
    """As libpq takes it, with the password if the URL has one: never to be shown."""
    schema: str
    shown: str
    """The URL without any password."""

    @property
    def qualifier(self) -> str:
        """The schema as statements have it before a table's name."""
        return f'"{self.schema}".'


def is_postgres(url: str) -> bool:
    """Whether the URL names a PostgreSQL store."""
    return url.partition(":")[0].lower() in SCHEMES


def without_password(url: str) -> str:
    """A store's URL as it may be shown; one that is not understood is not shown at all."""
    if "@" not in url and not is_postgres(url):
        return url
    try:
        parts = urlsplit(url)
        if not parts.netloc and not is_postgres(url):  # a file whose name has an @
            return url
        user = quote(parts.username or "", safe="%")
        host = parts.netloc.rpartition("@")[2]
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        later = "".join([parts.path, *(name for name, _ in pairs), parts.fragment])
        if not _HOSTS.fullmatch(host) or ("@" not in parts.netloc and "@" in later):
            return f"{parts.scheme}://…"
        query = urlencode([pair for pair in pairs if pair[0].lower() not in _SECRETS], safe="/,:")
        return f"{parts.scheme}://{user and user + '@'}{host}{parts.path}{query and '?' + query}"
    except ValueError:
        return f"{url.partition(':')[0]}://…"


def address(url: str) -> Address:
    """The address in a URL. Raises `UsageError`, also where the extra is not installed."""
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        raise UsageError(f"PostgreSQL needs an extra that is not installed ({error.name}): pip install 'tracker[postgres]'") from None
    shown = without_password(url)
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        schemas = [value for name, value in pairs if name == "schema"]
        query = urlencode([pair for pair in pairs if pair[0] != "schema"], quote_via=quote)
        if shown.endswith("…"):
            raise ValueError(shown)
        given = conninfo_to_dict(f"postgresql://{parts.netloc}{parts.path}?{query}")
    except (ValueError, ProgrammingError) as error:
        known = not shown.endswith("…") and re.search(r'invalid URI query parameter: "([^"]*)"', str(error))
        what = (
            f"no such setting: {known[1]} (its own is schema=NAME, the rest are libpq's)"
            if known
            else "it can't be understood (in a password, / ? # and @ are %2F %3F %23 and %40)"
        )
        raise UsageError(f"expected a store such as postgresql://user@host/database, got {shown}: {what}") from None
    if schemas[1:] or not all(map(_SCHEMA.fullmatch, schemas)):
        raise UsageError(
            f"{shown}: a schema is a name of letters, digits and underscores, 63 at most, not {', '.join(schemas) or 'nothing'}"
        )
    settings: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "tcp_user_timeout": SILENCE_MS,
        "keepalives_idle": SILENCE_MS // 2_000,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "application_name": "tracker",
    }
    conninfo = make_conninfo(**{**settings, **given, "client_encoding": "utf8"})
    return Address(conninfo, schemas[0] if schemas else "public", shown)
