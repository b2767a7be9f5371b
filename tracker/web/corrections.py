"""PATCH is an event."""

from __future__ import annotations


class Corrections:
    """The log that corrections are written to."""
