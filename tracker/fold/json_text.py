"""JSON exactly as the contract means it, read with the standard library; and canonical JSON, written with it.

This is the slow and exact side: about 15 times slower than msgspec, and met only by odd or large records.
"""

from __future__ import annotations

import json
import re
from math import isinf
from typing import Any, NoReturn

from tracker.model.limits import MAX_INTEGER, MIN_INTEGER

_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
_CUT_LEVELS = 200
_ESCAPES = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


class NotJson(ValueError):
    """The text is not one UTF-8 JSON value; the message says what was found."""


class OutOfRange:
    """Stands for an integer outside 64 bits, however long its digits."""


class Overflow:
    """Stands for a fraction or power that no double holds."""


OUT_OF_RANGE, OVERFLOW = OutOfRange(), Overflow()


def _integer(digits: str) -> int | OutOfRange:
    if len(digits) > 20:  # 18446744073709551615 has 20 digits, and -9223372036854775808 has 20 characters
        return OUT_OF_RANGE
    value = int(digits)
    return value if MIN_INTEGER <= value <= MAX_INTEGER else OUT_OF_RANGE


def _float(digits: str) -> float | Overflow:
    value = float(digits)
    return OVERFLOW if isinf(value) else value


def _constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


_loads = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant).decode


def _cut(text: str) -> str:
    """The text with 0 for each container at level 201, once it was read itself, from the inside out.

    Even a value of a million levels is then read without recursion: its ``type`` alone may say that it is none of ours.
    """
    open_texts: list[list[str]] = [[]]
    start = 0
    for token in _STRINGS_AND_BRACKETS.finditer(text):
        bracket = token.group()
        if bracket in ("[", "{"):
            open_texts[-1].append(text[start : token.start()])
            open_texts.append([])
            start = token.start()
        elif bracket in ("]", "}") and len(open_texts) > 1:
            container = "".join([*open_texts.pop(), text[start : token.end()]])
            if len(open_texts) % _CUT_LEVELS == 1 and len(open_texts) > 1:
                try:
                    _loads(container)
                except json.JSONDecodeError as error:
                    raise NotJson(f"{error.msg} below level {_CUT_LEVELS}") from None
                container = "0"
            open_texts[-1].append(container)
            start = token.end()
    if len(open_texts) > 1:
        raise NotJson(f"{len(open_texts) - 1} brackets are left open")
    return "".join(open_texts[0]) + text[start:]


def parse(value: bytes) -> Any:
    """The one JSON value in ``value``; integers outside 64 bits and overflowing numbers are the two marks above.

    Raises `NotJson`. In a value nested so deep that it can't be read at once, 0 stands for what is below level 200.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"byte {error.start} is not UTF-8") from None
    try:
        try:
            parsed = _loads(text)
        except RecursionError:
            parsed = _loads(_cut(text))
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at character {error.pos}") from None
    if "\\ud" in text or "\\uD" in text:
        _check_surrogates(text)
    return parsed


def _check_surrogates(text: str) -> None:
    open_until = -1  # where the low half of a pair must begin
    for escape in _ESCAPES.finditer(text):
        code = int(escape.group(1) or "0", 16)
        if open_until not in (-1, escape.start()):
            break
        if 0xDC00 <= code <= 0xDFFF:
            if open_until == -1:
                break
            open_until = -1
        elif open_until != -1:
            break
        elif 0xD800 <= code <= 0xDBFF:
            open_until = escape.end()
    else:
        if open_until == -1:
            return
    raise NotJson("an unpaired surrogate is not JSON")


def deeper_than(value: Any, levels: int) -> bool:
    """Whether a parsed value has more than so many levels of arrays and objects, counting itself as the first.

    It is the value that counts: what a repeated key had before its last value is gone.
    """
    level = [value]
    for _ in range(levels + 1):
        level = [member for member in level if isinstance(member, dict | list)]
        if not level:
            return False
        level = [inner for member in level for inner in (member.values() if isinstance(member, dict) else member)]
    return True


def has(value: Any, mark: OutOfRange | Overflow) -> bool:
    """Whether ``mark`` stands anywhere inside a parsed value."""
    if isinstance(value, dict):
        return any(has(member, mark) for member in value.values())
    if isinstance(value, list):
        return any(has(member, mark) for member in value)
    return value is mark


def canonical(value: Any) -> bytes:
    """Canonical JSON: keys in code point order, no spaces, UTF-8, numbers as Python's json writes them."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
