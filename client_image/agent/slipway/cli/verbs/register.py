# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the server to register this PC, and wait."""

from __future__ import annotations

import argparse

from slipway.cli import groups, place
from slipway.cli.arguments import Arguments
from slipway.cli.register import register as ask_to_register
from slipway.cli.screens import Screens
from slipway.cli.views import View
from slipway.engine.errors import CheckinRefused, SlipwayError
from slipway.net.boot import boot_nonce
from slipway.net.registration import Registration

HELP = "ask the server to register this PC, and wait"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.screens(parser)
    parser.add_argument(
        "--leave", action="store_true", help="in the end reboot, or switch off when refused"
    )
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Ask to be registered, and wait for the administrator's decision."""
    screens = Screens(arguments.screen)
    try:
        site = place.own_site()
        registration = Registration(site, boot_nonce(place.NONCE_FILE))
        approved = ask_to_register(registration, screens, site.server, arguments.leave)
    except SlipwayError as error:
        screens.say(f"This PC can't be registered: {error.message}. What helps: {error.remedy}.")
        raise
    return 0 if approved else CheckinRefused.exit_code
