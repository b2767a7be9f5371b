"""``POST /oauth/token``: OAuth2 client credentials (RFC 6749, 4.4), as SailPoint's clients ask for them."""

from __future__ import annotations

import base64
import binascii
import logging
from typing import Any
from urllib.parse import unquote_plus

import orjson
from fastapi import APIRouter, Request, Response

from tracker.web.access import Refused
from tracker.web.context import Served
from tracker.web.faults import JSON

# It warns of each malformed body, on standard error where nobody asked for it; the client is told.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())

router = APIRouter(tags=["access"])
_NAMES = {
    "grant_type": "`client_credentials`, the only one",
    "client_id": "Who asks",
    "client_secret": "The client's secret",
}
_PARAMETERS = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": told} for name, told in _NAMES.items()
    ],
    "requestBody": {
        "required": False,
        "content": {
            kind: {"schema": {"type": "object", "properties": {name: {"type": "string"} for name in _NAMES}}}
            for kind in ("application/x-www-form-urlencoded", "multipart/form-data")
        },
    },
}


@router.post(
    "/oauth/token",
    operation_id="getToken",
    openapi_extra=_PARAMETERS,
    responses={
        200: {"description": "A signed token that expires after expires_in seconds"},
        400: {"description": "It is no request for a token"},
        401: {"description": "The credentials are wrong"},
    },
)
async def get_token(request: Request, served: Served) -> Response:
    """A token for a client's id and secret: in a form, the query, a multipart body or by HTTP Basic."""
    given = {name: value for name, value in request.query_params.items() if name in _NAMES}
    given |= _basic(request.headers.get("authorization"))
    try:
        async with request.form(max_files=0, max_fields=20) as form:
            given |= {name: value for name, value in form.items() if name in _NAMES and isinstance(value, str)}
        "".join(given.values()).encode()
    except UnicodeError:  # a multipart body names its own charset, and some decode to what is no text, or not at all
        return _answer(400, {"error": "invalid_request", "error_description": "expected a form in UTF-8"})
    if given.get("grant_type") != "client_credentials":
        return _answer(400, {"error": "unsupported_grant_type", "error_description": "expected grant_type=client_credentials"})
    try:
        return _answer(200, served.access.grant(given.get("client_id", ""), given.get("client_secret", "")))
    except Refused as refused:
        return _answer(401, {"error": "invalid_client", "error_description": str(refused)})


def _basic(authorization: str | None) -> dict[str, str]:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        name, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return {}
    return {"client_id": unquote_plus(name), "client_secret": unquote_plus(secret)} if colon else {}


def _answer(status: int, document: dict[str, Any]) -> Response:
    headers = {"WWW-Authenticate": "Basic"} if status == 401 else {}
    return Response(orjson.dumps(document), status, headers=headers, media_type=JSON)
