"""Indexes of attributes, over SQLite and PostgreSQL: what filters find does not depend on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.suites.stores import url_of
from tests.unit.query_store import commit, event
from tracker.errors import UsageError
from tracker.fold.event import TaskEvent
from tracker.model.records import Place
from tracker.query import connect, indexing
from tracker.query.attributes import attribute, name
from tracker.query.base import Scan
from tracker.query.blocking import BlockingQuery
from tracker.query.filters import parse
from tracker.query.indexing import behind, catch_up
from tracker.query.pages import BY_ID
from tracker.stores.attribute_index import AttributeIndex, attribute_index
from tracker.stores.base import StatusStore
from tracker.stores.open import open_store


@dataclass
class Opened:
    """A store that is written to, its indexes, and how it is read."""

    store: StatusStore
    index: AttributeIndex
    tasks: BlockingQuery

    def found(self, filters: str) -> list[str]:
        """Ids of the tasks that match."""
        return self.tasks.ask(lambda snapshot: [row.id for row in snapshot.rows(parse(filters), BY_ID)])

    def places(self) -> dict[str, Place]:
        """How far the indexes go."""
        return dict(self.tasks.ask(lambda snapshot: snapshot.indexed))

    def looked_at(self, filters: str) -> int:
        """How many tasks are decoded to find those that match."""
        scan = Scan()
        self.tasks.ask(lambda snapshot: snapshot.count(parse(filters), scan=scan))
        return scan.looked_at


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Each store that has indexes, empty."""
    url = url_of(request, tmp_path)
    with open_store(url) as store, closing(connect(url)) as tasks:
        index = attribute_index(store)
        assert index is not None
        yield Opened(store, index, tasks)


def with_attributes(id: str, **values: object) -> TaskEvent:
    """The event that made a task with these attributes."""
    return event(id, "created", attributes=values)


@pytest.mark.parametrize(
    ("held", "filters", "others"),
    [
        ("É", '"é"', ["e", "", None, 1, ["e"], {"k": "é"}]),
        ("x" * 64 + "a", f'"{"X" * 64}a"', ["x" * 64 + "b", "x" * 63]),
        ("a\n\U0010ffff", '"A\n\U0010ffff"', ["a", "a\0\U0010ffff"]),
        ("1", '"1"', [1, True]),
        (1, "1.0", ["1", True, 1.5, 2**53]),
        (2**53 + 1, str(2**53 + 1), [2**53, 2**53 + 2]),
        (-0.0, "0", [False, "", 1e-300]),
        (True, "true", [1, "true", False]),
        ([["a", 7], {"k": 8}], "7", [8, [], [[]]]),
    ],
)
def test_the_same_is_found_with_an_index_as_without(opened, held, filters, others):
    """By eq and in, whatever JSON values there are: those of its own type, texts without case, members of arrays."""
    commit(opened.store, [with_attributes("it", k=held), *(with_attributes(f"t{at}", k=each) for at, each in enumerate(others))])
    for text in (f"attributes.k eq {filters}", f'attributes.k in (nothing, {filters}) and state eq "PENDING"'):
        without = opened.found(text)
        opened.index.ask(["k"])
        assert catch_up(opened.tasks, opened.index)
        assert opened.found(text) == without == ["it"]
        assert opened.looked_at(text) < 1 + len(others)
        opened.index.drop(["k"])


def test_what_has_changed_since_is_found_too(opened):
    """An index that is behind costs time, and no answer: of new tasks, of changed ones and of those that are gone."""
    opened.index.ask(["k"])
    commit(opened.store, [with_attributes(id, k="old") for id in ("changes", "goes", "stays")])
    assert catch_up(opened.tasks, opened.index)
    commit(
        opened.store, [event("changes", "progressed", "2026-01-02T00:00:00Z", attributes={"k": "new"}), with_attributes("made", k="new")]
    )
    commit(opened.store, [event("goes", "deleted", "2026-01-02T00:00:00Z")])
    assert opened.tasks.ask(behind(opened.places(), 10)) == 3
    for _ in "12":
        assert (opened.found("attributes.k eq old"), opened.found("attributes.k eq new")) == (["stays"], ["changes", "made"])
        assert catch_up(opened.tasks, opened.index)
    assert opened.tasks.ask(behind(opened.places(), 10)) == 0


def test_a_commit_is_indexed_in_pages(opened, monkeypatch):
    """Whoever is stopped in the middle of a great commit goes on there, and what is not indexed yet is found meanwhile."""
    monkeypatch.setattr(indexing, "PAGE_TASKS", 2)
    revision = commit(opened.store, [with_attributes(f"t{at}", k=at % 2) for at in range(7)])
    opened.index.ask(["k"])
    stop = threading.Event()
    assert not catch_up(opened.tasks, opened.index, stop=stop, on_page=lambda _: stop.set())
    assert opened.places() == {"k": Place(revision, "t1")}
    assert opened.found("attributes.k eq 1") == ["t1", "t3", "t5"]
    counts: list[int] = []
    assert catch_up(opened.tasks, opened.index, on_page=counts.append)
    assert (counts, opened.found("attributes.k eq 1")) == ([2, 2, 1], ["t1", "t3", "t5"])
    assert opened.looked_at("attributes.k eq 1") == 3


def test_a_further_index_is_brought_up_to_the_others(opened):
    """It begins at the beginning; the others stay where they are, and mean the same."""
    commit(opened.store, [with_attributes("a", k=1, more=2), with_attributes("b", k=2, more=2)])
    opened.index.ask(["k"])
    assert catch_up(opened.tasks, opened.index)
    before = opened.places()["k"]
    opened.index.ask(["k", "more"])
    assert opened.places() == {"k": before, "more": Place(0, None)}
    assert (opened.found("attributes.k eq 1"), opened.found("attributes.more eq 2")) == (["a"], ["a", "b"])
    assert catch_up(opened.tasks, opened.index)
    assert opened.places() == {"k": before, "more": before}
    assert (opened.looked_at("attributes.k eq 1"), opened.found("attributes.more eq 2 and attributes.k eq 2")) == (1, ["b"])


def test_of_two_who_index_the_slower_is_refused(opened):
    """What he has read may be older than what stands there: nothing of it is written."""
    commit(opened.store, [with_attributes("a", k="old")])
    opened.index.ask(["k"])
    begun = opened.places()
    revision = commit(opened.store, [event("a", "progressed", "2026-01-02T00:00:00Z", attributes={"k": "new"})])
    assert catch_up(opened.tasks, opened.index)
    assert not opened.index.write({"a": [("k", '"old"')]}, begun, {"k": Place(revision, None)})
    assert (opened.found("attributes.k eq new"), opened.looked_at("attributes.k eq old")) == (["a"], 0)
    opened.index.drop(["k"])
    assert not opened.index.write({"a": [("k", '"old"')]}, {"k": Place(revision, None)}, {"k": Place(revision, None)})


def test_an_index_of_what_most_have_is_not_asked(opened, monkeypatch):
    """A page of them is found sooner in the order of the listing."""
    monkeypatch.setattr("tracker.query.sql._FEW", 2)
    commit(opened.store, [*(with_attributes(f"t{at}", k="most") for at in range(3)), with_attributes("z", k="few")])
    opened.index.ask(["k"])
    assert catch_up(opened.tasks, opened.index)
    assert (opened.looked_at("attributes.k eq most"), opened.looked_at("attributes.k eq few")) == (4, 1)
    assert opened.looked_at("attributes.k eq most and attributes.k eq few") == 1
    assert opened.looked_at("attributes.k eq few or state eq RUNNING") == 1
    assert opened.looked_at("attributes.k eq few or attributes.other eq 1") == 4
    assert opened.looked_at("not attributes.k eq few") == 4


def test_many_comparisons_are_within_the_limits(opened):
    """The widest filters are answered, with an index as without."""
    commit(opened.store, [with_attributes("a", k=1)])
    opened.index.ask(["k"])
    assert catch_up(opened.tasks, opened.index)
    for count in (16, 150):
        assert opened.found(" or ".join(f"attributes.k eq {at}" for at in range(count))) == ["a"]
    assert opened.found(f"attributes.k in ({','.join(map(str, range(500)))})") == ["a"]


@pytest.mark.parametrize(
    ("text", "expected"), [("region", "region"), ("owner.name", "owner.name"), ('"a b"."c.d"', '"a b"."c.d"'), ('"region"', "region")]
)
def test_an_attribute_is_named_as_in_filters(text, expected):
    """However it is written, by one name."""
    assert name(attribute(text)) == expected


@pytest.mark.parametrize("text", ["", "a b", "region isnull or id", '"', "." * 3, "x" * 129])
def test_what_names_no_attribute_is_refused(text):
    """With what was expected."""
    with pytest.raises(UsageError, match=r"expected an attribute as filters write it|a name of at most 128 characters"):
        attribute(text)
