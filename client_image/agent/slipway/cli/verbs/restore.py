# SPDX-License-Identifier: GPL-3.0-or-later
"""Make disks equal to an image."""

from __future__ import annotations

import argparse

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.matching import compare_or_restore
from slipway.cli.views import View

HELP = "make disks equal to an image"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.comparison(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what differs, write nothing")
    parser.add_argument(
        "--allow-degraded",
        action="store_true",
        help="restore a version that lacks sectors: they become zeros",
    )
    parser.add_argument(
        "--grow",
        action="append",
        default=[],
        metavar="last|PARTITION",
        help="on a larger disk, let it and its file system take the space behind it",
    )
    parser.add_argument(
        "--read-first",
        action="store_true",
        help="read every chunk of a folder first, also what was found sound lately",
    )
    parser.add_argument(
        "--move",
        action="append",
        default=[],
        metavar="last|PARTITION",
        help="let it grow, and move what lies behind it to the end of the disk",
    )
    parser.add_argument(
        "--read-back",
        action="store_true",
        help="read everything from the disk again before it may boot",
    )


def run(arguments: Arguments, view: View) -> int:
    """Write disks."""
    compare_or_restore(arguments, view, "dry-run" if arguments.dry_run else "restore")
    return 0
