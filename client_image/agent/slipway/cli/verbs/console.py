# SPDX-License-Identifier: GPL-3.0-or-later
"""Show on this screen what the machine is doing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.console import Console, follow
from slipway.cli.place import SESSION_FILE
from slipway.cli.postponing import Postponing
from slipway.cli.terminals import Terminals
from slipway.cli.views import View

HELP = "show on this screen what the machine is doing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    parser.add_argument("--jobs", type=Path, default=Path("/run/slipway/jobs"), metavar="DIR")
    parser.add_argument("--once", action="store_true", help="draw once and end")
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Follow the jobs on the screen that is standard output."""
    console = Console(arguments.jobs, SESSION_FILE)
    if sys.stdin.isatty() and not arguments.once:
        later = Postponing(console, Terminals(), SESSION_FILE)
        follow(console, sys.stdout, sleep=later.pause)
    else:
        follow(console, sys.stdout, arguments.once)
    return 0
