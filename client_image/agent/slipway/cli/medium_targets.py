# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk a restore medium writes: what is certain, else what somebody says in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from slipway.engine.devices import BlockDisk, clean
from slipway.engine.errors import SlipwayError, TargetRefused
from slipway.engine.run import run
from slipway.format import Manifest
from slipway.format.units import size

# One for each disk. None has a letter that lies elsewhere on a keyboard of another country.
_WORDS = ("rudder", "keel", "tiller", "hull", "bell", "cork", "reef", "knot")
_MOST_CONTENTS = 6

Ask = Callable[[str], str | None]


def describe(disk: BlockDisk) -> str:
    """A disk for whoever has to know it again."""
    identity = disk.identity
    serial = f"serial {identity.serial}" if identity.serial else "no serial number"
    return f"{identity.model or 'disk'}   {serial}   {size(disk.size)}   {disk.path}"


def choose(
    manifest: Manifest,
    disks: Sequence[BlockDisk],
    why: str,
    show: Callable[..., None],
    ask: Ask,
) -> dict[str, BlockDisk] | None:
    """Ask for the target of each disk of the image; None when nothing shall be written."""
    if not disks:
        raise TargetRefused(
            f"{why}; nothing was written",
            "look in the firmware's setup whether the disk is seen; disks on USB are left alone",
        )
    chosen: dict[str, BlockDisk] = {}
    for image in manifest.disks:
        left = [disk for disk in disks if disk not in chosen.values()][: len(_WORDS)]
        offered = dict(zip(_WORDS, left, strict=False))
        note = ""
        while image.id not in chosen:
            lines = [f"Which disk is to be written? {_sentence(why)}", ""]
            if len(manifest.disks) > 1:
                lines += [f"This is about {image.id} of the image, {size(image.size)}.", ""]
            for word, disk in offered.items():
                lines += [f"  {word:8} {describe(disk)}", f"           on it now: {on_it(disk)}"]
            lines += ["", "All that is on that disk is lost. To write it, type the word before it."]
            show(*lines, "Enter alone leads back to the menu.", note)
            typed = ask("Word: ")
            if not typed:
                return None
            if typed.strip().lower() in offered:
                chosen[image.id] = offered[typed.strip().lower()]
            note = f"{clean(typed)} is none of the words."
    return chosen


def on_it(disk: BlockDisk) -> str:
    """What a disk holds now, as far as it says."""
    try:
        listing = run(
            ["lsblk", "--json", "--bytes", "--output", "SIZE,FSTYPE,LABEL", str(disk.path)]
        ).stdout
        [facts] = json.loads(listing)["blockdevices"]
    except (SlipwayError, ValueError, KeyError):
        return "it can't be read"
    inside = facts.get("children") or [facts]
    said = [
        " ".join(filter(None, [clean(each["fstype"]), clean(each["label"]), size(each["size"])]))
        for each in inside
        if each["fstype"] or facts.get("children")
    ]
    more = [f"and {len(said) - _MOST_CONTENTS} more"] if len(said) > _MOST_CONTENTS else []
    return ", ".join([*said[:_MOST_CONTENTS], *more]) or "nothing that is known"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
