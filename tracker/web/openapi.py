"""The OpenAPI document: what FastAPI makes of the routes, told as it is.

FastAPI documents a 422 that is never answered, says null for a parameter that is left out, makes summaries of the names of functions, and
does not know that the errors of our own API are problem details; here it is put right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tracker.web.documents import ProblemDocument
from tracker.web.gate import OPEN_PATHS
from tracker.web.methods import METHODS
from tracker.web.problems import MEDIA_TYPE

VERSION = "3.1.0"
DESCRIPTION = """Statuses of tasks, folded from their events.

Two families: under `/task-status/v1` and the legacy prefixes the task-status API of SailPoint's, for its clients as they are; under `/api`
our own, with all that is known of a task, filters over every field, and the place that each answer was read at.
"""
TAGS = [
    {"name": "tasks", "description": "Our own API: tasks, how many, when, and how the store stands."},
    {"name": "changes", "description": "Our own API: what changes, as it does."},
    {"name": "parked", "description": "Our own API: records that were refused."},
    {"name": "task-status", "description": "The compatible API: exactly the 18 members of a status."},
    {"name": "access", "description": "Tokens for clients."},
    {"name": "operations", "description": "For whoever runs it."},
]
SECURITY_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A static token, or one of `/oauth/token`."},
    "client": {
        "type": "oauth2",
        "description": "Client credentials. Reading needs the scope `read`, all else `write`.",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/oauth/token",
                "scopes": {"read": "GET and HEAD", "write": "PATCH, POST and DELETE"},
            }
        },
    },
}
_MAPS = ("properties", "schemas", "paths", "responses", "headers")
"""Keywords whose value is an object with names as keys."""


def describe(app: FastAPI) -> None:
    """Let the app answer with this document at ``/openapi.json``."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to do it


def document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of all routes."""
    made = get_openapi(title="tracker", version=app.version, openapi_version=VERSION, description=DESCRIPTION, routes=app.routes, tags=TAGS)
    made["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, method, operation in _operations(made):
        operation["tags"] = operation["tags"][-1:]
        operation["summary"], operation["description"] = _told(operation.pop("description"))
        operation["responses"].pop("422", None)
        operation["responses"] = dict(sorted(operation["responses"].items()))
        for response in operation["responses"].values():
            _as_problem(response)
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _given(parameter["schema"])
            parameter["schema"].pop("description", None)  # the parameter has it
        operation["security"] = [] if path in OPEN_PATHS else _security(method)
    made["components"]["securitySchemes"] = SECURITY_SCHEMES
    untitled: dict[str, Any] = _untitled(made)
    return untitled


def _operations(made: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in made["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _told(docstring: str) -> tuple[str, str]:
    """The first sentence without its end, and all of it, in Markdown."""
    text = docstring.replace("``", "`")
    return text.replace("\n", " ").partition(". ")[0].removesuffix("."), text


def _as_problem(response: dict[str, Any]) -> None:
    for content in list(response.get("content", {}).values()):
        if content.get("schema", {}).get("$ref", "").endswith(f"/{ProblemDocument.__name__}"):
            response["content"] = {MEDIA_TYPE: content}


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter as it is given: one that may be left out is no null."""
    rules = [rule for rule in schema.pop("anyOf", []) if rule != {"type": "null"}]
    return {**schema, **rules[0]} if len(rules) == 1 else {**schema, "anyOf": rules} if rules else schema


def _security(method: str) -> list[dict[str, list[str]]]:
    """One of: no login where none is needed, a token, a client with the scope."""
    return [{}, {"token": []}, {"client": ["read" if method in ("get", "head") else "write"]}]


def _untitled(value: Any, *, names: bool = False) -> Any:
    """Without the titles that pydantic makes of the names of members; ``names``: the keys are names and no keywords."""
    if isinstance(value, list):
        return [_untitled(each) for each in value]
    if not isinstance(value, dict):
        return value
    # The one title that is no keyword of a schema is the document's own, beside its version.
    kept = {key: inner for key, inner in value.items() if names or key != "title" or "version" in value}
    return {key: _untitled(inner, names=key in _MAPS) for key, inner in kept.items()}
