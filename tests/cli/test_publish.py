"""`tracker publish`: what it says of where it is to publish to. What it publishes is told over a real broker, in tests/services."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --topic kafka://host:9092/topic"),
        (["--topic", "statuses"], "give it as kafka://host:9092/statuses"),
        (["--topic", "http://h/t"], "a topic can't be http://h/t: expected kafka://host:9092/topic"),
        (["--topic", "kafka:/h/t"], "expected kafka://host:9092/topic"),
        (["--topic", "kafka://h/a,b"], "published to one topic"),
        (["--topic", "kafka://h/?pattern=a"], "published to one topic"),
        (["--topic", "kafka://h/a?group=g"], "takes no ?group=NAME"),
        (["--topic", "kafka://h/a", "--partitions", "0"], "--partitions can't be '0'"),
        (["--topic", "kafka://h/a", "--store", "memory://"], "can't be read by another command"),
    ],
)
def test_what_is_wrong_is_said(cli, arguments, said):
    """One sentence and exit code 2."""
    result = cli("publish", *arguments)
    assert result.code == 2
    assert said in result.err


def test_a_store_that_is_not_there(cli):
    """It is told before any broker is asked."""
    result = cli("publish", "--topic", "kafka://127.0.0.1:1/statuses")
    assert result.code == 1
    assert "status.db" in result.err


def test_the_properties_are_not_there(cli):
    """They are named."""
    result = cli("publish", "--topic", "kafka://127.0.0.1:1/statuses", "--kafka-config", "missing.properties")
    assert result.code == 1
    assert "missing.properties" in result.err
