"""What text is in a PostgreSQL store: where its columns are not the document's own words, and how it compares without case.

A column is text without U+0000, which PostgreSQL can't hold: U+FFFD stands for it. A column with an index holds the first 256 code points,
as an index takes no more than 2.7 kB of a value, and a longer one would end the commit. Documents are bytes and whole. Rows whose columns
may differ from their document are few or none; they have an index of their own, so that filters can look at their documents instead.
"""

from __future__ import annotations

import sys
from typing import Any

MAX_INDEXED = 256
"""Code points, 1 kB at most in UTF-8. Ids are no longer."""
CUT = ("launcher", "parent_id", "target_id")
"""Columns of any text that have an index."""
FREE = (*CUT, "unique_name", "description", "parent_name", "target_name", "progress")
"""Columns of any text."""
INEXACT = " OR ".join([*(f"char_length({name}) >= {MAX_INDEXED}" for name in CUT), *(f"strpos({name}, '\ufffd') > 0" for name in FREE)])
"""Of a row that may be one. True of some that are not: a value may have 256 code points, or a U+FFFD of its own."""
INEXACT_INDEX = f"CREATE INDEX task_inexact ON task (id) WHERE {INEXACT}"


def fitting(name: str, value: Any) -> Any:
    """A value as its column holds it."""
    if not isinstance(value, str):
        return value
    if name in CUT and len(value) > MAX_INDEXED:
        value = value[:MAX_INDEXED]
    return value.replace("\0", "\ufffd") if "\0" in value else value


def casefold_functions() -> list[str]:
    """The function ``casefold`` as SQL: Python's ``str.casefold``, of the Python that made the store.

    Databases know ``lower`` only, which differs for ß, σ and ς and some hundred more. Text of ASCII alone, nearly all, costs a ``lower``;
    that part is one expression, which the planner puts in the place of a call.
    """
    one: dict[str, str] = {}
    more: list[tuple[str, str]] = []
    for code in (*range(128, 0xD800), *range(0xE000, sys.maxunicode + 1)):
        folded = chr(code).casefold()
        if folded != chr(code):
            if len(folded) == 1:
                one[chr(code)] = folded
            else:
                more.append((chr(code), folded))
    text = f"""translate(lower($1 COLLATE "C"), '{"".join(one)}', '{"".join(one.values())}')"""
    for each, folded in more:
        text = f"replace({text}, '{each}', '{folded}')"
    return [
        f"CREATE FUNCTION casefold_other(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN {text}",
        """CREATE FUNCTION casefold(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN CASE WHEN octet_length($1) = char_length($1) THEN lower($1 COLLATE "C") ELSE casefold_other($1) END""",
    ]
