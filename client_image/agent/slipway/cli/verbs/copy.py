# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy a version to a folder's store."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.views import View
from slipway.cli.work import at_work
from slipway.engine.copy import copy, missing_there
from slipway.engine.copy_target import CopyTarget
from slipway.engine.errors import UsageError
from slipway.format import parse_image_ref

HELP = "copy a version to a store in another folder"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.image(parser)
    parser.add_argument(
        "--from",
        dest="store",
        action="append",
        required=True,
        metavar="DIR|URL",
        help="the store that has it",
    )
    groups.url(parser)
    parser.add_argument(
        "--to", required=True, metavar="DIR", help="the store that gets it; may be new"
    )
    parser.add_argument(
        "--read-first",
        action="store_true",
        help="read what is there already, and send again what is bad",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what is missing there")
    groups.threads(parser)
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Copy what is missing there, then publish."""
    if "://" in arguments.to:
        raise UsageError(
            f"--to {arguments.to} is no folder",
            "run it where the folder is, with --from https://SERVER",
        )
    root, ref = Path(arguments.to), parse_image_ref(arguments.image)
    with at_work(arguments, view) as work:
        if arguments.dry_run:
            work.done(missing_there(work.store, root, ref, work.meter))
            return 0
        with closing(CopyTarget(root)) as target:
            threads, anew = arguments.threads, arguments.read_first
            work.done(copy(work.store, target, ref, work.meter, threads, anew))
    return 0
