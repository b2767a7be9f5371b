"""PostgreSQL, each version started once for the session, for all suites; and the list of services that were real."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.services.postgres import NoServer, Server, drop_database, new_database, start_server, stopped

# How long an example takes is the machine's affair: a busy one has pauses of half a second.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

SERVICES = pytest.StashKey[dict[str, str]]()
"""What became of each service, by its name; told at the end of a run of `tests/services`."""


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is used yet."""
    config.stash[SERVICES] = {"Kafka": "not used", "PostgreSQL": "not used"}


def pytest_collection_finish() -> None:
    """What collecting made, some 400,000 objects, lives as long as the process, and is not what is tested: to walk it again, as any full collection of
    garbage does, holds up a process for a third of a second, and for longer beside others.
    """
    gc.collect()
    gc.freeze()


def _postgres(config: pytest.Config, version: int) -> Iterator[Server]:
    """A real server. Without one: skipped with the reasons, or failed where TRACKER_REQUIRE_SERVICES=1."""
    services = config.stash[SERVICES]
    before = services["PostgreSQL"].removeprefix("not used")
    try:
        server = start_server(version)
    except NoServer as reason:
        services["PostgreSQL"] = f"{before} {version} missing ({reason})".strip()
        if os.environ.get("TRACKER_REQUIRE_SERVICES") == "1":
            pytest.fail(f"no PostgreSQL {version}, and TRACKER_REQUIRE_SERVICES=1: {reason}")
        pytest.skip(f"no PostgreSQL {version}: {reason}")
    services["PostgreSQL"] = f"{before} {version} real ({server.how})".strip()
    yield server
    stopped(server)


@pytest.fixture(scope="session")
def postgres15(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The oldest server."""
    yield from _postgres(request.config, 15)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The newest server."""
    yield from _postgres(request.config, 17)


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """The URL of a new database of the newest server, for one test."""
    url = new_database(postgres)
    yield url
    drop_database(postgres, url)
