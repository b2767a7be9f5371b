"""URLs of PostgreSQL stores: what they mean, and what of them is shown."""

from __future__ import annotations

import pytest

from tracker.errors import UsageError
from tracker.query.api import open_query
from tracker.stores.open import open_store
from tracker.stores.postgres_url import address, without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h:5433/db?sslmode=require", "postgresql://u@h:5433/db?sslmode=require"),
        ("postgres://u:s%40cret@h/db?schema=a&password=secret", "postgres://u@h/db?schema=a"),
        ("postgresql:///db?host=/var/run/postgresql&user=u", "postgresql:///db?host=/var/run/postgresql&user=u"),
        ("mysql://u:secret@h/db", "mysql://u@h/db"),
        ("postgresql://u:secret@[h/db", "postgresql://…"),
        ("postgresql://u:sec/ret@h/db", "postgresql://…"),
        ("postgresql://u:sec#ret@h/db", "postgresql://…"),
        ("postgresql://u:sec?ret@h/db", "postgresql://…"),
        ("postgresql://u:12/secret@h/db", "postgresql://…"),
        ("postgresql://u:12?secret@h/db", "postgresql://…"),
        ("postgresql://u:secret@h:1,[::1]:2/db?PASSWORD=secret", "postgresql://u@h:1,[::1]:2/db"),
        ("sqlite:///a@b.db", "sqlite:///a@b.db"),
        ("events.db", "events.db"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    """Wherever it stands in the URL; all else stays."""
    assert without_password(url) == shown


def test_both_schemes_are_one() -> None:
    """Libpq takes both, and so do we."""
    one, other = address("postgresql://u:p@h/db?schema=s"), address("postgres://u:p@h/db?schema=s")
    assert one.conninfo == other.conninfo
    assert one.schema == "s"


def test_the_schema_is_public_unless_told() -> None:
    """And is no setting of libpq's."""
    found = address("postgresql://u@h/db?sslmode=require")
    assert found.schema == "public"
    assert "sslmode=require" in found.conninfo
    assert "schema" not in found.conninfo


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://u:secret@h/db?shcema=s", "no such setting: shcema"),
        ("postgresql://u:secret@h/db?schema=a;b", "a schema is a name of letters"),
        ("postgresql://u:secret@h/db?schema=", "a schema is a name of letters"),
        ("postgresql://u:secret@[h/db", "can't be understood"),
        ("postgresql://u:1?secret@h/db", "in a password"),
        ("mysql://u:secret@h/db", "expected a store such as"),
    ],
)
def test_a_wrong_url_is_wrong_usage(url: str, sentence: str) -> None:
    """For writers and readers, in a sentence that has no password in it."""
    for opening in (open_store, open_query):
        with pytest.raises(UsageError, match=sentence) as caught:
            opening(url)
        assert "secret" not in str(caught.value)
