# SPDX-License-Identifier: GPL-3.0-or-later
"""Join the session that this machine was booted for."""

from __future__ import annotations

import argparse
from pathlib import Path

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.place import NONCE_FILE, SESSION_FILE, STAY_FILE, own_site, say
from slipway.cli.views import View
from slipway.engine.run import run as run_program
from slipway.net.boot import boot_nonce, session_id, ticket_of
from slipway.net.checkin import check_in, is_told_to_stay, next_session, stay

HELP = "join the session that this machine was booted for"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    parser.add_argument("--stay", action="store_true", help="then keep the session alive")
    parser.add_argument("--timeout", type=float, metavar="S", help="give up after S seconds")
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Join the session; with --stay keep it alive, and join each one that follows."""
    site = own_site()
    command_line = Path("/proc/cmdline").read_text()
    wanted, ticket = session_id(command_line), ticket_of(command_line)
    nonce = boot_nonce(NONCE_FILE)
    while True:
        session = check_in(site, wanted, say, nonce, timeout=arguments.timeout, ticket=ticket)
        session.save(SESSION_FILE)
        say(f"checked in at {session.server} as {session.machine}")
        if not arguments.stay:
            return 0
        leave = stay(session, say)
        # Nobody may be there any more to say farewell, and its user wants it in the morning.
        if leave and not is_told_to_stay(STAY_FILE):
            say(f"nobody has said what comes now: {leave}")
            run_program(["systemctl", "--no-block", leave])
            return 0
        # Most machines leave now. One that was told to stay works on without another boot.
        wanted, ticket = next_session(site, STAY_FILE, say, nonce), ""
