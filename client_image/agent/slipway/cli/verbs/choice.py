# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask for what this machine's user chose in the menu."""

from __future__ import annotations

import argparse
from pathlib import Path

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.choice import Conversation, heart
from slipway.cli.console import Console
from slipway.cli.place import NONCE_FILE, SESSION_FILE, own_site, say
from slipway.cli.terminals import Terminals
from slipway.cli.views import View
from slipway.engine.run import run as run_command
from slipway.net.boot import boot_nonce
from slipway.net.checkin import check_in, stay
from slipway.net.choice import Desk, wish

_NEXT = {
    "restart": ["systemctl", "--no-block", "reboot"],
    "shell": ["systemctl", "--no-block", "start", "slipway-shell.target"],
}

HELP = "ask for what this machine's user chose in the menu"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.screens(parser)
    parser.add_argument("--jobs", type=Path, default=Path("/run/slipway/jobs"), metavar="DIR")
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Ask for the menu's item, go through with it, and send this PC where it belongs."""
    site = own_site()
    nonce = boot_nonce(NONCE_FILE)
    desk = Desk(site, wish(Path("/proc/cmdline").read_text()), nonce)
    console_view = Console(arguments.jobs, SESSION_FILE)

    def join(session_name: str) -> None:
        session = check_in(site, session_name, say, nonce)
        session.save(SESSION_FILE)
        heart(lambda: stay(session, say))

    conversation = Conversation(
        desk,
        Terminals(arguments.screen),
        join,
        lambda: (console_view.title(), console_view.status()),
    )
    run_command(_NEXT[conversation.run()])
    return 0
