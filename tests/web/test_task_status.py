"""The compatible API over HTTP: what SailPoint's clients get."""

from __future__ import annotations

from tests.unit.query_store import event, ids


async def test_the_list_is_a_bare_array(served) -> None:
    """No envelope: the official client takes nothing else."""
    client = await served(event("b", "created"), event("a", "created"))
    answer = await client.get("/task-status/v1")
    assert ids(answer.json()) == ["a", "b"]
