"""Literals of filters -> values of a field's kind. Each function takes the literal's text and its position; FilterError if it is none."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tracker.model.times import to_utc
from tracker.query.grammar import quoted, wrong
from tracker.query.tree import AFTER_ALL, BEFORE_ALL, Moment

_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
_FRACTION = re.compile(r"\.([0-9]+)")
_DURATION = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,12}))?(ms|s|m|h|d)")
_RELATIVE = re.compile(rf"now(?:([+-])({_DURATION.pattern}))?")
UNITS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
"""Microseconds of each."""
MAX_DURATION = 4 * 10**17
"""Microseconds: more than lie between the years 0001 and 9999 (3.2e17), and within 64 bits."""


def number(text: str, at: int) -> int | float:
    """A number that databases take: integers outside 64 bits are floats."""
    if _INTEGER.fullmatch(text):
        integer = int(text)
        return integer if -(2**63) <= integer < 2**63 else float(integer)
    if not _NUMBER.fullmatch(text):
        raise wrong(at, f"expected a number, found {quoted(text)}")
    return float(text)


def json_value(text: str) -> str | int | float | bool:
    """What a literal without quotes is in JSON: ``true``, ``false``, a number; all else is a string."""
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def duration(text: str, at: int) -> int:
    """``90s``, ``10m``, ``1.5h`` in microseconds, cut to whole ones."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise wrong(at, f"expected a duration such as 500ms, 90s, 10m, 1.5h or 7d, found {quoted(text)}")
    return _microseconds(*match.groups())


def _microseconds(whole: str, fraction: str | None, unit: str) -> int:
    digits = fraction or "0"
    scale = int(10 ** len(digits))
    return min((int(whole) * scale + int(digits)) * UNITS[unit] // scale, MAX_DURATION)


def moment(text: str, at: int, now: datetime | None) -> Moment:
    """A time, a date, a year, or one counted from now: ``now-10m``."""
    if relative := _RELATIVE.fullmatch(text):
        sign, _, *parts = relative.groups()
        microseconds = _microseconds(*parts) if sign else 0
        then = since(now, -microseconds if sign == "-" else microseconds, at)
        if then in (BEFORE_ALL, AFTER_ALL):
            raise wrong(at, f"{quoted(text)} lies outside the years 0001 to 9999")
        return then
    if _DATE.fullmatch(text):
        text += "0000-01-01"[len(text) :] + "T00:00:00Z"
    try:
        utc = to_utc(text.replace(",", "."))
    except ValueError as error:
        raise wrong(at, f"{quoted(text)} is no time: {error}, or now-10m") from None
    fraction = _FRACTION.search(text)
    return Moment(utc if fraction and len(fraction[1]) > 3 else utc[:23])


def since(now: datetime | None, microseconds: int, at: int) -> Moment:
    """The moment so many microseconds after now, to the microsecond; `BEFORE_ALL` or `AFTER_ALL` outside the years 0001 to 9999."""
    if now is None:
        raise wrong(at, "what counts from now can't be asked here, where no time of asking is given")
    try:
        then = now.astimezone(UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return BEFORE_ALL if microseconds < 0 else AFTER_ALL
    return Moment(then.isoformat(timespec="microseconds")[:26])
