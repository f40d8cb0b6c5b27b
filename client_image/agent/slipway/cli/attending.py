# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of a PC that attends its server: checkin, choice, register and console."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from slipway.cli.arguments import Arguments
from slipway.cli.choice import Conversation, heart
from slipway.cli.console import Console, follow
from slipway.cli.register import register as ask_to_register
from slipway.cli.screens import Screens
from slipway.cli.terminals import Terminals
from slipway.cli.views import View
from slipway.engine.errors import CheckinRefused, SlipwayError
from slipway.engine.run import run
from slipway.net import clock
from slipway.net.checkin import (
    Site,
    boot_nonce,
    check_in,
    next_session,
    session_id,
    stay,
    ticket_of,
)
from slipway.net.choice import Desk, wish
from slipway.net.registration import Registration

SESSION_FILE = Path("/run/slipway/session.json")
NONCE_FILE = Path("/run/slipway/nonce")
STAY_FILE = Path("/run/slipway/stay")
SITE_FILE = Path("/etc/slipway/site.json")
_NEXT = {
    "restart": ["systemctl", "--no-block", "reboot"],
    "shell": ["systemctl", "--no-block", "start", "slipway-shell.target"],
}


def _site() -> Site:
    """The environment's own server, whose time is this PC's from the first answer on."""
    return replace(Site.load(SITE_FILE), set_clock=lambda now: clock.follow(now, _say))


def checkin(arguments: Arguments, view: View) -> int:
    """Join the session; with --stay keep it alive, and join each one that follows."""
    site = _site()
    command_line = Path("/proc/cmdline").read_text()
    wanted, ticket = session_id(command_line), ticket_of(command_line)
    nonce = boot_nonce(NONCE_FILE)
    while True:
        session = check_in(site, wanted, _say, nonce, timeout=arguments.timeout, ticket=ticket)
        session.save(SESSION_FILE)
        _say(f"checked in at {session.server} as {session.machine}")
        if not arguments.stay:
            return 0
        stay(session, _say)
        # Most machines leave now. One that was told to stay works on without another boot.
        wanted, ticket = next_session(site, STAY_FILE, _say, nonce), ""


def choice(arguments: Arguments, view: View) -> int:
    """Ask for the menu's item, go through with it, and send this PC where it belongs."""
    site = _site()
    nonce = boot_nonce(NONCE_FILE)
    desk = Desk(site, wish(Path("/proc/cmdline").read_text()), nonce)
    console_view = Console(arguments.jobs, SESSION_FILE)

    def join(session_name: str) -> None:
        session = check_in(site, session_name, _say, nonce)
        session.save(SESSION_FILE)
        heart(lambda: stay(session, _say))

    conversation = Conversation(
        desk,
        Terminals(arguments.screen),
        join,
        lambda: (console_view.title(), console_view.status()),
    )
    run(_NEXT[conversation.run()])
    return 0


def register(arguments: Arguments, view: View) -> int:
    """Ask to be registered, and wait for the administrator's decision."""
    screens = Screens(arguments.screen)
    try:
        site = _site()
        registration = Registration(site, boot_nonce(NONCE_FILE))
        approved = ask_to_register(registration, screens, site.server, arguments.leave)
    except SlipwayError as error:
        screens.say(f"This PC can't be registered: {error.message}. What helps: {error.remedy}.")
        raise
    return 0 if approved else CheckinRefused.exit_code


def _say(message: str) -> None:
    print(f"slipway: {message}", file=sys.stderr, flush=True)


def console(arguments: Arguments, view: View) -> int:
    """Follow the jobs on the screen that is standard output."""
    follow(Console(arguments.jobs, SESSION_FILE), sys.stdout, arguments.once)
    return 0
