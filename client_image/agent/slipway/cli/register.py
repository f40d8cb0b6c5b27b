# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb register: report this PC, show how its registration stands, and end when it is decided.

Nobody has to type anything: the server suggests a name, and the PC waits with it. Whoever stands
in front of it may type another one meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from slipway.cli.console import own_address
from slipway.engine.errors import StoreUnreachable
from slipway.engine.run import run
from slipway.format.names import is_name
from slipway.format.units import size
from slipway.net.registration import APPROVED, REFUSED, WAITING, Registration, Standing

POLL = 5.0
REBOOT_AFTER, POWER_OFF_AFTER = 15, 60


class Dialogue(Protocol):
    """A person's screens and keyboards."""

    def say(self, *lines: str) -> None:
        """Show lines."""

    def typed(self, seconds: float) -> str | None:
        """Wait for a line."""


def register(
    registration: Registration,
    screens: Dialogue,
    server: str,
    leave: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Until the administrator has decided: true means approved.

    With `leave`, the PC then reboots, or switches off.
    """
    screens.say("", f"Slipway   registration of this PC   {own_address(server)}", "")
    screens.say(_about(registration))
    decided = _wait(registration, screens)
    if decided.state == APPROVED:
        screens.say(
            f"Approved: this PC is {decided.machine} now."
            f" It reboots in {REBOOT_AFTER} seconds, into its own menu."
        )
        _leave("reboot", REBOOT_AFTER, leave, sleep)
        return True
    screens.say(
        f"Not registered. {decided.reason or 'The administrator has refused this PC.'}",
        f"This PC switches off in {POWER_OFF_AFTER} seconds. To use it, switch it on and choose"
        " its local disk in the menu.",
    )
    _leave("poweroff", POWER_OFF_AFTER, leave, sleep)
    return False


def _wait(registration: Registration, screens: Dialogue) -> Standing:
    name, shown, known = "", "", False
    while True:
        try:
            standing = registration.standing() if known else None
            if standing is None:
                standing = registration.report(name)
            known = standing.state == WAITING
            if standing.state in (APPROVED, REFUSED):
                return standing
            news = _state(standing)
        except StoreUnreachable as error:
            news = f"Trying again: {error.message}"
        if news != shown:
            screens.say(news)
            shown = news
        wanted = screens.typed(POLL)
        if not wanted:
            continue
        if is_name(wanted):
            name, known = wanted, False
        else:
            screens.say(
                f"{wanted} can't be the name of a machine: type lower-case letters, digits and '-'."
            )


def _about(registration: Registration) -> str:
    facts = registration.facts
    words = [f"{facts['vendor']} {facts['model']}".strip() or "PC"]
    if facts["serial"]:
        words.append(f"serial number {facts['serial']}")
    words += [f"disk of {size(disk['size'])}" for disk in facts["disks"]]
    words += [f"card {card['mac']}" for card in facts["cards"]]
    return ", ".join(words)


def _state(standing: Standing) -> str:
    others = standing.waiting - 1
    behind = f", as {others} other PC{'s do' if others > 1 else ' does'}" if others > 0 else ""
    return (
        f"It waits to be approved as {standing.name}{behind}."
        " For another name, type it and press Enter."
    )


def _leave(how: str, seconds: int, leave: bool, sleep: Callable[[float], None]) -> None:
    if leave:
        sleep(seconds)
        run(["systemctl", "--no-block", how])
