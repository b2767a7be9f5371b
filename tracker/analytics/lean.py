"""Processes of our own do without pandas, for which pyarrow looks where it is installed: to import it takes half a second and 35 MB."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


class _Without(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - a finder's
        if name == "pandas":
            raise ModuleNotFoundError("this process does without pandas", name=name)
        return None


def without_pandas() -> None:
    """In this process there is none, unless it is imported already."""
    sys.meta_path.insert(0, _Without())


def begin(module: str, *arguments: object) -> None:
    """The first thing that a process of a pool does; then the module's own ``begin``."""
    without_pandas()
    import_module(module).begin(*arguments)
