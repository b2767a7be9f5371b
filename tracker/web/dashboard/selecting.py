"""One filter text is the whole selection: chips, facets and the histogram add parts to it, replace them, and take them out again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from tracker.query.filters import And, Node, Not, Or, parse
from tracker.query.grammar import conjuncts
from tracker.web.wording import literal

OUTCOME_FIELDS = frozenset(("state", "completionStatus"))


class Part:
    """One of the parts of a filter that are joined by ``and`` at its top."""

    def __init__(self, text: str, now: datetime) -> None:
        self.text = text
        self.node = parse(text, now=now)
        self.fields = frozenset(_fields(self.node))


class Selection:
    """A valid filter, or none, by its parts. Raises `FilterError`."""

    def __init__(self, text: str | None, now: datetime) -> None:
        self.text = (text or "").strip()
        self.now = now
        self.where: Node | None = parse(self.text, now=now) if self.text else None
        self.parts = [Part(each, now) for each in conjuncts(self.text)] if self.text else []

    def has(self, text: str) -> bool:
        """Whether a part means the same as this one, which has no relative time."""
        node = _fixed(text)
        return any(part.node == node for part in self.parts)

    def without(self, fields: Iterable[str]) -> Node | None:
        """What is left without the parts that are about these fields alone."""
        nodes = [part.node for part in self._others(fields)]
        return None if not nodes else nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def text_without(self, fields: Iterable[str]) -> str:
        """Likewise, as text."""
        return " and ".join(part.text for part in self._others(fields))

    def but(self, text: str) -> str:
        """The text without the parts that mean the same as this."""
        node = _fixed(text)
        return " and ".join(part.text for part in self.parts if part.node != node)

    def instead(self, fields: Iterable[str], text: str) -> str:
        """The text with this part in place of those about the fields."""
        return " and ".join([*(part.text for part in self._others(fields)), text])

    def plus(self, text: str) -> str:
        """The text with one part more."""
        return " and ".join([*(part.text for part in self.parts), text])

    def _others(self, fields: Iterable[str]) -> list[Part]:
        of = frozenset(fields)
        return [part for part in self.parts if not part.fields <= of]


def equals(field: str, value: str | int | None) -> str:
    """The part that finds a value of a field."""
    if value is None:
        return f"{field} isnull"
    return f"{field} eq {value if isinstance(value, int) else literal(value)}"


@lru_cache(maxsize=2_000)
def _fixed(text: str) -> Node:
    """Chips and facets ask for the same few in every page; to parse one takes 0.3 ms, and a page with facets asked 80 times."""
    return parse(text)


def _fields(node: Node) -> Iterable[str]:
    if isinstance(node, And | Or):
        for each in node.nodes:
            yield from _fields(each)
    elif isinstance(node, Not):
        yield from _fields(node.node)
    else:
        yield node.field.name
