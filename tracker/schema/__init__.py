"""The published schemas, made from the models: JSON Schema 2020-12 of each event and of the status, AsyncAPI 3.0, OpenAPI 3.1, the
flat tables, examples.

Everything here is a pure function of the code but `write` and `check`, which look at a folder. The extra ``web`` is needed, as the
OpenAPI document is made from the routes: UsageError without it.
"""

from __future__ import annotations

import json
from pathlib import Path

from tracker.model.kinds import KINDS
from tracker.schema.asyncapi import asyncapi
from tracker.schema.examples import example_files
from tracker.schema.json_schemas import event_schema, extension_schema, status_schema
from tracker.schema.openapi import openapi
from tracker.schema.tables import TABLES, table, write_page

__all__ = ["check", "generate", "write", "write_page"]


def generate() -> dict[str, bytes]:
    """Every file of ``schemas/``: its relative path, with ``/``, and its bytes (indented JSON in UTF-8, a newline at the end)."""
    documents = {f"events/{kind}.schema.json": event_schema(kind) for kind in KINDS}
    documents["task-status.schema.json"] = status_schema()
    documents["tracker-extension.schema.json"] = extension_schema()
    documents["asyncapi.json"] = asyncapi()
    documents["openapi.json"] = openapi()
    documents |= {f"tables/{name}.json": table(name) for name in TABLES}
    documents |= example_files()
    return {path: (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode() for path, document in documents.items()}


def check(folder: Path) -> list[str]:
    """The relative paths of files that differ from the code, are missing, or that the code does not know; sorted."""
    expected = generate()
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}
    return sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))


def write(folder: Path) -> list[str]:
    """Brings a folder up to date and gives the relative paths of the files that changed, sorted. Nothing is ever deleted."""
    changed = []
    for path, content in sorted(generate().items()):
        file = folder / path
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            changed.append(path)
    return changed
