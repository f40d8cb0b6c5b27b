# SPDX-License-Identifier: GPL-3.0-or-later
"""The cards and controllers that a PC of the lab can have, and what QEMU calls them."""

from __future__ import annotations

from dataclasses import dataclass

# QEMU's own names of its network cards.
CARDS = (
    "virtio-net-pci",
    "e1000",
    "e1000e",
    "i82557b",
    "i82559er",
    "i82562",
    "ne2k_pci",
    "pcnet",
    "rtl8139",
    "tulip",
    "vmxnet3",
)

# OVMF drives this card itself. It drives no other, and uses QEMU's iPXE ROM for those.
OVMF_CARD = "virtio-net-pci"


@dataclass(frozen=True)
class Bus:
    """How a disk is connected: to a controller of its own, to one of the board, or as a card."""

    disk: str
    controller: str = ""
    # The board's own port, when there is no controller to name.
    port: str = ""
    has_wwn: bool = False


BUSES = {
    "virtio-scsi": Bus("scsi-hd", "virtio-scsi-pci", has_wwn=True),
    "virtio-blk": Bus("virtio-blk-pci"),
    "ide": Bus("ide-hd", port="ide.0", has_wwn=True),
    "ahci": Bus("ide-hd", "ich9-ahci", has_wwn=True),
    "nvme": Bus("nvme"),
    "usb": Bus("usb-storage", "qemu-xhci"),
    "lsi53c895a": Bus("scsi-hd", "lsi53c895a", has_wwn=True),
    "mptsas1068": Bus("scsi-hd", "mptsas1068", has_wwn=True),
    "megasas": Bus("scsi-hd", "megasas", has_wwn=True),
    "pvscsi": Bus("scsi-hd", "pvscsi", has_wwn=True),
}

# What the small Debian on the lab's disks has drivers for; other disks hold only data.
BOOTABLE_BUS = "virtio-scsi"


def disk_devices(bus: str, slot: int, node: str, serial: str, wwn: str) -> list[str]:
    """Return QEMU's devices of one disk, the controller first and the disk last."""
    kind = BUSES[bus]
    disk = f"{kind.disk},drive={node},serial={serial}"
    if kind.has_wwn:
        disk += f",wwn={wwn}"
    if kind.controller:
        return [f"{kind.controller},id=disks,addr={slot:#x}", f"{disk},bus=disks.0"]
    return [f"{disk},bus={kind.port}" if kind.port else f"{disk},addr={slot:#x}"]
