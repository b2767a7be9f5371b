"""What every request passes, whatever its route: who asks, may they, how often, how much; and what every answer carries.

A plain ASGI middleware, so that answers without an end stream through it. A route needs no check of its own: GET and HEAD need the scope
``read``, everything else ``write``; only those in OPEN_PATHS need none.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from ipaddress import ip_address
from time import perf_counter
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracker.telemetry import WEB_REFUSED, WEB_REQUEST, say
from tracker.web.access import READ, WRITE, Access, Client, Refused
from tracker.web.faults import Fault, answer_of
from tracker.web.markup import ASSETS, is_page
from tracker.web.rate import Rate

OPEN_PATHS = ("/oauth/token", "/login", "/look", "/health/live", "/health/ready")
"""The first ask for credentials themselves; the others are asked by what has none. So are the files that pages load."""
UNCOUNTED_PATHS = ("/health/live", "/health/ready")
SESSION_COOKIE = "tracker-token"
"""A browser's credentials: scripts can't read it, and no other site's page makes a browser send it."""
MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 10.0
"""A body of 64 KiB that takes longer is no honest one."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Of every answer that says nothing else."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
REFUSALS = (401, 403, 413, 429)


class Gate:
    """In front of the whole app."""

    def __init__(self, app: ASGIApp, *, access: Access, rate: Rate, root_path: str, hosts: Iterable[str]) -> None:
        self._app = app
        self._access = access
        self._rate = rate
        self._root_path = root_path
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = self._place(scope)
        began, status, client = perf_counter(), 0, _address(scope)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                message["headers"].extend((name.encode(), value.encode()) for name, value in HEADERS.items() if name.lower() not in headers)
            await send(message)

        try:
            scope["tracker.client"] = who = self._admitted(scope, path)
            client = who.name
            await self._app(scope, await self._body(scope, receive), sending)
        except Exception as error:
            answer = answer_of(path, error, HTTPConnection(scope))
            if status:  # half an answer is out: the connection is cut, which says that it is not whole
                raise
            await answer(scope, receive, sending)
        finally:
            refused = status in REFUSALS
            say(
                WEB_REFUSED if refused else WEB_REQUEST,
                method=scope["method"],
                path=path,
                status=status,
                seconds=perf_counter() - began,
                client=client,
            )

    def _place(self, scope: Scope) -> str:
        """Routes match the path as it was sent; it may come with the prefix of a proxy or without. Gives the path without."""
        raw = scope.get("raw_path")
        path = quote(scope["path"]) if raw is None else raw.decode("latin-1")
        root = self._root_path
        if root and (path == root or path.startswith(root + "/")):
            path = path[len(root) :] or "/"
        scope["root_path"] = root
        scope["path"] = root + path
        return path

    def _admitted(self, scope: Scope, path: str) -> Client:
        """Who asks. Raises `Fault` for one who may not."""
        headers = Headers(scope=scope)
        if self._access.is_open:
            self._from_here(headers, scope["method"])
        address, is_safe = _address(scope), scope["method"] in SAFE_METHODS
        credentials, by_cookie = headers.get("authorization"), False
        if credentials is None and not self._access.is_open:
            token = HTTPConnection(scope).cookies.get(SESSION_COOKIE)
            credentials, by_cookie = token and f"Bearer {token}", token is not None
        if not is_safe and (by_cookie or is_page(path)):
            self._own_form(headers)
        if path in OPEN_PATHS or path.startswith(ASSETS):
            if path not in UNCOUNTED_PATHS and not path.startswith(ASSETS):
                self._count(address)
            return Client(address, frozenset())
        try:
            client = self._access.who(credentials)
        except Refused as refused:
            self._count(address)  # guesses, too, are counted
            raise Fault(401, str(refused), {"WWW-Authenticate": "Bearer"}) from None
        self._count(address if self._access.is_open else f"client:{client.name}")
        needed = READ if is_safe or path == "/logout" else WRITE
        if needed not in client.scopes:
            raise Fault(403, f"{client.name} may not do that: it needs the scope {needed}")
        return client

    def _own_form(self, headers: Headers) -> None:
        """What a browser sends by itself (a form, a cookie) changes something for our own pages alone."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin", "")
        is_own = origin.partition("://")[2].lower() == headers.get("host", "").lower() or _name(origin) in self._hosts
        if not (is_own if site is None else site == "same-origin"):
            raise Fault(403, "nothing is changed for a page of another site")

    def _count(self, client: str) -> None:
        wait_s = self._rate.wait_s(client)
        if wait_s:
            raise Fault(429, "too many requests", {"Retry-After": str(math.ceil(wait_s))})

    def _from_here(self, headers: Headers, method: str) -> None:
        """Without a login, a page of another site must not reach in: by a name of its own for this address, or by a form."""
        host = _name(f"//{headers.get('host', '')}")
        if not is_loopback(host) and host not in self._hosts:
            raise Fault(403, f"without a login only this machine is answered, not {host!r}: --host-name {host or 'NAME'} allows that name")
        origin = headers.get("origin")
        if method not in SAFE_METHODS and origin is not None:
            is_ours = origin.partition("://")[2].lower() == headers.get("host", "").lower() or _name(origin) in self._hosts
            if not is_ours:
                raise Fault(403, "without a login nothing is changed for a page of another site")

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        """The body, read as a whole; what comes after it is asked for as before."""
        if scope["method"] in SAFE_METHODS:
            return receive
        body = bytearray()
        message: Message = {"type": "http.request", "more_body": True}
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while message["type"] == "http.request" and message.get("more_body"):
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > MAX_BODY_BYTES:
                        raise Fault(413, f"the body is over {MAX_BODY_BYTES:,} bytes")
            if message["type"] != "http.request":
                raise Fault(400, "the body was cut off")
        except TimeoutError:
            raise Fault(408, f"the body did not come within {BODY_TIMEOUT_S:g} s") from None
        held: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replayed() -> Message:
            return held.pop() if held else await receive()

        return replayed


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
