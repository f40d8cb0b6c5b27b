# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore this PC from the medium that it was started from, or check the medium."""

from __future__ import annotations

import argparse
from pathlib import Path

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.leaving import leave
from slipway.cli.medium import About, End, MediumTalk, chosen_mode
from slipway.cli.medium_restore import write
from slipway.cli.place import MEDIUM_FILE
from slipway.cli.terminals import Terminals
from slipway.cli.views import View
from slipway.engine.drives import Drives

HELP = "restore this PC from the medium that it was booted from"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.screens(parser)
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Do what was chosen in the medium's menu."""
    drives = Drives()
    talk = MediumTalk(About.load(MEDIUM_FILE), drives, Terminals(arguments.screen))
    mode = chosen_mode(Path("/proc/cmdline").read_text())
    end: End = "own-disk"
    if mode != "own-disk":
        end = talk.run(mode, write)
    else:
        drives.look()
    leave(end, talk, drives)
    return 0
