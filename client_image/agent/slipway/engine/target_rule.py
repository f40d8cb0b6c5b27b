# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk of a PC a medium may write without a question: the image's own, or a rule's only one.

Nobody may stand in front of the PC, so anything that is not certain is a question instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway.engine.devices import BlockDisk
from slipway.engine.errors import UsageError
from slipway.engine.match import same_disk
from slipway.format import Disk, Manifest

_TEXTS, _FLAGS, _NUMBERS = (
    ("model", "machine_serial", "machine_uuid"),
    ("only_fixed",),
    ("least_size",),
)


class Uncertain(Exception):
    """No target is certain; the text says why, for people."""


@dataclass(frozen=True)
class Rule:
    """What the medium was told of its target. Empty: the image's own disk alone."""

    model: str = ""
    least_size: int = 0
    """Bytes."""
    only_fixed: bool = False
    machine_serial: str = ""
    machine_uuid: str = ""

    @property
    def picks(self) -> bool:
        """Whether it names another disk than the image's own."""
        return bool(self.model or self.least_size or self.only_fixed)


def parse_rule(facts: object) -> Rule:
    """The rule as the medium has it."""
    if not isinstance(facts, dict):
        raise UsageError("the medium's rule is none", "make the medium anew")
    for key, value in facts.items():
        kinds = {**dict.fromkeys(_TEXTS, str), **dict.fromkeys(_FLAGS, bool), "least_size": int}
        if key not in kinds or type(value) is not kinds[key]:
            raise UsageError(f"the medium's rule says {key}, which is none", "make it anew")
    return Rule(**facts)


def certain_targets(
    manifest: Manifest, disks: Sequence[BlockDisk], rule: Rule, machine: Mapping[str, str]
) -> dict[str, BlockDisk]:
    """The target of each disk of the image, by id; Uncertain when one of them is not certain.

    `disks` are the PC's own fixed ones, without media; `machine` has its `serial` and `uuid`.
    """
    for key in ("serial", "uuid"):
        wanted, found = getattr(rule, f"machine_{key}"), machine.get(key, "")
        if wanted and wanted.lower() != found.lower():
            what = "serial number" if key == "serial" else "UUID"
            raise Uncertain(
                f"this medium was made for the PC with the {what} {wanted}; this one has "
                f"{found or 'none'}"
            )
    targets = {image.id: _target(image, manifest, disks, rule) for image in manifest.disks}
    paths = [disk.path for disk in targets.values()]
    if len(set(paths)) < len(paths):
        raise Uncertain("two disks of the image would go to the same disk")
    return targets


def _target(image: Disk, manifest: Manifest, disks: Sequence[BlockDisk], rule: Rule) -> BlockDisk:
    own = [disk for disk in disks if same_disk(image.identity, disk.identity)]
    if len(own) == 1:
        return own[0]
    if own:
        raise Uncertain(f"{len(own)} disks say that they are the one that the image was saved from")
    if not disks:
        raise Uncertain("this PC has no fixed disk")
    if not rule.picks or len(manifest.disks) > 1:
        raise Uncertain(
            f"no disk of this PC is the one that the image was saved from ({image.identity})"
        )
    if rule.only_fixed and len(disks) > 1:
        raise Uncertain(f"this PC has {len(disks)} fixed disks, and the medium was made for one")
    fitting = [
        disk
        for disk in disks
        if disk.size >= rule.least_size and rule.model in ("", disk.identity.model)
    ]
    if len(fitting) != 1:
        wanted = " ".join(filter(None, [
            rule.model, f"of at least {rule.least_size} bytes" if rule.least_size else ""
        ]))  # fmt: skip
        count = "no disk" if not fitting else f"{len(fitting)} disks"
        raise Uncertain(f"{count} of this PC fit what the medium was made for ({wanted})")
    return fitting[0]
