"""The commands by name. Each lives in the module of its group and imports what it needs when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli import (
    auditing,
    copying,
    differing,
    emitting,
    exporting,
    health,
    histogram,
    indexing,
    parking,
    publishing,
    purging,
    reading,
    rebuilding,
    replaying,
    reporting,
    running,
    serving,
    simulating,
    tree,
    watching,
)

app = typer.Typer(
    name="tracker",
    help="Folds task events from Kafka or log files into task statuses, exactly, whatever the order.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"tracker {version('tracker')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """Folds task events from Kafka or log files into task statuses, exactly, whatever the order."""


app.command("run")(running.run)
app.command("serve")(serving.serve)
app.command("replay")(replaying.replay)
app.command("rebuild")(rebuilding.rebuild)
app.command("diff")(differing.diff)
app.command("verify")(auditing.verify)
app.command("rehearse")(copying.rehearse)
app.command("copy")(copying.copy)
app.command("list")(reading.list_)
app.command("get")(reading.get)
app.command("count")(reading.count)
app.command("histogram")(histogram.histogram)
app.command("tree")(tree.tree)
app.command("why")(reading.why)
app.command("watch")(watching.watch)
app.command("status")(health.status)
app.add_typer(parking.app, name="parked")
app.command("index")(indexing.index)
app.command("purge")(purging.purge)
app.command("emit")(emitting.emit)
app.command("publish")(publishing.publish)
app.command("export")(exporting.export)
app.command("report")(reporting.report)
app.command("schema")(exporting.schema)
app.command("demo")(running.demo)
app.command("simulate")(simulating.simulate)
