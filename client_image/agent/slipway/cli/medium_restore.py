# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing a PC from its medium: target, countdown, restore, farewell."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slipway.cli.medium import End, MediumTalk
from slipway.cli.medium_targets import choose, describe
from slipway.cli.views import result_lines
from slipway.engine import devices
from slipway.engine.boot_entries import restore_entries
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import TargetRefused
from slipway.engine.match import match_disks
from slipway.engine.progress import Meter
from slipway.engine.restore import restore
from slipway.engine.result import Result
from slipway.engine.set_store import SetStore
from slipway.engine.shrink import ReshapedStore
from slipway.engine.target_rule import Uncertain, certain_targets
from slipway.format import Manifest
from slipway.net.facts import firmware, hardware, secure_boot

_PATIENCE = 600.0
_READ_DONE, _READ_SAME = 60.0, 10.0


def write(store: SetStore, manifest: Manifest, talk: MediumTalk) -> End:
    """Find the target, write it, and say what happens next."""
    disks = [each for each in devices.fixed_disks() if each.path not in talk.disks()]
    facts = hardware()
    machine = {"serial": facts["serial"], "uuid": facts["uuid"]}
    talk.this_pc = _this_pc(facts)
    why, targets = "", None
    try:
        targets = certain_targets(manifest, disks, talk.about.rule, machine)
    except Uncertain as error:
        why = str(error)
    if targets is None or not talk.about.unattended or _stopped(talk, targets):
        typed: list[str | None] = []

        def ask(prompt: str) -> str | None:
            typed.append(talk.terminal.ask(prompt, _PATIENCE))
            return typed[-1]

        targets = choose(manifest, _first(targets, disks), why, talk.show, ask)
        if targets is None:
            nobody = typed[-1] is None
            talk.show("Nothing was written.", "This PC switches off." if nobody else "")
            return "off" if nobody else "restart"
    result = _restore(store, manifest, targets, talk)
    if not result.changed:
        return _same(talk, result)
    talk.show(
        *result_lines(result),
        "",
        "Done. Take the medium out now: this PC starts from its own disk then.",
        "It switches off in a minute, or when you press Enter.",
    )
    talk.terminal.wait(_READ_DONE)
    return "off"


def _this_pc(facts: Mapping[str, Any]) -> str:
    """The PC in one line, for whoever is asked by telephone."""
    secure = " with Secure Boot" if secure_boot() else ""
    started = f"UEFI{secure}" if facts["firmware"] == "uefi" else "BIOS"
    maker = " ".join(filter(None, [facts["vendor"], facts["model"]]))
    return f"This PC: {maker or 'unknown'}, serial {facts['serial'] or 'none'}, {started}"


def _stopped(talk: MediumTalk, targets: Mapping[str, BlockDisk]) -> bool:
    """Count down in front of what is certain; a key stops it."""
    end = time.monotonic() + talk.about.countdown
    while (left := end - time.monotonic()) > 0:
        talk.show(
            "This PC is written from the medium. All that is on this disk is lost:",
            *(f"  {describe(disk)}" for disk in targets.values()),
            "",
            f"It begins in {math.ceil(left)} seconds. Any key stops it.",
        )
        if talk.terminal.pressed(min(left, 1.0)):
            return True
    return False


def _first(targets: Mapping[str, BlockDisk] | None, disks: list[BlockDisk]) -> list[BlockDisk]:
    """The disks to choose from, the certain ones first."""
    sure = list((targets or {}).values())
    return [*sure, *(each for each in disks if each not in sure)]


def _restore(
    store: SetStore, manifest: Manifest, targets: Mapping[str, BlockDisk], talk: MediumTalk
) -> Result:
    meter = Meter(talk.progress)
    began = time.monotonic()
    source = ReshapedStore(store, manifest, meter)
    # To make a file system smaller, all discs would be wanted in no order.
    shrinker = source.shrinker if store.discs == 1 else None
    if shrinker is None:
        for image in manifest.disks:
            if targets[image.id].size < image.size:
                raise TargetRefused(
                    f"{targets[image.id].path} is smaller than the image's disk, and an image on "
                    "several discs is not made smaller; nothing was written",
                    "use a disk of the same size, or a stick, which holds the image in one piece",
                )
    pairs = match_disks(manifest, (), targets, named=True, shrinker=shrinker)
    result = restore(manifest, pairs, source, meter, "restore")
    entries = restore_entries(manifest, pairs, firmware(), write=True)
    made = any(each.state == "created" for each in entries)
    seconds = time.monotonic() - began
    return replace(result, seconds=seconds, changed=result.changed or made)


def _same(talk: MediumTalk, result: Result) -> End:
    """Nothing had to be written: a medium that was left in ends no PC in a circle."""
    talk.show(
        f"This PC already is what {result.image}@{result.version} holds. Nothing was written.",
        "",
        "It starts from its own disk now. If it comes back to this medium, take the medium out.",
    )
    talk.terminal.wait(_READ_SAME)
    return "own-disk"
