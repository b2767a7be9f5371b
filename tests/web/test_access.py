"""Who is let in, how often, and what every answer carries."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.unit.query_store import event
from tracker.errors import NotFound, UsageError
from tracker.web import gate, rate
from tracker.web.access import ALL, Access, Client, read_access
from tracker.web.rate import Rate

TOKEN, READ_TOKEN, SECRET, KEY = "a-token-that-may-all", "a-token-that-may-read", "the secret of sync", "k" * 32
FILE = f"""
signing_key = "{KEY}"
token_lifetime_s = 60
[[token]]
name = "operator"
token = "{TOKEN}"
scopes = ["idn:task-management:write"]
[[token]]
name = "dashboard"
token = "{READ_TOKEN}"
scopes = ["read"]
[[client]]
id = "sync"
secret = "{SECRET}"
scopes = ["read", "write"]
"""
CREDENTIALS = {"grant_type": "client_credentials", "client_id": "sync", "client_secret": SECRET}
LIST = "/task-status/v1"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An access file with two tokens and a client."""
    path = tmp_path / "access.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
async def locked(served: Any, file: Path) -> httpx.AsyncClient:
    """A server with a login."""
    client: httpx.AsyncClient = await served(event("t", "created"), access=read_access(str(file)), rate=0)
    return client


def bearer(token: str) -> dict[str, str]:
    """The header for a token."""
    return {"Authorization": f"Bearer {token}"}


async def test_without_a_login_everybody_here_is_let_in(served) -> None:
    """Loopback needs no token, and takes any."""
    client = await served()
    assert (await client.get(LIST)).status_code == 200
    assert (await client.get(LIST, headers=bearer("anything"))).status_code == 200


async def test_without_a_login_any_credentials_get_a_token(served) -> None:
    """So that the SDK works as it is configured."""
    answer = await (await served()).post("/oauth/token", data={**CREDENTIALS, "client_id": "x", "client_secret": "y"})
    assert answer.status_code == 200
    assert {"access_token", "token_type", "expires_in", "scope", "jti"} == set(answer.json())


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8080", "", "[::"])
async def test_a_strange_name_is_refused(served, host) -> None:
    """A page that has its own name resolve to this machine (DNS rebinding) gets nothing."""
    assert (await (await served()).get(LIST, headers={"Host": host})).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "tracker.example.org"])
async def test_names_of_this_machine(served, host) -> None:
    """And those that were configured."""
    assert (await (await served(hosts=["tracker.example.org"])).get(LIST, headers={"Host": host})).status_code == 200


async def test_a_page_of_another_site_changes_nothing(served) -> None:
    """Without a login, what a browser sends for another origin is refused; for its own it is not."""
    client = await served(event("t", "created"))
    assert (await client.post("/oauth/token", data=CREDENTIALS, headers={"Origin": "http://evil.example"})).status_code == 403
    assert (await client.post("/oauth/token", data=CREDENTIALS, headers={"Origin": "http://localhost:1"})).status_code == 403
    assert (await client.post("/oauth/token", data=CREDENTIALS, headers={"Origin": "null"})).status_code == 403
    assert (await client.post("/oauth/token", data=CREDENTIALS, headers={"Origin": str(client.base_url).rstrip("/")})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong"),
        {"Authorization": "Bearer"},
        {"Authorization": "Basic eDp5"},
        bearer(f"{TOKEN}x"),
        {"Authorization": "Bearer \u00e9".encode()},
    ],
)
async def test_no_valid_token(locked, headers) -> None:
    """401 with SailPoint's body for it, on every path but those that are open."""
    for path in (LIST, "/task-status/v1/t", "/api/status", "/openapi.json", "/metrics", "/nothing"):
        answer = await locked.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert list((await locked.get(LIST, headers=headers)).json()) == ["error"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_needs_no_login(locked, path) -> None:
    """Whoever starts processes has no token."""
    assert (await locked.get(path)).status_code == 200


async def test_a_static_token(locked) -> None:
    """Out of the file; the scheme's case does not matter."""
    assert (await locked.get(LIST, headers=bearer(TOKEN))).status_code == 200
    assert (await locked.get(LIST, headers={"Authorization": f"bearer {TOKEN}"})).status_code == 200


async def test_who_may_read_may_not_write(locked) -> None:
    """403 naming the scope, before anything is looked at."""
    answer = await locked.patch("/task-status/v1/t", json=[], headers=bearer(READ_TOKEN))
    assert (answer.status_code, answer.json()["detailCode"]) == (403, "403 Forbidden")
    assert "scope write" in answer.text
    assert (await locked.get(LIST, headers=bearer(READ_TOKEN))).status_code == 200


async def test_the_scope_to_write_includes_reading(locked) -> None:
    """By SailPoint's names of the scopes, too."""
    assert (await locked.get(LIST, headers=bearer(TOKEN))).status_code == 200
    assert (await locked.patch("/task-status/v1/t", json=[], headers=bearer(TOKEN))).status_code == 200


@pytest.mark.parametrize(
    "how",
    [
        {"data": CREDENTIALS},
        {"params": CREDENTIALS},
        {"files": {name: (None, value) for name, value in CREDENTIALS.items()}},
        {
            "data": {"grant_type": "client_credentials"},
            "headers": {"Authorization": f"Basic {base64.b64encode(f'sync:{SECRET}'.encode()).decode()}"},
        },
    ],
    ids=["form", "query", "multipart", "basic"],
)
async def test_client_credentials(locked, how) -> None:
    """A form as the SDK sends it, the query, multipart, and HTTP Basic: a token that works."""
    answer = await locked.post("/oauth/token", **how)
    assert answer.status_code == 200
    assert (answer.json()["token_type"], answer.json()["expires_in"], answer.json()["scope"]) == ("bearer", 60, "read write")
    assert (await locked.get(LIST, headers=bearer(answer.json()["access_token"]))).status_code == 200


@pytest.mark.parametrize("wrong", [{"client_secret": "wrong"}, {"client_id": "nobody"}, {"client_id": "", "client_secret": ""}])
async def test_wrong_credentials(locked, wrong) -> None:
    """401, the same for an unknown client and a wrong secret."""
    answer = await locked.post("/oauth/token", data=CREDENTIALS | wrong)
    assert answer.status_code == 401
    assert answer.json() == {"error": "invalid_client", "error_description": "the client's id or secret is wrong"}


async def test_another_grant(locked) -> None:
    """Client credentials are the only grant: 400."""
    answer = await locked.post("/oauth/token", data=CREDENTIALS | {"grant_type": "password"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("charset", ["undefined", "unicode_escape"])
async def test_a_form_that_is_no_text(locked, charset) -> None:
    """400: a multipart body names its charset, which may decode to nothing, or to half a character."""
    parts = {"grant_type": "client_credentials", "client_id": "sync", "client_secret": "\\ud800"}
    body = (
        "".join(f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts.items()) + "--x--\r\n"
    )
    kind = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    answer = await locked.post("/oauth/token", content=body, headers=kind)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": 1}, "JWT validation failed: JWT is expired"),
        ({"sub": "nobody"}, "JWT validation failed: its client is known no more"),
        ({"iss": "another"}, "JWT validation failed: it is no token of this server"),
        ({"exp": None}, "JWT validation failed: it is no token of this server"),
    ],
)
async def test_a_signed_token_that_is_not_valid(locked, changes, says) -> None:
    """Expired, of a client that is gone, of another server, or without an end."""
    now = int(time.time())
    claims = {"iss": "tracker", "sub": "sync", "iat": now, "exp": now + 60} | changes
    signed = jwt.encode({name: value for name, value in claims.items() if value is not None}, KEY, "HS256")
    answer = await locked.get(LIST, headers=bearer(signed))
    assert (answer.status_code, answer.json()) == (401, {"error": says})


async def test_a_token_without_a_signature(locked) -> None:
    """The algorithm is ours to choose, not the token's."""
    now = int(time.time())
    claims = {"iss": "tracker", "sub": "sync", "iat": now, "exp": now + 60}
    for token in (jwt.encode(claims, None, "none"), jwt.encode(claims, "x" * 64, "HS512")):
        assert (await locked.get(LIST, headers=bearer(token))).status_code == 401


def test_a_key_of_ones_own_survives_a_restart(file: Path) -> None:
    """With signing_key a token is good for the next process too; without it a new key is made each time."""
    token = read_access(str(file)).grant("sync", SECRET)["access_token"]
    assert read_access(str(file)).who(f"Bearer {token}").name == "sync"
    file.write_text(FILE.replace("signing_key", "# "))
    assert read_access(str(file)).signing_key != read_access(str(file)).signing_key


def test_secrets_stand_in_no_repr(file: Path) -> None:
    """Neither as they are nor as digests."""
    shown = repr(read_access(str(file), "one more token, static"))
    assert not any(secret in shown for secret in (TOKEN, SECRET, KEY, "static"))
    assert "digest" not in shown


def test_one_token_out_of_the_environment() -> None:
    """TRACKER_TOKEN alone is a login; it may read and write."""
    access = read_access(None, TOKEN)
    assert not access.is_open
    assert access.who(f"Bearer {TOKEN}") == Client("token", ALL)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "neither"),
        ("x = 1", "unknown 'x'"),
        ("[token]\nname='x'", r"\[\[token\]\]"),
        ("[[token]]\nname='x'\ntoken='short'\nscopes=['read']", "at least 16 characters"),
        ("[[token]]\nname='x'\ntoken='long enough, but \u00e9'\nscopes=['read']", "ASCII"),
        ("[[token]]\nname='x'\ntoken='long enough, it is'", "needs scopes"),
        ("[[token]]\nname='x'\ntoken='long enough, it is'\nscopes=['admin']", "needs scopes"),
        ("[[token]]\ntoken='long enough, it is'\nscopes=['read']", "needs name"),
        ("[[client]]\nid='x'\nsecret='long enough, it is'\nscopes=['read']\nmore=1", "unknown 'more'"),
        ("[[client]]\nid='x'\nsecret='long enough, it is'\nscopes=['read']\n" * 2, "already"),
        ("signing_key='short'\n[[client]]\nid='x'\nsecret='long enough, it is'\nscopes=['read']", "at least 32 bytes"),
        ("token_lifetime_s=0\n[[client]]\nid='x'\nsecret='long enough, it is'\nscopes=['read']", "token_lifetime_s"),
        ("[[", "no TOML"),
    ],
)
def test_a_file_that_cannot_be(tmp_path: Path, text: str, says: str) -> None:
    """One sentence that names the place and repeats no secret."""
    path = tmp_path / "access.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as told:
        read_access(str(path))
    assert "long enough" not in str(told.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """One sentence."""
    with pytest.raises(NotFound, match="can't be read"):
        read_access(str(tmp_path / "nothing.toml"))


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets fill no more: the clock that they have stands still."""
    monkeypatch.setattr(rate, "monotonic", lambda: 0.0)


@pytest.mark.usefixtures("stopped")
async def test_too_many_requests(served) -> None:
    """429 with SailPoint's body and a small Retry-After, spelled as it is."""
    client = await served(rate=3)
    answers = [await client.get(LIST) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json() == {"message": " Rate Limit Exceeded "}
    assert (b"Retry-After", b"4") in answers[-1].headers.raw


@pytest.mark.usefixtures("stopped")
async def test_guesses_are_counted(served, file: Path) -> None:
    """Wrong tokens use up the address's requests; who has a token goes on."""
    client = await served(access=read_access(str(file)), rate=2)
    assert [(await client.get(LIST, headers=bearer(f"guess {each}"))).status_code for each in range(3)] == [401, 401, 429]
    assert (await client.post("/oauth/token", data=CREDENTIALS)).status_code == 429
    assert (await client.get(LIST, headers=bearer(TOKEN))).status_code == 200


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 in 10 s: one more each 100 ms."""
    clock = [0.0]
    monkeypatch.setattr(rate, "monotonic", lambda: clock[0])
    bucket = Rate(100)
    assert [bucket.wait_s("a") for _ in range(100)] == [0.0] * 100
    assert bucket.wait_s("a") == pytest.approx(0.1)
    assert bucket.wait_s("b") == 0
    clock[0] = 0.11
    assert bucket.wait_s("a") == 0


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses can be made up; the one unused for longest goes."""
    monkeypatch.setattr(rate, "MAX_CLIENTS", 2)
    bucket = Rate(1)
    for client in ("a", "b", "c"):
        assert bucket.wait_s(client) == 0
    assert bucket.wait_s("a") == 0
    assert bucket.wait_s("c") > 0


async def test_a_large_body(served) -> None:
    """413 beyond 64 KiB, whether its length is told or not."""
    client = await served(event("t", "created"))

    async def chunks() -> Any:
        for _ in range(3):
            yield b" " * 30_000

    for content in (b" " * 70_000, chunks()):
        answer = await client.patch("/task-status/v1/t", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413


async def test_a_body_that_does_not_come(served, monkeypatch) -> None:
    """408 after a while, so that nobody holds a connection for nothing."""
    monkeypatch.setattr(gate, "BODY_TIMEOUT_S", 0.1)
    client = await served(event("t", "created"))
    host, port = client.base_url.host, client.base_url.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"PATCH /task-status/v1/t HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n[".encode())
    assert b" 408 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/task-status/v1/t", "GET, PATCH"), ("/oauth/token", "POST"), ("/api/tasks", "GET"), ("/api/parked/1", "GET, DELETE")],
)
async def test_another_method(served, path, methods) -> None:
    """405 with one Allow, of all that the path answers."""
    client = await served(event("t", "created"))
    answer = await client.put(path)
    assert (answer.status_code, answer.headers.get_list("Allow")) == (405, [methods])


async def test_what_every_answer_carries(locked) -> None:
    """Errors included; nothing for pages of other origins."""
    for answer in (await locked.get(LIST), await locked.get(LIST, headers={**bearer(TOKEN), "Origin": "http://x.example"})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


@pytest.mark.parametrize("path", [f"/tracker{LIST}", LIST])
async def test_under_the_prefix_of_a_proxy(served, path) -> None:
    """Whether the proxy takes the prefix off or leaves it."""
    answer = await (await served(event("a/b", "created"), root_path="/tracker")).get(f"{path}/a%2Fb")
    assert (answer.status_code, answer.json()["id"]) == (200, "a/b")


async def test_a_prefix_of_a_longer_name(served) -> None:
    """/trackers is not under /tracker."""
    assert (await (await served(root_path="/tracker")).get(f"/trackers{LIST}")).status_code == 404


async def test_requests_are_logged_without_their_query(served, heard) -> None:
    """Credentials may stand in it."""
    client = await served()
    await client.post("/oauth/token", params=CREDENTIALS)
    assert "POST /oauth/token 200" in heard.text
    assert SECRET not in heard.text


def test_access_is_open_without_tokens_and_clients() -> None:
    """Which the command line allows on this machine alone."""
    assert Access().is_open
