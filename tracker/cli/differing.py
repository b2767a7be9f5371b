"""``tracker diff``: which tasks differ between two stores, in which fields, and why on both sides."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.cli import options, output
from tracker.errors import UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from tracker.fold.view import Reason
    from tracker.model.limits import Limits
    from tracker.rebuild.differences import Pair
    from tracker.stores.contents import Contents

DIFFERENT = 3
Side = Annotated[str, typer.Argument(help="A store's URL; live: that of --store; shadow: what a rebuild is building beside it; or a log.")]


def diff(
    a: Side,
    b: Side,
    store: options.Store = None,
    kafka_config: options.KafkaConfig = None,
    why: Annotated[bool, typer.Option("--why", help="For each field the event that set it, on both sides.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="Show at most N tasks; all are counted.")] = 100,
    as_json: options.AsJson = False,
) -> None:
    """Compare two stores task by task. Exit code 3 if they differ."""
    settings = Settings.load().with_flags(store=store, kafka_config=kafka_config)
    asyncio.run(_diff(a, b, settings, why=why, limit=limit, as_json=as_json))


async def _diff(a: str, b: str, settings: Settings, *, why: bool, limit: int, as_json: bool) -> None:
    from tracker.rebuild.differences import Comparison, differing, positions
    from tracker.stores.postgres_url import without_password

    comparison = Comparison()
    async with AsyncExitStack() as stack:
        sides = await _sides(stack, a, b, settings)
        a, b = without_password(a), without_password(b)  # as they are shown from here on
        limits = [side.about().limits for side in sides]
        shown: list[Any] = []
        for pair in differing(sides[0], sides[1], comparison):
            if comparison.different > limit:
                continue
            if as_json:
                shown.append(pair_json(pair, *limits, why=why))
            else:
                show(pair, *limits, why=why, names=(a, b))
        moved = positions(sides[0].partitions(), sides[1].partitions())
    if as_json:
        output.write_json(
            {
                "tasks": comparison.tasks,
                "different": comparison.different,
                "leftOut": comparison.left_out,
                "hashes": [comparison.hash_a, comparison.hash_b],
                "positions": [{"topic": each.topic, "partition": each.partition, "a": each.a, "b": each.b} for each in moved],
                "differences": shown,
            }
        )
    else:
        for each in moved:
            output.write_line(
                f"{output.visible(each.topic)}, partition {each.partition}: {_offset(each.a)} in {a}, {_offset(each.b)} in {b}"
            )
        more = f" (the first {limit} are shown)" if comparison.different > limit else ""
        left_out = f", {comparison.left_out:,} purged left out" if comparison.left_out else ""
        output.write_line(f"{comparison.tasks:,} tasks compared{left_out}, {comparison.different:,} different{more}")
    if comparison.different or moved:
        raise typer.Exit(DIFFERENT)


async def _sides(stack: AsyncExitStack, a: str, b: str, settings: Settings) -> tuple[Contents, Contents]:
    """Both, opened. A log is folded up to where the other side, a store, has read it."""
    if not _is_log(a) and not _is_log(b):
        return stack.enter_context(_side(a, settings)), stack.enter_context(_side(b, settings))
    if _is_log(a) and _is_log(b):
        raise UsageError(f"{a} and {b} are two logs: expected a store on one side")
    from tracker.rebuild.logs import Logs
    from tracker.rebuild.verifying import folded_beside

    log, name = (a, b) if _is_log(a) else (b, a)
    logs = Logs(source=log, kafka_config=settings.kafka_config)
    of_store, of_log = await folded_beside(stack, lambda: _side(name, settings), logs)
    return (of_log, of_store) if _is_log(a) else (of_store, of_log)


def _is_log(name: str) -> bool:
    return name not in ("live", "shadow") and not name.startswith(("sqlite:", "postgresql:", "postgres:", "memory:"))


def _side(name: str, settings: Settings) -> Contents:
    from tracker.stores.open import open_contents, open_shadow

    if name == "live":
        return open_contents(settings.store)
    if name == "shadow":
        return open_shadow(settings.store).contents()
    return open_contents(name)


def _offset(offset: int | None) -> str:
    return "not read" if offset is None else f"offset {offset:,}"


def pair_json(pair: Pair, limits_a: Limits, limits_b: Limits, *, why: bool) -> dict[str, Any]:
    """One task: ``{"id", "fields": [{"field", "a", "b", "whyA", "whyB"}]}``."""
    from tracker.rebuild.differences import fields

    found = []
    for each in fields(pair, limits_a, limits_b):
        shown = {"field": each.field, "a": each.a, "b": each.b}
        if why:
            shown |= {"whyA": _why_json(each.why_a), "whyB": _why_json(each.why_b)}
        found.append(shown)
    return {"id": pair.id, "fields": found}


def _why_json(reason: Reason | None) -> dict[str, Any] | None:
    from tracker.cli.reading import reason_json

    return None if reason is None else reason_json(reason)


def show(pair: Pair, limits_a: Limits, limits_b: Limits, *, why: bool, names: tuple[str, str]) -> None:
    """One task for people: a line a field, and with ``why`` one a side more."""
    from tracker.rebuild.differences import fields

    output.write_line(output.visible(pair.id))
    if pair.a is None or pair.b is None:
        output.write_line(f"  only in {names[0] if pair.a is not None else names[1]}")
        return
    for each in fields(pair, limits_a, limits_b):
        output.write_line(f"  {output.visible(each.field)}: {_short(each.a)} in {names[0]}, {_short(each.b)} in {names[1]}")
        if why:
            for name, reason in ((names[0], each.why_a), (names[1], each.why_b)):
                output.write_line(f"    {name}: {_because(reason)}")


def _short(value: Any) -> str:
    text = output.plain(value)
    return text if len(text) <= 120 else text[:119] + "…"


def _because(reason: Reason | None) -> str:
    if reason is None:
        return "no event has set it"
    event = reason.event
    by = "" if event is None else f"{event.source} {event.id} of {event.time[:23]}Z, attempt {event.attempt}"
    return output.visible("; ".join(part for part in (by, reason.rule) if part))
