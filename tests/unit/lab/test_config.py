# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes in the inventory are named, with machine and key, before anything is made."""

from collections.abc import Callable
from typing import Any

import pytest
from slipway_lab.config import Config
from slipway_lab.errors import LabError

Spoil = Callable[[dict[str, Any]], object]


def test_a_good_description_is_read(lab: Config) -> None:
    assert [m.name for m in lab.machines] == ["old", "new"]
    assert lab.server_address == "10.99.0.1"
    assert lab.machine("new").disk.root_size_mib == 8


def test_an_unknown_pc_is_answered_with_those_there_are(lab: Config) -> None:
    with pytest.raises(LabError, match=r"'pc9'.*old, new"):
        lab.machine("pc9")


def machine(description: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = description["machines"][0]
    return found


def data_only(description: dict[str, Any], wwn: str | None = None, **changed: str) -> None:
    """Take the root from the first PC's disk, and give the PC other hardware."""
    disk = machine(description)["disk"]
    disk["partitions"].pop(0)
    disk["wwn"] = wwn
    machine(description).update(changed)


def test_a_disk_of_data_alone_goes_with_any_bus_and_table(
    make_lab: Callable[[], Config], description: dict[str, Any]
) -> None:
    data_only(description, nic="rtl8139", bus="nvme")
    old = make_lab().machine("old")
    assert (old.card, old.bus, old.disk.root_size_mib) == ("rtl8139", "nvme", None)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: machine(d).update(name="../x"), "name must match"),
        (lambda d: machine(d).update(macs=[]), "old has no MAC address"),
        (lambda d: machine(d).update(macs=["52-54-00-99-00-01"]), "is no MAC address"),
        (lambda d: machine(d).update(macs=["52:54:00:99:00:02"]), "same MAC address"),
        (lambda d: machine(d).update(firmware="coreboot"), "old: firmware must be one of"),
        (lambda d: machine(d).update(firmware="uefi"), "UEFI needs a vfat partition"),
        (lambda d: machine(d).update(ram_mib="lots"), "ram_mib must be a whole number"),
        (lambda d: machine(d).update(nic_rom="no"), "nic_rom must be true or false"),
        (lambda d: machine(d).update(floppy="/a,readonly=off"), "floppy must match"),
        (lambda d: machine(d).update(cdrom="cd.iso"), "cdrom must match"),
        (lambda d: d["machines"][1].update(floppy="/a"), "no floppy drive"),
        (lambda d: machine(d)["disk"].update(serial="NEW-1"), "same disk serial"),
        (lambda d: machine(d)["disk"].update(serial="a,readonly=on"), "serial must match"),
        (lambda d: machine(d)["disk"].update(wwn="0x12"), "is no WWN"),
        (lambda d: machine(d)["disk"].update(table="gpt"), "boot from an MBR disk|no logical"),
        (lambda d: machine(d)["disk"]["partitions"][1].update(mount="/"), "/ is one ext4 part"),
        (lambda d: machine(d)["disk"].update(partitions=[]), "has no partitions"),
        (lambda d: d["machines"][1]["disk"]["partitions"].pop(1), "/boot/efi and no /"),
        (lambda d: machine(d).update(nic="ne2000,romfile=x"), "old: nic must be one of"),
        (lambda d: machine(d).update(bus="floppy"), "old: bus must be one of"),
        (lambda d: machine(d).update(bus="ahci"), "no driver for ahci"),
        (lambda d: data_only(d, bus="nvme", wwn="0x5000000000000001"), "nvme disks have no WWN"),
        (lambda d: data_only(d, bus="ide", firmware="uefi"), "has no IDE"),
        (lambda d: machine(d)["disk"]["partitions"][1].update(size_mib=0), "only the last"),
        (lambda d: machine(d)["disk"]["partitions"][1].update(sized=9), "has no sized"),
        (lambda d: machine(d)["disk"]["partitions"][2].update(logical=False), "come last"),
        (lambda d: d.update(namespace="../../etc"), "namespace must match"),
        (lambda d: d.update(bridge="much-too-long-for-a-bridge"), "bridge must match"),
        (lambda d: d.update(address="10.99.0.300/24"), "address is wrong"),
    ],
)
def test_a_mistake_is_named(
    make_lab: Callable[[], Config], description: dict[str, Any], spoil: Spoil, words: str
) -> None:
    spoil(description)
    with pytest.raises(LabError, match=words):
        make_lab()
