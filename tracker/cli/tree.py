"""``tracker tree``: a task among its kin."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli import options, output, reading
from tracker.errors import NotFound
from tracker.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from tracker.query.kin import Tree, TreeNode

_MARKS = {
    "missing": "not in the store",
    "cycle": "stands in the tree already",
    "cut": "has more than is shown; see --depth and --limit",
}


def tree(
    task: options.Task,
    store: options.Store = None,
    depth: Annotated[int, typer.Option("--depth", metavar="N", help="Levels above the task, and as many below.")] = 50,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", help="At most so many tasks.")] = 1_000,
    as_json: options.AsJson = False,
) -> None:
    """Show a task among its kin: its parents up to the root, and all its descendants. Exit code 1 if there is no such task."""
    settings = Settings.load().with_flags(store=store)
    found = asyncio.run(_tree(settings.store, task, limit, depth))
    if as_json:
        output.write_json(found.to_json())
        return
    from rich.tree import Tree as Drawing

    drawing = Drawing(_line(found.root, found.id), guide_style="bright_black")
    waiting = [(drawing, found.root)]
    while waiting:
        branch, node = waiting.pop()
        waiting += [(branch.add(_line(child, found.id)), child) for child in node.children]
    output.console().print(drawing)
    if found.cut:
        output.note(f"{found.tasks:,} tasks are shown, and there are more; see --depth and --limit")


async def _tree(url: str, task: str, max_tasks: int, max_depth: int) -> Tree:
    from tracker.query.api import open_query

    async with open_query(url) as query:
        found = await query.tree(task, max_tasks=max_tasks, max_depth=max_depth)
        if found is None:
            raise NotFound(await reading.absence(query, url, task))
    return found


def _line(node: TreeNode, asked: str) -> Text:
    from rich.text import Text

    text = Text(output.visible(node.id), style="bold" if node.id == asked else "")
    if node.state is not None:
        text.append("  ").append_text(output.styled(node.completion_status or node.state))
        if node.state == "RUNNING":
            text.append(f" {node.percent_complete}%")
        if node.unique_name and node.unique_name != node.id:
            text.append(f"  {output.visible(node.unique_name)}")
    if node.mark is not None:
        text.append(f"  ({_MARKS[node.mark]})", style="yellow")
    return text
