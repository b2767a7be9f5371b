"""The command line: thin commands over the rooms below.

``main`` is the one place where an error becomes a sentence on standard error and an exit code: 0 done, 1 failed, 2 wrong usage,
3 stopped or different, 4 unhealthy (``status``), 130 interrupted.
"""

from __future__ import annotations

import difflib
import errno
import gc
import os
import sys
from collections.abc import Sequence
from typing import Any

from tracker.errors import TrackerError

INTERRUPTED = 130
"""What a shell gives for a command that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. ``arguments`` without the program's name; None: those of the process."""
    if arguments is not None:
        return _run(list(arguments))
    from tracker.analytics.lean import without_numpy

    without_numpy()
    gc.set_threshold(10_000)  # of 700, as it comes, the collector takes a sixth of the time until a command begins
    try:
        return _run(sys.argv[1:])
    finally:
        gc.freeze()  # or it would go through all modules again at the end


def _run(arguments: list[str]) -> int:
    import typer

    from tracker.cli.app import app_of

    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")  # documents are UTF-8 whatever the locale says
    try:
        result = app_of(arguments[0] if arguments else "")(args=arguments, prog_name="tracker", standalone_mode=False)
        print(end="", flush=True)  # unlike sys.stdout.flush() also where standard output is closed
    except TrackerError as error:
        return _failed(str(error), error.exit_code)
    except typer.TyperException as error:
        return _failed(_usage(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except UnicodeEncodeError:
        # A byte of an argument that is no UTF-8 stands in it as half a surrogate pair, which no log and no store can hold.
        odd = [each for each in arguments if _is_odd(each)]
        if not odd:
            raise
        return _failed(f"{odd[0]!r} is not text in UTF-8", 2)
    except OSError as error:
        if error.filename is not None or isinstance(error, TimeoutError | ConnectionRefusedError):
            raise  # files and brokers have their own errors: one that gets here is a fault of ours
        _drop_standard_output()
        return 1 if error.errno == errno.EPIPE else _failed(f"standard output can't be written: {error.strerror}", 1)
    return result if isinstance(result, int) else 0


def _is_odd(text: str) -> bool:
    return text.encode(errors="replace").decode() != text


def _drop_standard_output() -> None:
    """What standard output still holds goes nowhere: Python would try it again at exit, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _failed(sentence: str, exit_code: int) -> int:
    from tracker.telemetry import masked

    print(f"tracker: {masked(sentence)}", file=sys.stderr)
    return exit_code


def _usage(error: Any) -> str:
    """Wrong usage as one sentence: what is wrong, the near name, and where the help is."""
    name, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if name is not None and context is not None:
        known = [
            option for parameter in context.command.params for option in (*parameter.opts, *parameter.secondary_opts) if option[:1] == "-"
        ]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            return f"there is no option {name}: {f'did you mean {near[0]}?' if near else _see(context)}"
    sentence = str(error.format_message()).strip()
    if context is None or sentence.endswith("?"):
        return sentence
    return f"{sentence.removesuffix('.')}; {_see(context)}"


def _see(context: Any) -> str:
    return f"see {context.command_path} --help"
