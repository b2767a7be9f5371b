"""The dashboard's forms: who may send them, from where, and what they do; and the login."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.unit.query_store import event
from tests.web.reading_pages import Page
from tests.web.whole import whole
from tracker.web.access import ALL, READ, Access, Client, _digest
from tracker.web.gate import SESSION_COOKIE

TOKEN, READ_TOKEN = "a-token-that-may-all", "a-token-that-may-read"
SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def access() -> Access:
    """Two tokens."""
    held = {TOKEN: Client("operator", ALL), READ_TOKEN: Client("reader", frozenset((READ,)))}
    return Access(tokens={_digest(token): client for token, client in held.items()})


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A log, a projector and a server, for forms that write."""
    with whole(tmp_path_factory.mktemp("forms")) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def correct(client: httpx.Client, headers: dict[str, str], **fields: str) -> httpx.Response:
    """Send the form of a correction."""
    return client.post("/task/correct", data={"id": "task-1", "completionStatus": "ERROR", "sure": "yes"} | fields, headers=headers)


@pytest.mark.slow
def test_a_correction_is_written_and_shown(product: httpx.Client) -> None:
    """The form's answer leads back to the task, which has ended as was said."""
    answer = correct(product, SAME, completed="2026-01-31T09:30")
    assert answer.status_code == 303
    page = Page(product.get(answer.headers["location"]).text)
    assert page.classed("done")
    task = product.get("/api/tasks/task-1").json()
    assert (task["completionStatus"], task["completed"]) == ("ERROR", "2026-01-31T09:30:00.000Z")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sure": ""}, "tick that you mean it"),
        ({"completionStatus": "DONE"}, "must be one of SUCCESS"),
        ({"completed": "soon"}, "expected a time"),
    ],
)
def test_a_correction_that_can_not_be_is_told_beside_the_form(product: httpx.Client, fields: dict[str, str], said: str) -> None:
    """And nothing is written."""
    before = product.get("/api/status").json()["counters"]["read"]
    answer = correct(product, SAME, **fields)
    assert answer.status_code == 400
    assert said in Page(answer.text).classed("refused")[0].text
    assert product.get("/api/status").json()["counters"]["read"] == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_form_of_another_site_does_nothing(product: httpx.Client, headers: dict[str, str]) -> None:
    """Nor one that says nothing of where it comes from."""
    for path in ("/task/correct", "/parked/retry", "/parked/drop", "/login", "/logout"):
        assert product.post(path, data={"id": "task-1", "number": "1", "sure": "yes"}, headers=headers).status_code == 403


@pytest.mark.slow
def test_an_origin_of_ours_will_do(product: httpx.Client) -> None:
    """As browsers without Sec-Fetch-Site send it."""
    origin = str(product.base_url).rstrip("/")
    assert correct(product, {"Origin": origin}).status_code == 303


@pytest.mark.slow
def test_a_parked_record_is_shown_retried_and_dropped(product: httpx.Client) -> None:
    """Its bytes as text and in hexadecimal; retried it stays what it is; dropped its bytes are gone."""
    page = Page(product.get("/system").text)
    place = page.link("Raw")
    assert "{" in Page(product.get(place).text).classed("raw")[0].text
    number = place.rpartition("=")[2]
    answer = product.post("/parked/retry", data={"number": number}, headers=SAME, follow_redirects=True)
    assert f"Record {number}: it is refused as before." in answer.text
    assert product.post("/parked/drop", data={"number": number}, headers=SAME).status_code == 400
    product.post("/parked/drop", data={"number": number, "sure": "yes"}, headers=SAME)
    assert "Its bytes were deleted" in product.get(place).text


async def test_without_a_log_there_is_no_form(served: Any) -> None:
    """The page says why; sent all the same it is refused in the same words as a PATCH."""
    client = await served(event("t", "created"))
    page = Page((await client.get("/task?id=t")).text)
    assert page.all("select") == []
    assert "without --source" in page.with_id("correct").text
    answer = await client.post("/task/correct", data={"id": "t", "completionStatus": "ERROR", "sure": "yes"}, headers=SAME)
    assert answer.status_code == 409


async def test_a_login_is_asked_for_and_kept_in_a_cookie(served: Any, access: Access) -> None:
    """A page sends the browser to the login, and that back to the page; the cookie is for this server's own pages alone."""
    client = await served(event("t", "created"), access=access, rate=0)
    answer = await client.get("/task?id=t&tz=UTC")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Ftask%3Fid%3Dt%26tz%3DUTC")
    form = Page((await client.get(answer.headers["location"])).text)
    place = form.one("input", name="next").attributes["value"]
    answer = await client.post("/login", data={"token": TOKEN, "next": place}, headers=SAME)
    assert (answer.status_code, answer.headers["location"]) == (303, "/task?id=t&tz=UTC")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await client.get("/task?id=t")).status_code == 200
    assert (await client.get("/api/tasks")).status_code == 200
    await client.post("/logout", headers=SAME)
    assert (await client.get("/")).status_code == 303


async def test_a_wrong_token_is_told(served: Any, access: Access) -> None:
    """On the login page; no cookie is set."""
    client = await served(access=access, rate=0)
    answer = await client.post("/login", data={"token": "nonsense"}, headers=SAME)
    assert answer.status_code == 401
    assert "no token of this server" in Page(answer.text).classed("refused")[0].text
    assert "set-cookie" not in answer.headers


async def test_guesses_at_the_login_are_counted(served: Any, access: Access) -> None:
    """As requests without a token are."""
    client = await served(access=access, rate=3)
    answers = [(await client.post("/login", data={"token": "nonsense"}, headers=SAME)).status_code for _ in range(5)]
    assert answers == [401, 401, 401, 429, 429]


async def test_a_reader_is_shown_no_form(served: Any, access: Access) -> None:
    """And can't send one."""
    client = await served(event("t", "created"), access=access, rate=0)
    client.cookies.set(SESSION_COOKIE, READ_TOKEN)
    assert Page((await client.get("/task?id=t")).text).all("select") == []
    answer = await client.post("/task/correct", data={"id": "t"}, headers=SAME)
    assert answer.status_code == 403


async def test_a_cookie_writes_for_our_own_pages_alone(served: Any, access: Access) -> None:
    """To the APIs too: another site's page, whose requests a browser sends with it, changes nothing."""
    client = await served(event("t", "created"), access=access, rate=0)
    client.cookies.set(SESSION_COOKIE, TOKEN)
    patch = [{"op": "replace", "path": "/completionStatus", "value": "ERROR"}]
    assert (await client.patch("/task-status/v1/t", json=patch, headers={"Sec-Fetch-Site": "same-site"})).status_code == 403
    assert (await client.patch("/task-status/v1/t", json=patch, headers=SAME)).status_code == 409


async def test_files_need_no_login(served: Any, access: Access) -> None:
    """The login page has them too."""
    client = await served(access=access, rate=0)
    for place in [tag.attributes["href"] for tag in Page((await client.get("/login")).text).all("link")]:
        assert (await client.get(place)).status_code == 200
