"""HTML as a test reads it: tags with their attributes and texts, by the standard library's own parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset(("meta", "link", "input", "br", "img", "hr"))


@dataclass
class Tag:
    """One element, without what is inside but its text."""

    name: str
    attributes: dict[str, str]
    text: str = ""

    def has(self, **wanted: str) -> bool:
        """Whether it has these attributes; ``_`` stands for ``-``, and a trailing one for none."""
        return all(self.attributes.get(name.rstrip("_").replace("_", "-")) == value for name, value in wanted.items())


@dataclass
class _Reader(HTMLParser):
    tags: list[Tag] = field(default_factory=list)
    open: list[Tag] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = Tag(tag, {name: value or "" for name, value in attrs})
        self.tags.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop().name != tag:
            pass

    def handle_data(self, data: str) -> None:
        for each in self.open:
            each.text += data


class Page:
    """A page that was answered."""

    def __init__(self, text: str) -> None:
        reader = _Reader()
        reader.feed(text)
        self.tags = reader.tags

    def all(self, name: str, /, **attributes: str) -> list[Tag]:
        """The elements with this name and these attributes."""
        return [tag for tag in self.tags if tag.name == name and tag.has(**attributes)]

    def one(self, name: str, /, **attributes: str) -> Tag:
        """The only one."""
        [tag] = self.all(name, **attributes)
        return tag

    def classed(self, name: str) -> list[Tag]:
        """The elements of a class."""
        return [tag for tag in self.tags if name in tag.attributes.get("class", "").split()]

    def with_id(self, id: str) -> Tag:
        """The element with an id."""
        [tag] = [tag for tag in self.tags if tag.attributes.get("id") == id]
        return tag

    @property
    def counts(self) -> dict[str, int]:
        """What the chips say, by outcome."""
        return {tag.attributes["data-count"]: int(tag.text.replace(",", "")) for tag in self.tags if "data-count" in tag.attributes}

    @property
    def rows(self) -> list[str]:
        """The ids of the table's rows."""
        return [tag.attributes["data-id"] for tag in self.tags if tag.name == "tr" and "data-id" in tag.attributes]

    @property
    def total(self) -> int:
        """How many tasks match, as it says."""
        return int(self.with_id("total").text.split()[0].replace(",", "").rstrip("+"))

    @property
    def revision(self) -> int:
        """The revision that it says it is of."""
        return int(next(tag for tag in self.tags if "data-revision" in tag.attributes).text.replace(",", ""))

    def link(self, text: str) -> str:
        """Where the link with this text goes, or else the first whose text begins so."""
        links = {tag.text.strip(): tag.attributes["href"] for tag in reversed(self.all("a"))}
        return links.get(text) or next(place for said, place in reversed(links.items()) if said.startswith(text))
