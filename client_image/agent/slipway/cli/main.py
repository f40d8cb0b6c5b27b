# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry point: arguments, signals, exit codes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FrameType
from typing import cast

from slipway.cli.arguments import Arguments, parse_arguments
from slipway.cli.views import JsonView, TerminalView, View, as_slipway_error
from slipway.engine.errors import Interrupted
from slipway.engine.memory import keep_buffers

Verb = Callable[[Arguments, View], int]
# By the module that knows it: what the others need is not loaded.
_VERBS = {
    "probe": ("saving", "probe"),
    "backup": ("saving", "backup"),
    "restore": ("restoring", "restore"),
    "compare": ("restoring", "compare"),
    "verify": ("stored", "verify"),
    "list": ("stored", "list_images"),
    "checkin": ("attending", "checkin"),
    "choice": ("attending", "choice"),
    "register": ("attending", "register"),
    "console": ("attending", "console"),
}


def verb_of(name: str) -> Verb:
    """What does the work of a verb."""
    module, function = _VERBS[name]
    return cast(Verb, getattr(import_module(f"slipway.cli.{module}"), function))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    arguments = parse_arguments(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.debug else logging.WARNING,
        format="%(name)s: %(message)s",
        stream=sys.stderr,
    )
    view: View = (
        JsonView(sys.stdout)
        if arguments.json
        else TerminalView(sys.stdout, sys.stderr, time.monotonic)
    )
    keep_buffers()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        return _run(arguments, view)
    except BrokenPipeError:
        # Nobody reads any more; keep the interpreter from complaining when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Interrupted.exit_code


def _run(arguments: Arguments, view: View) -> int:
    try:
        return verb_of(arguments.verb)(arguments, view)
    except BrokenPipeError:
        raise
    except Exception as error:
        logging.getLogger(__name__).debug("here", exc_info=True)
        failure = as_slipway_error(error)
    view.error(failure)
    return failure.exit_code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(f"stopped by {signal.Signals(number).name}")
