"""Who may do what: static bearer tokens and OAuth2 client credentials out of one TOML file; on this machine alone, anybody.

::

    signing_key = "at least 32 bytes; without it tokens end with the process"
    token_lifetime_s = 3600

    [[token]]                  # Authorization: Bearer <token>
    name = "dashboard"
    token = "at least 16 characters"
    scopes = ["read"]

    [[client]]                 # POST /oauth/token, as SailPoint's clients do
    id = "sync"
    secret = "at least 16 characters"
    scopes = ["read", "write"]

Secrets are held as digests, compared in constant time, and stand in no log and no ``repr``.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

from tracker.errors import NotFound, UsageError

READ, WRITE = "read", "write"
SCOPES = {
    READ: READ,
    WRITE: WRITE,
    "idn:task-management:read": READ,
    "idn:task-management:write": WRITE,
}
"""As they may be written; SailPoint's names mean ours."""
ALL = frozenset((READ, WRITE))
TOKEN_LIFETIME_S = 3600
"""The official client asks for one token when it is made and never again, so an hour is the longest that its scripts run."""
MIN_SECRET_CHARS = 16
MIN_KEY_BYTES = 32
"""HS256 has 32 bytes; a shorter key is easier to guess than the signature."""
_ALGORITHM = "HS256"
_ISSUER = "tracker"


@dataclass(frozen=True)
class Client:
    """Who asks."""

    name: str
    scopes: frozenset[str]


LOCAL = Client("local", ALL)
"""Anybody on this machine, where no login is configured."""


class Refused(Exception):
    """No valid credentials; the message says what is wrong with them."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may do what. Without tokens and clients it is open: everybody may do everything."""

    tokens: Mapping[bytes, Client] = field(default_factory=dict, repr=False)
    """By the digest of the token."""
    clients: Mapping[str, tuple[bytes, Client]] = field(default_factory=dict, repr=False)
    """The digest of the secret, and who it is, by the client's id."""
    signing_key: bytes = field(default_factory=lambda: secrets.token_bytes(MIN_KEY_BYTES), repr=False)
    token_lifetime_s: int = TOKEN_LIFETIME_S

    @property
    def is_open(self) -> bool:
        """Whether no login is needed."""
        return not self.tokens and not self.clients

    def who(self, authorization: str | None) -> Client:
        """The client that an Authorization header stands for. Raises `Refused`."""
        if self.is_open:
            return LOCAL
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refused("Authentication is required: send Authorization: Bearer and a token")
        token = token.strip()
        digest = _digest(token)
        found = None
        for known, client in self.tokens.items():  # all of them, so that the time tells nothing
            if hmac.compare_digest(known, digest):
                found = client
        return found or self._signed_for(token)

    def _signed_for(self, token: str) -> Client:
        try:
            claims = jwt.decode(
                token, self.signing_key, algorithms=[_ALGORITHM], issuer=_ISSUER, options={"require": ["exp", "iat", "iss", "sub"]}
            )
        except jwt.ExpiredSignatureError:
            raise Refused("JWT validation failed: JWT is expired") from None
        except (jwt.InvalidTokenError, UnicodeError):
            raise Refused("JWT validation failed: it is no token of this server") from None
        held = self.clients.get(claims["sub"])
        if held is None:
            raise Refused("JWT validation failed: its client is known no more")
        return held[1]

    def grant(self, client_id: str, secret: str) -> dict[str, Any]:
        """A signed, expiring token for a client's credentials, as ``/oauth/token`` answers. Raises `Refused`."""
        known, client = self.clients.get(client_id, (_digest(secrets.token_hex()), LOCAL))
        if self.is_open:
            known, client = _digest(secret), LOCAL
        if not hmac.compare_digest(known, _digest(secret)):
            raise Refused("the client's id or secret is wrong")
        now = int(time.time())
        claims = {"iss": _ISSUER, "sub": client.name, "iat": now, "exp": now + self.token_lifetime_s, "jti": secrets.token_hex(16)}
        return {
            "access_token": jwt.encode(claims, self.signing_key, _ALGORITHM),
            "token_type": "bearer",
            "expires_in": self.token_lifetime_s,
            "scope": " ".join(sorted(client.scopes)),
            "jti": claims["jti"],
        }


def read_access(path: str | None = None, token: str | None = None) -> Access:
    """From a TOML file and one static token that may do everything. UsageError, NotFound: what is wrong with the file."""
    document = {} if path is None else _toml(path)
    where = f"the access file {path}"
    _only(document, ("signing_key", "token_lifetime_s", "token", "client"), where)
    tokens: dict[bytes, Client] = {}
    clients: dict[str, tuple[bytes, Client]] = {}
    for at, entry in enumerate(_tables(document, "token", where), 1):
        what = f"{where}, [[token]] {at}"
        _only(entry, ("name", "token", "scopes"), what)
        tokens[_digest(_secret(entry, "token", what))] = Client(_text(entry, "name", what), _scopes(entry, what))
    for at, entry in enumerate(_tables(document, "client", where), 1):
        what = f"{where}, [[client]] {at}"
        _only(entry, ("id", "secret", "scopes"), what)
        name = _text(entry, "id", what)
        if name in clients:
            raise UsageError(f"{what}: there is a client {name!r} already")
        clients[name] = (_digest(_secret(entry, "secret", what)), Client(name, _scopes(entry, what)))
    if token is not None:
        tokens[_digest(_secret({"token": token}, "token", "TRACKER_TOKEN"))] = Client("token", ALL)
    if path is not None and not tokens and not clients:
        raise UsageError(f"{where} has neither a [[token]] nor a [[client]]: nobody could log in")
    access = Access(tokens=tokens, clients=clients, token_lifetime_s=_lifetime(document, where))
    return access if "signing_key" not in document else _signed_by(access, document["signing_key"], where)


def is_readable_by_others(path: str) -> bool:
    """Whether everybody on the machine may read the file."""
    return bool(Path(path).stat().st_mode & 0o004)


def _signed_by(access: Access, key: object, where: str) -> Access:
    if not isinstance(key, str) or len(key.encode()) < MIN_KEY_BYTES:
        raise UsageError(f"{where}: signing_key must be a text of at least {MIN_KEY_BYTES} bytes, such as `openssl rand -hex 32` gives")
    return Access(tokens=access.tokens, clients=access.clients, signing_key=key.encode(), token_lifetime_s=access.token_lifetime_s)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def _toml(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise NotFound(f"the access file {path} can't be read: {error.strerror}") from None
    except ValueError as error:  # says where, and repeats no value
        raise UsageError(f"the access file {path} is no TOML: {error}") from None


def _only(table: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    names = tuple(known)
    for name in table:
        if name not in names:
            raise UsageError(f"{what} has an unknown {name!r}: expected {', '.join(names)}")


def _tables(document: Mapping[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UsageError(f"{where}: {name} is written as [[{name}]], a table of its own each")
    return found


def _text(table: Mapping[str, Any], name: str, what: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise UsageError(f"{what} needs {name}, a text")
    return value


def _secret(table: Mapping[str, Any], name: str, what: str) -> str:
    value = _text(table, name, what)
    if len(value) < MIN_SECRET_CHARS or value != value.strip() or not value.isascii():
        raise UsageError(f"{what}: the {name} must have at least {MIN_SECRET_CHARS} characters of ASCII, so that nobody guesses it")
    return value


def _scopes(table: Mapping[str, Any], what: str) -> frozenset[str]:
    value = table.get("scopes")
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each in SCOPES for each in value):
        raise UsageError(f'{what} needs scopes, such as ["read"] or ["read", "write"]')
    scopes = frozenset(SCOPES[each] for each in value)
    return scopes | {READ} if WRITE in scopes else scopes


def _lifetime(document: Mapping[str, Any], where: str) -> int:
    value = document.get("token_lifetime_s", TOKEN_LIFETIME_S)
    if type(value) is not int or not 1 <= value <= 365 * 86_400:
        raise UsageError(f"{where}: token_lifetime_s must be whole seconds, from 1 to a year")
    return value
