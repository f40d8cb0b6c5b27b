# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the environment keeps what concerns this PC, and how a verb speaks beside its view."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from slipway.net import clock
from slipway.net.site import Site

SESSION_FILE = Path("/run/slipway/session.json")
NONCE_FILE = Path("/run/slipway/nonce")
STAY_FILE = Path("/run/slipway/stay")
SITE_FILE = Path("/etc/slipway/site.json")
MEDIUM_FILE = Path("/etc/slipway/medium.json")


def own_site() -> Site:
    """The environment's own server, whose time is this PC's from the first answer on."""
    return replace(Site.load(SITE_FILE), set_clock=lambda now: clock.follow(now, say))


def say(message: str) -> None:
    """A line for whoever reads the unit's journal."""
    print(f"slipway: {message}", file=sys.stderr, flush=True)
