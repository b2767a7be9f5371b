"""The commands by name. Each lives in the module of its group and imports what it needs when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

COMMANDS = {
    "run": "running.run",
    "serve": "serving.serve",
    "replay": "replaying.replay",
    "rebuild": "rebuilding.rebuild",
    "diff": "differing.diff",
    "verify": "auditing.verify",
    "rehearse": "copying.rehearse",
    "copy": "copying.copy",
    "list": "reading.list_",
    "get": "reading.get",
    "count": "reading.count",
    "histogram": "histogram.histogram",
    "tree": "tree.tree",
    "why": "reading.why",
    "watch": "watching.watch",
    "status": "health.status",
    "parked": "parking.app",
    "index": "indexing.index",
    "purge": "purging.purge",
    "emit": "emitting.emit",
    "publish": "publishing.publish",
    "export": "exporting.export",
    "report": "reporting.report",
    "schema": "exporting.schema",
    "demo": "running.demo",
    "simulate": "simulating.simulate",
}
"""In the order in which help tells them: the module and the function, or the group of commands."""


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"tracker {version('tracker')}")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """Folds task events from Kafka or log files into task statuses, exactly, whatever the order."""


def app_of(name: str = "") -> typer.Typer:
    """All commands, or the one of that name alone, where there is one: all of them take as long to load as most of them to run."""
    app = typer.Typer(
        name="tracker",
        help=_root.__doc__,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    for each in [name] if name in COMMANDS else COMMANDS:
        module, _, member = COMMANDS[each].partition(".")
        found = getattr(import_module(f"tracker.cli.{module}"), member)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=each)
        else:
            app.command(each)(found)
    return app
