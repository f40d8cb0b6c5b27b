# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine is: its cards, its hardware, its firmware, its host key, as files say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slipway.engine.devices import clean, list_disks
from slipway.engine.errors import CheckinRefused

_HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"
_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_ETHERNET = "1"
MAX_MACS = 16


def wired_cards(root: Path = Path("/")) -> list[dict[str, str]]:
    """The machine's own wired network cards: MAC address, driver, vendor and device."""
    cards = []
    for card in sorted((root / "sys/class/net").glob("*")):
        device = card / "device"
        if not device.exists() or (card / "phy80211").exists():
            continue
        mac = _read(card / "address")
        if _read(card / "type") == _ETHERNET and mac.strip("0:"):
            ids = [_read(device / key).removeprefix("0x") for key in ("vendor", "device")]
            driver = device / "driver"
            name = clean(driver.resolve().name) if driver.exists() else ""
            cards.append({"mac": mac, "driver": name, "device": ":".join(filter(None, ids))})
    return cards


def wired_macs(root: Path = Path("/")) -> list[str]:
    """MAC addresses of the machine's own wired network cards."""
    return [card["mac"] for card in wired_cards(root)]


def hardware(root: Path = Path("/")) -> dict[str, Any]:
    """What the machine is made of, for the inventory's eyes."""
    dmi = root / "sys/class/dmi/id"
    cpus = _values(root / "proc/cpuinfo", "model name")
    memory = _values(root / "proc/meminfo", "MemTotal")
    return {
        "vendor": _read(dmi / "sys_vendor"),
        "model": _read(dmi / "product_name"),
        "serial": _read(dmi / "product_serial"),
        "uuid": _read(dmi / "product_uuid"),
        "cpu": cpus[0] if cpus else "",
        "cpu_count": len(cpus),
        "memory": int(memory[0].split()[0]) * 1024 if memory else 0,
        "firmware": firmware(root),
        "disks": [
            {"path": str(disk.path), "size": disk.size, **vars(disk.identity)}
            for disk in list_disks()
            if disk.fixed
        ],
        "cards": wired_cards(root),
    }


def firmware(root: Path = Path("/")) -> str:
    """`uefi` or `bios`."""
    return "uefi" if (root / "sys/firmware/efi").is_dir() else "bios"


def secure_boot(root: Path = Path("/")) -> bool | None:
    """Whether the firmware starts what is signed and nothing else; None where it can't say."""
    try:
        # Four bytes of attributes come before the variable's one.
        return (root / _SECURE_BOOT).read_bytes()[4:] == b"\1"
    except OSError:
        return None


def host_key_of(root: Path = Path("/")) -> str:
    """The machine's public SSH host key, without its comment."""
    host_key = _read(root / _HOST_KEY)
    if not host_key:
        raise CheckinRefused(
            "this machine has no SSH host key yet", "look at the unit that makes it"
        )
    return " ".join(host_key.split()[:2])


def _read(path: Path) -> str:
    try:
        return clean(path.read_text(errors="replace"))
    except OSError:
        return ""


def _values(path: Path, key: str) -> list[str]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [clean(value) for name, _, value in pairs if name.strip() == key]
