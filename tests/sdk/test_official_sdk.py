"""The official SailPoint SDK, unmodified, drives a real server: each flavour in its own process, in a venv that has nothing of ours.

``conftest.py`` starts the worker and the servers, ``driver.py`` looks through the SDK's eyes, and each test states one fact of what it saw.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from . import expected, workload
from .conftest import BURST, RATE, Report

ERRORS = {
    "400 for a field": ("BadRequestException", 400),
    "400 for an operator": ("BadRequestException", 400),
    "400 for a grammar": ("BadRequestException", 400),
    "400 for sorters": ("BadRequestException", 400),
    "400 for a path": ("BadRequestException", 400),
    "401": ("UnauthorizedException", 401),
    "401 for one task": ("UnauthorizedException", 401),
    "403": ("ForbiddenException", 403),
    "404": ("NotFoundException", 404),
    "404 for a patch": ("NotFoundException", 404),
    "409 without a log": ("ConflictException", 409),
    "429": ("ApiException", 429),
}
"""What the SDK raises for each, and the status that it tells."""
CORRECTED = datetime.fromisoformat("2026-05-17T19:33:16.470Z")
only_1 = pytest.mark.parametrize("flavour", workload.FLAVOURS[1:])


def moments(document: Any) -> Any:
    """A document with its times as moments: the SDK writes them with another number of digits."""
    names = ("created", "modified", "launched", "completed")
    return {name: datetime.fromisoformat(value) if name in names and value else value for name, value in document.items()}


@pytest.mark.parametrize("how", ["from parameters", "from the environment", "for a reader"])
def test_a_token_by_client_credentials(report: Report, how: str) -> None:
    """The SDK's own token request is answered, and the token opens the API."""
    assert report[f"token {how}"] == 1


def test_a_static_token(report: Report) -> None:
    """A token that was made elsewhere is taken as it is."""
    assert report["static token"] == 1


def test_wrong_credentials_give_no_token(report: Report) -> None:
    """The SDK then prints that it was not authorized, and has no token."""
    assert report["token for wrong credentials"] is None
    assert "Unauthorized when retrieving access token" in report["printed"]


def test_an_expired_token_is_told_as_documented(report: Report) -> None:
    """The SDK never asks for another one, so the sentence is all that its user has."""
    assert (report["expired token"]["raised"], report["expired token"]["status"]) == ("UnauthorizedException", 401)
    assert json.loads(report["expired token"]["body"]) == {"error": "JWT validation failed: JWT is expired"}


def test_without_logins_any_credentials_give_a_token(report: Report) -> None:
    """On this machine alone the SDK works as it is."""
    assert report["no login asked for"] is True


def test_each_filter_finds_its_tasks(report: Report, flavour: str) -> None:
    """Every documented field and operator of the version, values without case, finds exactly the tasks that it should."""
    found = {text: report[f"filter {text}"] for text in expected.filters(flavour)}
    assert found == {text: sorted(ids) for text, ids in expected.lists(flavour).items()}


def test_sorted_by_created(report: Report) -> None:
    """The one documented sorter, in both directions."""
    ascending = [workload.bulk_id(number) for number in expected.IN_A]
    assert report["sorted by created"] == ascending
    assert report["sorted by -created"] == ascending[::-1]


def test_a_page_has_250_by_creation(report: Report) -> None:
    """Without a limit: 250, in a stable order, so that the SDK's Paginator does not end early."""
    assert report["default page"] == workload.all_ids()[:250]


def test_an_offset_leaves_out(report: Report) -> None:
    """Pages by offset."""
    assert report["second page"] == workload.all_ids()[3:6]


@pytest.mark.parametrize("look", ["limit 0", "past the end"])
def test_nothing_is_an_empty_list(report: Report, look: str) -> None:
    """Never 204 and never null, which kill the Paginator."""
    assert report[look] == []


@pytest.mark.parametrize("limit", [100, 250])
def test_the_paginator_gives_every_task_once(report: Report, limit: int) -> None:
    """1,209 tasks by the SDK's Paginator, in pages of 100 and of 250: each once, in order."""
    assert report[f"paginated by {limit}"] == workload.all_ids()


def test_the_paginators_stream_ends_where_it_is_told(reports) -> None:
    """SDK 2.x's lazy Paginator: the first 777 tasks."""
    assert reports("v1")["paginated stream"] == workload.all_ids()[:777]


def test_the_count_is_under_its_exact_name(report: Report) -> None:
    """`ApiResponse.headers` is a plain dict: `X-Total-Count` in exactly this spelling, once."""
    headers = report["count"]
    assert headers["X-Total-Count"] == str(expected.counted())
    assert [name for name in headers if name.lower() == "x-total-count"] == ["X-Total-Count"]


def test_no_count_unless_asked_for(report: Report) -> None:
    """Counting costs."""
    assert not [name for name in report["no count"] if name.lower() == "x-total-count"]


@pytest.mark.parametrize(("look", "task"), [("get", workload.FULL), ("get extremes", workload.EXTREME)])
def test_get_gives_the_whole_task(report: Report, document, look: str, task: str) -> None:
    """What the SDK parsed is, field by field, what `tracker get` shows, also at the edge of what the contract lets in."""
    assert moments(report[look]) == moments(document(task))


def test_a_prefix_in_the_base_url(report: Report) -> None:
    """Behind a proxy the base URL has a path: the token and the tasks are found under it."""
    assert report["get under a prefix"] == workload.ODD


def test_get_of_an_id_with_a_slash(report: Report) -> None:
    """`/`, space, `:` and a letter beyond ASCII go through the path."""
    assert report["get an odd id"] == workload.ODD


def test_a_running_task_has_no_ending(report: Report) -> None:
    """Both null, and `modified` is there, without which SDK 1.x can't read a task."""
    task = report["get a running task"]
    assert (task["completed"], task["completionStatus"]) == (None, None)
    assert task["launched"]
    assert task["modified"]


def test_a_patch_ends_a_running_task(report: Report) -> None:
    """The documented patch, in mixed case as documented: the answer shows the task ended."""
    task = moments(report["patch"])
    assert (task["completionStatus"], task["completed"]) == ("ERROR", CORRECTED)


@pytest.mark.parametrize("look", ["read back", "read back in a list"])
def test_a_patch_is_read_back(report: Report, look: str) -> None:
    """By the next request, with every field as the patch's answer had it."""
    task = report[look][0] if isinstance(report[look], list) else report[look]
    assert task == report["patch"]


@only_1
def test_pending_tasks(report: Report) -> None:
    """The deprecated listing gives tasks in flight only, 250 at most, with the whole count, and says that it is deprecated."""
    seen = report["pending"]
    ended = {workload.bulk_id(number) for number in range(workload.BULK) if number % 4 in workload.ENDINGS} | {workload.FULL}
    assert len(seen["ids"]) == 250
    assert not ended & set(seen["ids"])
    assert workload.BULK // 2 < int(seen["headers"]["X-Total-Count"]) <= workload.BULK // 2 + 2 + len(workload.FLAVOURS)
    assert seen["headers"]["X-Deprecated"] == "true"


@only_1
def test_pending_headers(report: Report) -> None:
    """HEAD gives the same headers and no body."""
    assert report["pending headers"]["status"] == 200
    assert report["pending headers"]["headers"]["X-Total-Count"] == report["pending"]["headers"]["X-Total-Count"]


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_the_sdks_exception(report: Report, name: str) -> None:
    """Each error is the class that the SDK has for it, and an ApiException."""
    seen = report[name]
    assert (seen["raised"], seen["status"]) == ERRORS[name]
    assert "ApiException" in seen["bases"]


@pytest.mark.parametrize("name", [name for name in ERRORS if name[:3] == "400"])
def test_a_bad_request_is_typed(report: Report, name: str) -> None:
    """The SDK reads the body of a 400 as its ErrorResponseDto, with a sentence for people."""
    assert report[name]["data"].startswith("ErrorResponseDto")
    assert '"detailCode":"400.1' in report[name]["body"].replace(" ", "")


def test_a_wait_that_429_asks_for_is_short(report: Report) -> None:
    """`Retry-After` is the seconds until the next request may come: urllib3 sleeps as long, three times."""
    assert 1 <= int(report["429"]["retryAfter"]) <= 10 / RATE


def test_a_client_that_waits_gets_its_answer(report: Report) -> None:
    """With the SDK's own retries a 429 is a pause and no error."""
    assert report["429 waited for"] == 1


def test_the_sdk_has_nothing_to_warn_of(report: Report) -> None:
    """It warns of values that its enums do not have: there are none. (Of pending-tasks it says that they are deprecated.)"""
    assert [said for said in report["warnings"] if "pending-tasks is deprecated" not in said] == []


def test_the_burst_is_over_the_rate() -> None:
    """The look at 429 asks for more than the slow server allows."""
    assert BURST > 2 * RATE
