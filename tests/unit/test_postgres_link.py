"""The connection to PostgreSQL, as far as it goes without a server."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import logging
import tracker.stores.postgres_link
logging.getLogger("psycopg").warning("error ignored")
"""


def test_what_psycopg_swallows_is_not_shown() -> None:
    """A warning of psycopg's own logger does not reach standard error where a program has set up no logging for it."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)

    assert done.stderr == ""
