# SPDX-License-Identifier: GPL-3.0-or-later
"""UEFI variables of a PC: the boot order that an administrator would have set.

Left alone, OVMF tries PXE and HTTP over IPv4 and IPv6 before the disk, a minute
each where nobody answers, and QEMU's bootindex cannot tell them apart. So each
UEFI PC gets a copy of Debian's variable store with two entries written into it,
byte for byte the ones that OVMF would make itself, in this order: PXE over IPv4,
disk. OVMF appends what else it finds.
"""

from __future__ import annotations

import re
import struct
import uuid
from pathlib import Path

from slipway_lab.errors import LabError

# Slots on the root bus of q35, fixed so that device paths can be known beforehand.
NETWORK_SLOT = 0x02
DISK_SLOT = 0x03

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
# Marks a boot option that the firmware made itself and may remove with its device.
AUTO_CREATED = uuid.UUID("8108ac4e-9f11-4d59-850e-e21a522c59b2")
STORE_GUID = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
STORE_HEADER = 28
VARIABLE_START = 0x55AA
VARIABLE_ADDED = 0x3F
# The state is written as flash is: bits are cleared, never set.
VARIABLE_DELETED = 0xFD
VARIABLE_HEADER = 60
BOOT_ORDER = re.compile(r"BootOrder|Boot[0-9A-F]{4}")
NON_VOLATILE_BOOT_RUNTIME = 0x7
ACTIVE = 1
FV_HEADER_LENGTH = 48

PCI_ROOT = bytes.fromhex("02010c00d041030a00000000")
END = bytes.fromhex("7fff0400")


def write(template: Path, target: Path, mac: str) -> None:
    """Copy a variable store and write the boot order into it."""
    store = bytearray(template.read_bytes())
    at = _forget_boot_order(store, template)
    for name, data in variables(mac).items():
        raw = _variable(name, data)
        store[at : at + len(raw)] = raw
        at += (len(raw) + 3) & ~3
    half = target.with_suffix(".part")
    half.write_bytes(store)
    half.replace(target)


def variables(mac: str) -> dict[str, bytes]:
    """Return the three variables of the boot order."""
    plain = mac.replace(":", "")
    hardware = bytes.fromhex(plain).ljust(32, b"\0") + b"\x01"
    card = _pci(NETWORK_SLOT) + _node(3, 11, hardware) + _node(3, 12, bytes(23))
    disk = _pci(DISK_SLOT) + _node(3, 2, struct.pack("<HH", 0, 0))
    return {
        "Boot0000": _option(f"UEFI PXEv4 (MAC:{plain.upper()})", card),
        "Boot0001": _option("UEFI QEMU QEMU HARDDISK ", disk),
        "BootOrder": struct.pack("<HH", 0, 1),
    }


def _option(description: str, path: bytes) -> bytes:
    """Encode an EFI_LOAD_OPTION."""
    whole = PCI_ROOT + path + END
    words = (description + "\0").encode("utf-16-le")
    return struct.pack("<IH", ACTIVE, len(whole)) + words + whole + AUTO_CREATED.bytes_le


def _node(kind: int, sub: int, data: bytes) -> bytes:
    return struct.pack("<BBH", kind, sub, 4 + len(data)) + data


def _pci(slot: int) -> bytes:
    return _node(1, 1, struct.pack("<BB", 0, slot))


def _variable(name: str, data: bytes) -> bytes:
    """Encode an authenticated variable, as OVMF keeps them all."""
    words = (name + "\0").encode("utf-16-le")
    header = struct.pack(
        "<HBBIQ16sIII16s",
        VARIABLE_START,
        VARIABLE_ADDED,
        0,
        NON_VOLATILE_BOOT_RUNTIME,
        0,
        bytes(16),
        0,
        len(words),
        len(data),
        GLOBAL.bytes_le,
    )
    return header + words + data


def _forget_boot_order(store: bytearray, template: Path) -> int:
    """Mark boot order and entries as deleted; return where the next variable goes.

    Debian's store with keys has been through a boot, its empty one has not.
    """
    length: int = struct.unpack_from("<H", store, FV_HEADER_LENGTH)[0]
    if store[40:44] != b"_FVH" or store[length : length + 16] != STORE_GUID.bytes_le:
        raise LabError(f"{template} is no variable store of OVMF.", "Install Debian's ovmf.")
    at = length + STORE_HEADER
    while store[at : at + 2] == struct.pack("<H", VARIABLE_START):
        name_length, data_length = struct.unpack_from("<II", store, at + 36)
        name = store[at + VARIABLE_HEADER : at + VARIABLE_HEADER + name_length]
        if BOOT_ORDER.fullmatch(name.decode("utf-16-le").rstrip("\0")):
            store[at + 2] &= VARIABLE_DELETED
        at = (at + VARIABLE_HEADER + name_length + data_length + 3) & ~3
    if store[at : at + 2] != b"\xff\xff":
        raise LabError(f"{template} ends in the middle.", "Install Debian's ovmf anew.")
    return at
