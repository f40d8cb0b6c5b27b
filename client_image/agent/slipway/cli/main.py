# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry point: arguments, signals, exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from slipway import __version__
from slipway.cli.arguments import Arguments
from slipway.cli.verbs import VERBS, verb
from slipway.cli.views import JsonView, TerminalView, View, as_slipway_error
from slipway.engine.errors import Interrupted
from slipway.engine.memory import keep_buffers


def parse_arguments(argv: Sequence[str] | None = None) -> Arguments:
    """Read the command line; argparse itself ends the program on a wrong one, with code 2."""
    parser = argparse.ArgumentParser(
        prog="slipway",
        description="Saves a machine's disks as images and writes them back.",
    )
    parser.add_argument("--version", action="version", version=f"slipway {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    words = sys.argv[1:] if argv is None else argv
    for name in words[:1] if words and words[0] in VERBS else VERBS:
        found = verb(name)
        found.arguments(verbs.add_parser(name, help=found.help))
    return parser.parse_args(argv, namespace=Arguments())


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
        return verb(arguments.verb).run(arguments, view)
    except BrokenPipeError:
        raise
    except Exception as error:
        logging.getLogger(__name__).debug("here", exc_info=True)
        failure = as_slipway_error(error)
    view.error(failure)
    return failure.exit_code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(f"stopped by {signal.Signals(number).name}")
