# SPDX-License-Identifier: GPL-3.0-or-later
"""How a PC leaves a medium: off, to the menu again, or to its own disk."""

from __future__ import annotations

import json

from slipway.cli.medium import End, MediumTalk
from slipway.engine import devices
from slipway.engine.boot_entries import boot_next
from slipway.engine.drives import Drives
from slipway.engine.errors import SlipwayError
from slipway.engine.run import run
from slipway.net.facts import firmware

_OFF = ["systemctl", "--no-block", "poweroff"]
_RESTART = ["systemctl", "--no-block", "reboot"]
_READ = 60.0


def leave(end: End, talk: MediumTalk, drives: Drives) -> None:
    """Let go of the media and end this system."""
    media = [each for those in drives.media.values() for each in those]
    stick = any(not each.optical for each in media)
    if end == "restart":
        drives.close()
        run(_RESTART)
        return
    # The firmware's own way to a disk, which no loader of the medium stands before.
    if end == "own-disk" and firmware() == "uefi" and boot_next(_own_partitions()):
        drives.close()
        run(_RESTART)
        return
    for drive in drives.optical():
        drives.eject(drive)
    drives.close()
    if end == "own-disk":
        if not stick:
            run(_RESTART)
            return
        talk.show(
            "This PC would start from the medium again: take it out.",
            "This PC switches off in a minute, or when you press Enter.",
        )
        talk.terminal.wait(_READ)
    run(_OFF)


def _own_partitions() -> set[str]:
    """GUIDs of partitions on the PC's own disks."""
    found: set[str] = set()
    for disk in devices.fixed_disks():
        try:
            listing = run(["lsblk", "--json", "--output", "PARTUUID", str(disk.path)]).stdout
            [facts] = json.loads(listing)["blockdevices"]
        except (SlipwayError, ValueError, KeyError):
            continue
        found |= {str(each["partuuid"]).lower() for each in facts.get("children") or []}
    return found
