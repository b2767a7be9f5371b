"""How a report words what it shows: lengths of time to three digits, numbers, and texts of any kind as text."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What neither HTML nor XML has a character for, and what would turn the text around it about."""
_SPACE = re.compile(r"\s+")
NAME_CHARS = 80
"""Of a name in a table."""


def span(length_us: int) -> str:
    """``250 µs``, ``40 ms``, ``1.23 s``, ``12.3 s``, ``3 min 07 s``, ``2 h 05 min``, ``3 d 04 h``; with a minus where it is negative.

    A number is not parted from its unit where a line ends.
    """
    if length_us < 0:
        return "−" + span(-length_us)
    if length_us < 1_000:
        return f"{length_us}\u00a0µs" if length_us else "0\u00a0s"
    if length_us < 999_500:
        return f"{length_us / 1_000:.3g}\u00a0ms"
    if length_us < 59_950_000:
        return f"{length_us / 1_000_000:.3g}\u00a0s"
    whole = round(length_us / 1_000_000)
    if whole < 3_600:
        return f"{whole // 60}\u00a0min {whole % 60:02d}\u00a0s"
    if whole < 86_400:
        return f"{whole // 3_600}\u00a0h {whole % 3_600 // 60:02d}\u00a0min"
    return f"{whole // 86_400:,}\u00a0d {whole % 86_400 // 3_600:02d}\u00a0h"


def width(bucket: str) -> str:
    """A width of buckets in words: ``15m`` is 15 minutes."""
    count, unit = int(bucket[:-1]), {"s": "second", "m": "minute", "h": "hour", "d": "day"}[bucket[-1]]
    return f"a {unit}".replace("a hour", "an hour") if count == 1 else f"{count:,} {unit}s"


def number(value: int) -> str:
    """With commas between thousands."""
    return f"{value:,}"


def share(part: int, whole: int) -> str:
    """In per cent, of which only all is 100 and only none is 0."""
    if part in (0, whole):
        return "100\u00a0%" if part else "0\u00a0%"
    percent = 100 * part / whole
    return f"{percent:.1f}\u00a0%" if 0.05 <= percent < 99.95 else "<\u00a00.1\u00a0%" if percent < 1 else ">\u00a099.9\u00a0%"


def clean(text: str, chars: int = NAME_CHARS) -> str:
    """One line of it, as much as there is room for, with a mark in place of control characters."""
    return cut(_SPACE.sub(" ", _CONTROLS.sub("\ufffd", text)).strip(), chars)


def cut(text: str, chars: int) -> str:
    """The beginning and the end: names often differ there."""
    if len(text) <= chars:
        return text
    end = chars // 3
    return f"{text[: chars - end - 1]}…{text[len(text) - end :]}"


def moment(text: str | None) -> str:
    """A time of a status to the second: ``2026-01-31 09:30:00``."""
    return "" if text is None else text[:19].replace("T", " ")


FILTERS = {"span": span, "number": number, "clean": clean, "moment": moment, "width": width}
"""For templates."""
