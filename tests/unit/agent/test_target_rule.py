# SPDX-License-Identifier: GPL-3.0-or-later
"""A medium writes without a question only what is certain."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import UsageError
from slipway.engine.target_rule import Rule, Uncertain, certain_targets, parse_rule
from slipway.format import Disk, Identity, Manifest, Table

GB = 10**9
OWN = Identity("S1", "", "SSD")
IMAGE = Manifest("pc1", 1 << 21, (Disk("disk0", OWN, 100 * GB, 512, 512, Table("none"), ()),))
PC = {"serial": "PC-1", "uuid": "ABCD"}


def disk(name: str, identity: Identity, size: int = 100 * GB) -> BlockDisk:
    return BlockDisk(Path("/dev") / name, size, 512, 512, identity)


OTHER = disk("sdb", Identity("S2", "", "SSD"))


@pytest.mark.parametrize("others", [(), (OTHER,), (OTHER, disk("sdc", Identity("S3", "", "HDD")))])
def test_the_images_own_disk_is_certain_beside_any_others(others: tuple[BlockDisk, ...]) -> None:
    own = disk("sda", OWN)
    assert certain_targets(IMAGE, (*others, own), Rule(), PC) == {"disk0": own}


def test_wwn_alone_is_enough() -> None:
    image = replace(IMAGE, disks=(replace(IMAGE.disks[0], identity=Identity("", "w1", "")),))
    own = disk("sda", Identity("S9", "w1", ""))
    assert certain_targets(image, (own, OTHER), Rule(), PC) == {"disk0": own}


@pytest.mark.parametrize(
    ("rule", "disks", "why"),
    [
        (Rule(), (OTHER,), "no disk of this PC is the one"),
        (Rule(), (), "no fixed disk"),
        (Rule(), (disk("sda", OWN), disk("sdb", OWN)), "2 disks say"),
        (Rule(only_fixed=True), (), "no fixed disk"),
        (Rule(only_fixed=True), (OTHER, disk("sdc", Identity("S3", "", "SSD"))), "2 fixed disks"),
        (Rule(model="SSD"), (OTHER, disk("sdc", Identity("S3", "", "SSD"))), "2 disks of this PC"),
        (Rule(model="HDD"), (OTHER,), "no disk of this PC fit"),
        (Rule(least_size=200 * GB), (OTHER,), "no disk of this PC fit"),
        (Rule(least_size=GB), (OTHER, disk("sdc", Identity("S3"))), "2 disks of this PC"),
        (Rule(machine_serial="PC-2"), (disk("sda", OWN),), "made for the PC with the serial"),
        (Rule(machine_uuid="EF"), (disk("sda", OWN),), "made for the PC with the UUID"),
    ],
)
def test_anything_else_is_a_question(rule: Rule, disks: tuple[BlockDisk, ...], why: str) -> None:
    with pytest.raises(Uncertain, match=why):
        certain_targets(IMAGE, disks, rule, PC)


@pytest.mark.parametrize(
    "rule",
    [
        Rule(only_fixed=True),
        Rule(model="SSD"),
        Rule(least_size=100 * GB),
        Rule("SSD", GB, True, "pc-1", "abcd"),
    ],
)
def test_a_rule_picks_its_only_disk(rule: Rule) -> None:
    assert certain_targets(IMAGE, (OTHER,), rule, PC) == {"disk0": OTHER}


def test_a_rule_never_spreads_an_image_of_two_disks() -> None:
    second = replace(IMAGE.disks[0], id="disk1", identity=Identity("S7"))
    image = replace(IMAGE, disks=(*IMAGE.disks, second))
    with pytest.raises(Uncertain):
        certain_targets(image, (disk("sda", OWN),), Rule(only_fixed=True), PC)


@pytest.mark.parametrize(
    "facts", [[], "", {"modle": "x"}, {"least_size": "1"}, {"only_fixed": 1}, {"model": None}]
)
def test_a_rule_that_is_none_is_refused(facts: Any) -> None:
    with pytest.raises(UsageError):
        parse_rule(facts)
