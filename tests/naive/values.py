"""JSON as the contract means it, by the standard ``json``: strict, of any depth, and never a guess at a number."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class NotJson(Exception):
    """Bytes that are not one JSON value."""


def canonical(value: object) -> bytes:
    """Canonical JSON: keys in code point order, no spaces, UTF-8."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def parse(value: bytes) -> tuple[Any, int]:
    """The JSON value and how many levels of arrays and objects it has (what a key given twice had before is no part of it).

    Below level 100 containers are only checked, and read as 0.

    A fraction or power that no double holds reads as an infinity, an integer of more than 30 digits as one of 30 digits.
    """
    try:
        text = value.decode("utf-8")
        parsed = _loads(_flattened(text))
        for string in _STRING.findall(text) if "\\u" in text else []:
            json.loads(string).encode("utf-8")  # an unpaired surrogate has no UTF-8
    except (ValueError, IndexError):
        raise NotJson from None
    return parsed, levels(parsed)


def levels(value: object) -> int:
    """How many levels of arrays and objects a parsed value has, counting itself; 0 for what is neither."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


def _flattened(text: str) -> str:
    """The text with every container below level 100 checked and replaced by 0, as ``json`` is recursive."""
    open_texts: list[list[str]] = [[]]
    start = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match.group()
        if token in "[{":
            open_texts[-1].append(text[start : match.start()])
            open_texts.append([token])
        elif token in "]}":
            inner = [*open_texts.pop(), text[start : match.end()]]
            if len(open_texts) > 100:
                _loads("".join(inner))
                inner = ["0"]
            open_texts[-1].append("".join(inner))  # IndexError: closed more often than opened
        else:
            continue
        start = match.end()
    if len(open_texts) != 1:
        raise ValueError("brackets left open")
    return "".join(open_texts[0]) + text[start:]


def _loads(text: str) -> Any:
    return json.loads(text, parse_int=lambda digits: int(digits[:30]), parse_constant=_no_constant)


def _no_constant(name: str) -> float:
    raise ValueError(name)


def walk(value: object) -> list[object]:
    """The value and everything inside it."""
    found = [value]
    if isinstance(value, dict):
        for inner in value.values():
            found += walk(inner)
    elif isinstance(value, list):
        for inner in value:
            found += walk(inner)
    return found


def overflows(value: object) -> bool:
    """Whether an infinity, as `parse` reads what no double holds, stands anywhere in the value."""
    return any(isinstance(inner, float) and math.isinf(inner) for inner in walk(value))
