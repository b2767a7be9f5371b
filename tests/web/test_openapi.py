"""The OpenAPI document: whole, pretty, and what is checked in."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tracker.errors import UsageError
from tracker.schema.openapi import openapi
from tracker.web.methods import METHODS

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = openapi()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each operation with its path and method."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def errors(operation: dict[str, Any]) -> dict[str, Any]:
    """Its answers that are none of 2xx and 3xx."""
    return {status: answer for status, answer in operation["responses"].items() if status[0] not in "23"}


async def test_a_server_gives_what_is_checked_in(served) -> None:
    """/openapi.json is schemas/openapi.json."""
    answer = await (await served()).get("/openapi.json")
    assert answer.json() == json.loads((ROOT / "schemas" / "openapi.json").read_bytes())


def test_it_is_of_version_3_1() -> None:
    """With JSON Schema 2020-12, which its schemas are."""
    assert DOCUMENT["openapi"].startswith("3.1")
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_operation_ids_are_names() -> None:
    """Each its own, in camel case, as generators of clients make methods of them."""
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    assert [id for id in ids if not re.fullmatch(r"[a-z]+([A-Z][a-z0-9]*)+", id)] == []


def test_both_families_are_there() -> None:
    """The compatible API under each prefix, and our own."""
    paths = DOCUMENT["paths"]
    assert {"/task-status/v1", "/beta/task-status", "/v2024/task-status", "/v2025/task-status", "/v2026/task-status"} <= paths.keys()
    assert {"/api/tasks", "/api/tasks/{id}", "/api/changes", "/api/parked/{number}", "/metrics", "/health/ready"} <= paths.keys()


def test_every_operation_is_told() -> None:
    """A summary, a description and one known tag each; a description for every parameter."""
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for path, method, operation in operations():
        assert method in METHODS, path
        assert operation["summary"], path
        assert operation["description"], path
        assert len(operation["tags"]) == 1, path
        assert set(operation["tags"]) <= tags, path
        assert [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query" and not each.get("description")] == [], (
            path
        )


def test_errors_of_our_own_are_problem_details() -> None:
    """Each with the one schema, 400 never 422."""
    for path, _, operation in operations():
        if path.startswith("/api"):
            assert {"400", "401", "403", "429", "500", "503"} <= operation["responses"].keys(), path
            for answer in errors(operation).values():
                assert list(answer["content"]) == ["application/problem+json"], path


def test_errors_of_the_compatible_api_are_sailpoints() -> None:
    """The DTO, and the two bodies that are different."""
    for path, method, operation in operations():
        if "task-status" in path and method != "head":
            schemas = {status: answer["content"]["application/json"]["schema"]["$ref"] for status, answer in errors(operation).items()}
            names = {status: ref.rpartition("/")[2] for status, ref in schemas.items()}
            assert names == {"401": "Unauthorized", "429": "TooManyRequests", "default": "ErrorResponse"}, path


def test_there_is_no_422() -> None:
    """What FastAPI documents by itself is never answered."""
    assert "422" not in json.dumps(DOCUMENT)
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]


def test_who_may_do_what_is_said() -> None:
    """Reading and writing by scope; health and tokens by nobody's leave."""
    for path, method, operation in operations():
        if path.startswith(("/health", "/oauth")):
            assert operation["security"] == [], path
        else:
            assert {"client": ["read" if method in {"get", "head"} else "write"]} in operation["security"], path
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"token", "client"}


def test_without_the_extra_there_is_a_sentence(monkeypatch) -> None:
    """Not a traceback."""
    monkeypatch.setitem(sys.modules, "tracker.web.app", None)
    with pytest.raises(UsageError, match=r"pip install 'tracker\[web\]'"):
        openapi()


def test_the_page_names_all_of_our_own() -> None:
    """docs/http-api.md has each path under /api with its methods, and each parameter."""
    page = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    for path, method, operation in operations():
        if path.startswith("/api"):
            assert f"`{method.upper()} {path}`" in page
            for parameter in operation.get("parameters", ()):
                assert f"`{parameter['name']}`" in page or parameter["in"] == "header", (path, parameter["name"])
