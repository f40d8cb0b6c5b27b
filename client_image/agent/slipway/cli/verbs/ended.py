# SPDX-License-Identifier: GPL-3.0-or-later
"""Say how a job ended whose agent could not."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.ended import last_word
from slipway.cli.views import JsonView, View
from slipway.net.session import Session, report_end

HELP = "tell the server how a job's unit ended"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    parser.add_argument("unit", metavar="UNIT")
    parser.add_argument("--session", type=Path, required=True, metavar="FILE")
    parser.add_argument("--log", type=Path, required=True, metavar="FILE", help="its JSON lines")
    groups.job(parser)
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Tell the server, and the screens."""
    if os.environ.get("SERVICE_RESULT") == "success" or arguments.session is None:
        return 0
    record = last_word(arguments.log, arguments.unit, os.environ)
    if record["type"] == "killed" and isinstance(view, JsonView):
        view.other(record)
    report_end(Session.load(arguments.session), arguments.job, record)
    return 0
