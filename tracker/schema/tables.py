"""The flat tables of `tracker.analytics`: as JSON for programs, and as rows of Markdown for the reference page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tracker.analytics.columns import EVENTS, TASKS, Column, Listed, Mapped, Struct, Type, Words, type_text

TABLES = {"tasks": TASKS, "events": EVENTS}


def table(name: str) -> dict[str, Any]:
    """One table: for each column its name, its type as Arrow writes it, whether it may be null, and a sentence; members of structs likewise."""
    sentence = {"tasks": "One row a task.", "events": "One row a record of a log, in the order of the log."}[name]
    return {"name": name, "description": sentence, "columns": [_column(column) for column in TABLES[name]]}


def _column(column: Column) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": column.name,
        "type": type_text(column.type),
        "nullable": column.nullable,
        "description": column.sentence,
    }
    inner: Type = column.type.item if isinstance(column.type, Listed) else column.type
    if isinstance(inner, Words):
        made["words"] = list(inner.words)
    if isinstance(inner, Struct):
        made["members"] = [_column(member) for member in inner.members]
    return made


_SHOWN = {Struct: "struct", Mapped: "map of text to JSON text", Words: "dictionary of words"}


def rows(columns: Iterable[Column]) -> str:
    """The columns as a table of Markdown; members of structs stand below them."""
    lines = ["| column | type | null | what it is |", "|---|---|---|---|"]
    for column in columns:
        lines.extend(_rows(column, column.name))
    return "\n".join(lines) + "\n"


def _rows(column: Column, path: str) -> Iterable[str]:
    type_, inner = column.type, column.type.item if isinstance(column.type, Listed) else column.type
    words = f": {', '.join(inner.words)}" if isinstance(inner, Words) else ""
    shown = "list of " if isinstance(type_, Listed) else ""
    shown += next((text for kind, text in _SHOWN.items() if isinstance(inner, kind)), "") or type_text(inner)
    yield f"| `{path}` | {shown}{words} | {'yes' if column.nullable else ''} | {column.sentence} |"
    if isinstance(inner, Struct):
        for member in inner.members:
            yield from _rows(member, f"{path}.{member.name}")


def page(text: str) -> str:
    """The text of ``docs/table.md`` with its tables as the code says: each stands between two comments that name it."""
    for name, columns in TABLES.items():
        begin, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n\n{rows(columns)}\n{end}{rest.partition(end)[2]}"
    return text


def write_page(path: Path) -> bool:
    """Brings the page up to date; whether that changed it."""
    before = path.read_text(encoding="utf-8")
    after = page(before)
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before
