"""Processes of our own do without NumPy and pandas, for which pyarrow looks where they are installed: to import them takes most of a second and 46 MB."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

_unneeded: set[str] = set()
"""Packages that this process does without."""


class _Without(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - a finder's
        if name in _unneeded:
            raise ModuleNotFoundError(f"this process does without {name}", name=name)
        return None


def without_numpy() -> None:
    """In this process there are neither NumPy nor pandas, unless they are imported already."""
    if not _unneeded:
        sys.meta_path.insert(0, _Without())
    _unneeded.update(("numpy", "pandas"))


def with_numpy() -> None:
    """There is NumPy again: Matplotlib needs it."""
    _unneeded.discard("numpy")


def begin(module: str, *arguments: object) -> None:
    """The first thing that a process of a pool does; then the module's own ``begin``."""
    without_numpy()
    import_module(module).begin(*arguments)
