"""Which methods a path answers, as its documented operations say."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import compile_path

METHODS = ("get", "head", "post", "patch", "delete")


def allowed(app: FastAPI, path: str) -> str:
    """The ``Allow`` header of a path: what its documented operations are; of two patterns that match, those of the more special one."""
    paths = app.openapi()["paths"]
    for pattern in sorted(paths, key=lambda pattern: pattern.count("{")):
        if compile_path(pattern)[0].match(path):
            return ", ".join(method.upper() for method in METHODS if method in paths[pattern])
    return ""
