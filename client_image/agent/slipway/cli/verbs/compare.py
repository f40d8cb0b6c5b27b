# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what differs between disks and an image."""

from __future__ import annotations

import argparse

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.matching import compare_or_restore
from slipway.cli.views import View

DIFFERS = 1

HELP = "say what differs between disks and an image"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.comparison(parser)


def run(arguments: Arguments, view: View) -> int:
    """Compare disks; the exit code says whether they differ."""
    return DIFFERS if compare_or_restore(arguments, view, "compare").changed else 0
