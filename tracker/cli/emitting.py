"""``tracker emit``: one event, checked by the models, written to the log."""

from __future__ import annotations

import asyncio
import getpass
import json
from typing import TYPE_CHECKING, Annotated, Any, get_args
from uuid import uuid4

import typer

from tracker.cli import completing, options, output
from tracker.errors import TrackerError, UsageError
from tracker.settings import Settings, did_you_mean, duration_s

if TYPE_CHECKING:
    from tracker.model.events import CloudEvent
    from tracker.model.limits import Limits
    from tracker.model.records import Position

DEFAULT_SOURCE_NAME = "/tracker/emit"
MAX_SHOWN = 80
"""Characters of a wrong value that an error repeats."""

# Option -> the kinds that take it.
_DESCRIBED = ("created", "updated")
_TAKEN_BY = {
    "--progress": ("progressed",),
    "--percent": ("progressed",),
    "--status": ("completed", "corrected"),
    "--completed": ("corrected",),
    "--message": ("messaged",),
    "--message-type": ("messaged",),
    "--message-key": ("messaged",),
    "--locale": ("messaged",),
    "--return-name": ("returned",),
    "--return-attribute": ("returned",),
    "--launcher": (*_DESCRIBED, "launched"),
    "--unique-name": _DESCRIBED,
    "--description": _DESCRIBED,
    "--type": _DESCRIBED,
    "--parent-id": _DESCRIBED,
    "--parent-name": _DESCRIBED,
    "--attribute": (*_DESCRIBED, "launched", "progressed", "completed"),
}

_NEEDED = {
    "completed": "--status, such as --status SUCCESS",
    "corrected": "--status, such as --status ERROR",
    "messaged": "--message TEXT",
    "returned": "--return-name TEXT and --return-attribute KEY",
}
"""What a kind can't do without, where its data is not given as a whole."""

_DATA = "What happened"
_EVENT = "The event"


def _option(name: str, help_: str, *, panel: str = _DATA, metavar: str = "TEXT") -> Any:
    return typer.Option(name, help=help_, rich_help_panel=panel, metavar=metavar, show_default=False)


def emit(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="created, updated, launched, progressed, messaged, returned, completed, corrected or deleted.",
            autocompletion=completing.kinds,
        ),
    ],
    task: options.Task,
    source: options.Source = None,
    store: options.Store = None,
    kafka_config: options.KafkaConfig = None,
    data: Annotated[
        str | None, _option("--data", "The event's data as a JSON object; the options below add to it.", metavar="JSON")
    ] = None,
    progress: Annotated[str | None, _option("--progress", "How far the task is, in words (progressed).")] = None,
    percent: Annotated[str | None, _option("--percent", "How far the task is, 0 to 100 (progressed).", metavar="N")] = None,
    status: Annotated[
        str | None, _option("--status", "SUCCESS, WARNING, ERROR, TERMINATED or TEMPERROR (completed, corrected).", metavar="STATUS")
    ] = None,
    completed: Annotated[str | None, _option("--completed", "When it ended in truth (corrected).", metavar="TIME")] = None,
    message: Annotated[str | None, _option("--message", "The text of a message (messaged).")] = None,
    message_type: Annotated[str | None, _option("--message-type", "INFO, WARN or ERROR; default INFO (messaged).", metavar="TYPE")] = None,
    message_key: Annotated[str | None, _option("--message-key", "The text's key in a catalogue (messaged).", metavar="KEY")] = None,
    locale: Annotated[str | None, _option("--locale", "The text's language; default en (messaged).")] = None,
    return_name: Annotated[str | None, _option("--return-name", "Name of a returned value (returned).")] = None,
    return_attribute: Annotated[str | None, _option("--return-attribute", "The attribute that holds it (returned).", metavar="KEY")] = None,
    launcher: Annotated[str | None, _option("--launcher", "Who launched it (created, updated, launched).")] = None,
    unique_name: Annotated[str | None, _option("--unique-name", "The task's name (created, updated).")] = None,
    description: Annotated[str | None, _option("--description", "What the task does (created, updated).")] = None,
    type_: Annotated[str | None, _option("--type", "QUARTZ, QPOC or QUEUED_TASK (created, updated).", metavar="TYPE")] = None,
    parent_id: Annotated[str | None, _option("--parent-id", "The task that started it (created, updated).", metavar="ID")] = None,
    parent_name: Annotated[str | None, _option("--parent-name", "That task's name (created, updated).")] = None,
    attribute: Annotated[
        list[str] | None,
        _option("--attribute", "An attribute; the value as JSON, else as text. Can be given many times.", metavar="KEY=VALUE"),
    ] = None,
    attempt: Annotated[
        int | None, _option("--attempt", "Which attempt; default: the task's current one.", panel=_EVENT, metavar="N")
    ] = None,
    sequence: Annotated[int | None, _option("--sequence", "The task's own event number.", panel=_EVENT, metavar="N")] = None,
    time: Annotated[str | None, _option("--time", "When it happened, RFC 3339; default: now.", panel=_EVENT, metavar="TIME")] = None,
    id_: Annotated[str | None, _option("--id", "The event's id; default: a new UUID.", panel=_EVENT, metavar="ID")] = None,
    source_name: Annotated[
        str | None, _option("--source-name", f"The event's source; default {DEFAULT_SOURCE_NAME}.", panel=_EVENT, metavar="URI")
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option(
            "--wait", metavar="TIME", help="Return once the store has folded the event, such as within 5s; else fail.", show_default=False
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write one event to the log.

    tracker emit created t1 --unique-name "Nightly sweep"
    """
    from tracker.emit.encoding import encoded, now_text
    from tracker.model.kinds import KINDS
    from tracker.query.tokens import to_vector

    if kind not in KINDS:
        raise UsageError(f"there is no kind of event {kind!r}: {did_you_mean(kind, KINDS)}")
    settings = Settings.load().with_flags(source=source, store=store, kafka_config=kafka_config)
    given: dict[str, Any] = {
        "--progress": progress,
        "--percent": percent,
        "--status": status,
        "--completed": completed,
        "--message": message,
        "--message-type": message_type,
        "--message-key": message_key,
        "--locale": locale,
        "--return-name": return_name,
        "--return-attribute": return_attribute,
        "--launcher": launcher,
        "--unique-name": unique_name,
        "--description": description,
        "--type": type_,
        "--parent-id": parent_id,
        "--parent-name": parent_name,
        "--attribute": attribute or None,
    }
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": id_ if id_ is not None else str(uuid4()),
        "source": source_name if source_name is not None else _default_source(),
        "type": f"io.tracker.task.{kind}",
        "subject": task,
        "time": time if time is not None else now_text(),
    }
    content = options.json_object(data, "--data") if data is not None else {}
    content |= _data(kind, {name: value for name, value in given.items() if value is not None}, content)
    if content:
        document["data"] = content
    elif kind in _NEEDED:
        raise UsageError(f"a {kind} event needs {_NEEDED[kind]}, or --data JSON")
    if sequence is not None:
        document["sequence"] = sequence
    if attempt is not None:
        document["attempt"] = attempt
    checked(document)
    limits = options.limits_of(settings)
    encoded(document, settings.source, limits)
    wait_s = None if wait is None else duration_s(wait, "--wait")
    position = asyncio.run(
        _emit(document, settings, task, limits, ask_attempt=attempt is None, ask_sequence=sequence is None and kind != "deleted")
    )
    if as_json:
        place = {"topic": position.topic, "partition": position.partition, "nextOffset": position.next_offset}
        output.write_json({**place, "vector": to_vector([position]), "event": document})
    else:
        output.write_json(document)
        output.note(f"written to {position.topic}, partition {position.partition}, up to offset {position.next_offset}")
    if wait_s is not None:
        asyncio.run(_wait(settings.store, position, wait_s))


async def _wait(url: str, position: Position, timeout_s: float) -> None:
    """Until the store has read that far. Raises TrackerError: it has not in time, or never will."""
    from tracker.query import Reached, open_query

    async with open_query(url) as query:
        ending = await query.wait_for(position, timeout_s)
    if not isinstance(ending, Reached):
        raise TrackerError(f"the event is written and {url} has not folded it: {ending.reason}")


def checked(document: dict[str, Any]) -> CloudEvent:
    """The event, checked by the models. Raises UsageError naming the first field that is wrong."""
    from pydantic import ValidationError

    from tracker.model.events import parse

    try:
        event = parse(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = [str(part) for part in first["loc"] if part != document["type"]]
        text = first["msg"].removeprefix("Value error, ")
        got = first.get("input")
        shown = output.to_json(got) if isinstance(got, str | int | float | list | None) else repr(got)
        shown = "" if isinstance(got, dict) else f" (got {shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 3] + '...'})"
        raise UsageError(f"the event is not valid: {'.'.join(where) or 'it'}: {text[:1].lower()}{text[1:]}{shown}") from None
    except ValueError as error:
        raise UsageError(f"the event is not valid: {error}") from None
    except RecursionError:
        raise UsageError("the event is not valid: it is nested too deep to be read") from None
    assert event is not None, "the type is one of ours"
    return event


def _default_source() -> str:
    try:
        return f"{DEFAULT_SOURCE_NAME}/{getpass.getuser()}"
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return DEFAULT_SOURCE_NAME


def _data(kind: str, given: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """The options as data of this kind."""
    for name in given:
        if kind not in _TAKEN_BY[name]:
            takers = " and ".join(_TAKEN_BY[name])
            raise UsageError(f"a {kind} event takes no {name}; {takers} events do")
    data: dict[str, Any] = {}
    for option, key in (
        ("--progress", "progress"),
        ("--completed", "completed"),
        ("--return-name", "name"),
        ("--return-attribute", "attributeName"),
        ("--launcher", "launcher"),
        ("--unique-name", "uniqueName"),
        ("--description", "description"),
        ("--parent-id", "parentId"),
        ("--parent-name", "parentName"),
    ):
        if option in given:
            data[key] = given[option]
    if "--percent" in given:
        data["percentComplete"] = _percent(given["--percent"])
    from tracker.model.kinds import CompletionStatus, MessageType, TaskType

    for option, key, words in (
        ("--status", "completionStatus", CompletionStatus),
        ("--type", "type", TaskType),
        ("--message-type", "type", MessageType),
    ):
        if option in given:
            data[key] = options.chosen(given[option].upper(), get_args(words), option)
    if kind == "messaged" and given.keys() & {"--message", "--message-key", "--locale"}:
        if "--message" not in given:
            raise UsageError("a messaged event needs --message TEXT beside its other options")
        data.setdefault("type", content.get("type", "INFO"))
        data["key"] = given.get("--message-key", "tracker.emit")
        data["localizedText"] = {"locale": given.get("--locale", "en"), "message": given["--message"]}
    if "--attribute" in given:
        before = content.get("attributes", {})
        if not isinstance(before, dict):
            raise UsageError(f"the attributes in --data must be an object where --attribute adds to them, got {output.to_json(before)}")
        data["attributes"] = before | dict(map(_attribute, given["--attribute"]))
    return data


def _percent(text: str) -> int:
    try:
        return int(text.removesuffix("%"))
    except ValueError:
        raise UsageError(f"--percent can't be {text!r}: expected a whole number from 0 to 100") from None


def _attribute(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--attribute can't be {text!r}: expected KEY=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
    except RecursionError:
        raise UsageError(f"--attribute {name} is nested too deep to be read") from None


async def _emit(
    document: dict[str, Any], settings: Settings, task: str, limits: Limits | None, *, ask_attempt: bool, ask_sequence: bool
) -> Position:
    from tracker.emit.base import Outgoing
    from tracker.emit.encoding import encoded
    from tracker.emit.open import open_emitter

    emitter = open_emitter(settings.source, kafka_config=settings.kafka_config)
    if ask_attempt or ask_sequence:
        current, last_sequence, purged = await known_of(task, settings.store)
        if ask_attempt and purged and document["type"] != "io.tracker.task.deleted":
            output.note(f"warning: {purged}; an event changes nothing of it unless --attempt names a later one")
        if ask_attempt and current > 1:
            document["attempt"] = current
        if ask_sequence and last_sequence:
            output.note(
                f"warning: the events of {task} are numbered (the last one known is {last_sequence}), and one without --sequence "
                f"ranks before them all in its attempt; give --sequence {last_sequence + 1}"
            )
    async with emitter:
        [position] = await emitter.emit([Outgoing(task, encoded(document, settings.source, limits))])
    return position


async def known_of(task: str, url: str) -> tuple[int, int, str | None]:
    """The task's current attempt, the greatest sequence known of its events (1 and 0 where nothing is known), and that it was purged, if so."""
    from tracker.errors import NotFound
    from tracker.query.api import open_query
    from tracker.query.questions import purged

    if url.startswith("memory:"):
        return 1, 0, None
    try:
        async with open_query(url) as query:
            return *(await query.latest(task) or (1, 0)), await query.ask(purged(task), small=True)
    except NotFound:  # no store yet: an event may come before any worker
        return 1, 0, None
