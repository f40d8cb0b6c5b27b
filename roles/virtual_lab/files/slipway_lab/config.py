# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab consists of, as frozen values read from `lab.json`.

The role renders `lab.json` from the inventory. Reading it is where mistakes in
the inventory are found, so every refusal names the machine and the key.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from slipway_lab.errors import LabError
from slipway_lab.hardware import BOOTABLE_BUS, BUSES, CARDS

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
INTERFACE = re.compile(r"[a-z][a-z0-9-]{0,14}")
DRIVES = ("floppy", "cdrom", "usb")
# QEMU separates options by commas.
MEDIUM = re.compile(r"/[^,]*")
FILE_SYSTEMS = ("ext4", "ext3", "vfat", "swap")
# The last one enforces Secure Boot, with Microsoft's keys alone, as PCs are sold.
FIRMWARE = ("bios", "uefi", "uefi_secure")


def default_state_dir() -> Path:
    """Return `.lab` of the checkout that this package lies in, or SLIPWAY_LAB_STATE."""
    named = os.environ.get("SLIPWAY_LAB_STATE")
    return Path(named) if named else Path(__file__).resolve().parents[4] / ".lab"


@dataclass(frozen=True)
class Partition:
    """One partition as wanted; size 0 means the rest of the disk."""

    fs: str
    size_mib: int
    mount: str | None = None
    label: str = ""
    logical: bool = False


@dataclass(frozen=True)
class Disk:
    """The one disk of a PC."""

    size_mib: int
    table: str
    serial: str
    wwn: str | None
    partitions: tuple[Partition, ...]

    @property
    def root_size_mib(self) -> int | None:
        """Size of the root partition, which names the cached file system it starts from.

        None for a disk that holds only data.
        """
        return next((p.size_mib for p in self.partitions if p.mount == "/"), None)


@dataclass(frozen=True)
class Medium:
    """A drive that a PC may boot from, and the file that lies in it while that file is there."""

    kind: str
    file: Path


@dataclass(frozen=True)
class Machine:
    """One PC."""

    name: str
    macs: tuple[str, ...]
    firmware: str
    ram_mib: int
    cpus: int
    card: str
    bus: str
    disk: Disk
    media: tuple[Medium, ...] = ()
    nic_rom: bool = True

    @property
    def is_uefi(self) -> bool:
        """Whether its firmware is UEFI, with Secure Boot or without."""
        return self.firmware != "bios"

    @property
    def is_secure(self) -> bool:
        """Whether its firmware runs what is signed and nothing else."""
        return self.firmware == "uefi_secure"


@dataclass(frozen=True)
class ServerConfig:
    """The image server: its name and the packages of its root."""

    name: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Paths:
    """Where the lab keeps things: state in the checkout, sockets and PIDs under /run."""

    state: Path
    cache: Path
    run: Path

    @property
    def config(self) -> Path:
        """The rendered description of the lab."""
        return self.state / "lab.json"

    @property
    def server_root(self) -> Path:
        """Root directory of the image server."""
        return self.state / "server"

    @property
    def build(self) -> Path:
        """Half-made things; anything in here may be deleted at any time."""
        return self.state / "build"

    @property
    def logs(self) -> Path:
        """Logs of builds and daemons."""
        return self.state / "logs"

    @property
    def power_log(self) -> Path:
        """What the power switch saw and did, one JSON object a line."""
        return self.state / "power.log"

    @property
    def ssh(self) -> Path:
        """The lab's key pair, the known host key and a ready ssh_config."""
        return self.state / "ssh"

    @property
    def control(self) -> Path:
        """Socket of the power switch (under /run: such paths must be short)."""
        return self.run / "switch.sock"

    def disk(self, name: str) -> Path:
        """Return the raw disk file of a PC."""
        return self.state / "disks" / f"{name}.img"

    def record(self, name: str) -> Path:
        """Return what was written down when the disk of a PC was made."""
        return self.state / "pcs" / f"{name}.json"

    def console(self, name: str) -> Path:
        """Return the log of a PC's serial port."""
        return self.state / "consoles" / f"{name}.log"

    def pidfile(self, name: str) -> Path:
        """Return the PID file of a daemon or a PC."""
        return self.run / f"{name}.pid"


@dataclass(frozen=True)
class Config:
    """The whole lab."""

    namespace: str
    bridge: str
    address: str
    suite: str
    mirrors: tuple[str, ...]
    accel: str
    server: ServerConfig
    machines: tuple[Machine, ...]
    paths: Paths
    source: str = field(default="", repr=False)

    @property
    def server_address(self) -> str:
        """The image server's address, without the prefix length."""
        return self.address.partition("/")[0]

    def machine(self, name: str) -> Machine:
        """Return the machine of that name."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        known = ", ".join(m.name for m in self.machines)
        raise LabError(f"The lab has no PC called {name!r}.", f"It has: {known}.")


def run_dir(namespace: str) -> Path:
    """Return the folder under /run that belongs to a namespace, owner record included."""
    return Path("/run") / namespace


def load(state_dir: Path | None = None, file: Path | None = None) -> Config:
    """Read the lab's description from its state folder (or from another file, to check it)."""
    state = (state_dir or default_state_dir()).absolute()
    path = file or state / "lab.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise LabError(f"There is no lab in {state}.", "Make one: `make lab`.") from None
    try:
        return parse(json.loads(text), state, text)
    except json.JSONDecodeError as error:
        raise LabError(f"{path} is no JSON: {error}.", "Render it anew: `make lab`.") from None


def parse(data: dict[str, Any], state: Path, source: str = "") -> Config:
    """Check and convert the rendered description."""
    where = "the lab"
    namespace = _text(data, "namespace", where, NAME)
    machines = tuple(_machine(item) for item in data.get("machines", []))
    _all_different(machines)
    server = data.get("server") or {}
    try:
        ipaddress.ip_interface(data.get("address", ""))
    except ValueError as error:
        raise LabError(f"The lab's address is wrong: {error}.") from None
    return Config(
        namespace=namespace,
        bridge=_text(data, "bridge", where, INTERFACE),
        address=data["address"],
        suite=_text(data, "suite", where, NAME),
        mirrors=tuple(data.get("mirrors") or ()),
        accel=_choice(data, "accel", where, ("auto", "kvm", "tcg")),
        server=ServerConfig(
            name=_text(server, "name", "the image server", NAME),
            packages=tuple(sorted(set(server.get("packages") or ()))),
        ),
        machines=machines,
        paths=Paths(
            state=state,
            cache=Path(data.get("cache_dir") or state.parent / ".cache") / "lab",
            run=run_dir(namespace),
        ),
        source=source,
    )


def _machine(data: dict[str, Any]) -> Machine:
    name = _text(data, "name", "a PC", NAME)
    macs = data.get("macs") or []
    if not macs:
        raise LabError(f"{name} has no MAC address.", "Give it one in `machine_macs`.")
    for mac in macs:
        if not isinstance(mac, str) or not MAC.fullmatch(mac):
            raise LabError(f"{name}: {mac!r} is no MAC address.", "Write aa:bb:cc:dd:ee:ff.")
    firmware = _choice(data, "firmware", name, FIRMWARE)
    disk = _disk(data.get("disk") or {}, name)
    bus = _choice(data, "bus", name, tuple(BUSES))
    _disk_fits(disk, firmware, bus, name)
    return Machine(
        name=name,
        macs=tuple(macs),
        firmware=firmware,
        ram_mib=_number(data, "ram_mib", name, 256),
        cpus=_number(data, "cpus", name, 1),
        card=_choice(data, "nic", name, CARDS),
        bus=bus,
        disk=disk,
        media=_media(data, name, firmware),
        nic_rom=_yes_or_no(data, "nic_rom", name, True),
    )


def _disk_fits(disk: Disk, firmware: str, bus: str, name: str) -> None:
    """Refuse a disk that the PC's firmware or its own system could not use."""
    boots = disk.root_size_mib is not None
    has_esp = any(p.mount == "/boot/efi" for p in disk.partitions)
    if boots and firmware != "bios" and not has_esp:
        raise LabError(f"{name}: UEFI needs a vfat partition mounted at /boot/efi.")
    if boots and firmware == "bios" and disk.table != "mbr":
        raise LabError(f"{name}: the lab's BIOS PCs boot from an MBR disk.", "Set table: mbr.")
    if boots and bus != BOOTABLE_BUS:
        raise LabError(
            f"{name}: the Debian on the lab's disks has no driver for {bus}.",
            f"Set lab_disk_bus: {BOOTABLE_BUS}, or lab_partitions without a root (/).",
        )
    if bus == "ide" and firmware != "bios":
        raise LabError(f"{name}: the board of UEFI PCs has no IDE.", "Set lab_disk_bus: ahci.")
    if disk.wwn is not None and not BUSES[bus].has_wwn:
        raise LabError(f"{name}: QEMU's {bus} disks have no WWN.", "Leave lab_disk_wwn out.")


def _media(data: dict[str, Any], name: str, firmware: str) -> tuple[Medium, ...]:
    kinds = [kind for kind in DRIVES if data.get(kind)]
    if firmware != "bios" and "floppy" in kinds:
        raise LabError(f"{name}: UEFI PCs of the lab have no floppy drive.", "Use usb or cdrom.")
    return tuple(Medium(kind, Path(_text(data, kind, name, MEDIUM))) for kind in kinds)


def _disk(data: dict[str, Any], name: str) -> Disk:
    where = f"{name}'s disk"
    partitions = tuple(_partition(item, where) for item in data.get("partitions") or [])
    roots = [p for p in partitions if p.mount == "/"]
    if any(root.fs != "ext4" or not root.size_mib for root in roots) or len(roots) > 1:
        raise LabError(f"{where}: / is one ext4 partition with a size, or there is none.")
    if not roots and any(p.mount == "/boot/efi" for p in partitions):
        raise LabError(f"{where} has /boot/efi and no / that could be booted from it.")
    if not partitions:
        raise LabError(f"{where} has no partitions.", "Give it one in `lab_partitions`.")
    if any(not p.size_mib for p in partitions[:-1]):
        raise LabError(f"{where}: only the last partition may take the rest (size 0).")
    table = _choice(data, "table", where, ("mbr", "gpt"))
    if any(p.logical for p in partitions) and table != "mbr":
        raise LabError(f"{where}: a GPT has no logical partitions.")
    if any(p.logical and not q.logical for p, q in pairwise(partitions)):
        raise LabError(f"{where}: logical partitions come last.")
    serial = _text(data, "serial", where, re.compile(r"[A-Za-z0-9_-]{1,36}"))
    wwn = data.get("wwn") or None
    if wwn is not None and not re.fullmatch(r"0x[0-9a-f]{16}", str(wwn)):
        raise LabError(f"{where}: {wwn!r} is no WWN.", "Write 0x and 16 hex digits.")
    return Disk(
        size_mib=_number(data, "size_mib", where, 16),
        table=table,
        serial=serial,
        wwn=wwn,
        partitions=partitions,
    )


def _partition(data: dict[str, Any], where: str) -> Partition:
    unknown = set(data) - {"fs", "size_mib", "mount", "label", "logical"}
    if unknown:
        raise LabError(f"{where}: a partition has no {', '.join(sorted(unknown))}.")
    return Partition(
        fs=_choice(data, "fs", where, FILE_SYSTEMS),
        size_mib=_number(data, "size_mib", where, 0),
        mount=data.get("mount"),
        label=str(data.get("label", "")),
        logical=bool(data.get("logical", False)),
    )


def _all_different(machines: tuple[Machine, ...]) -> None:
    """Twins that share an identity would make every later result a riddle."""
    kinds = {
        "name": [m.name for m in machines],
        "MAC address": [mac for m in machines for mac in m.macs],
        "disk serial": [m.disk.serial for m in machines],
    }
    for kind, values in kinds.items():
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise LabError(f"Two PCs have the same {kind}: {', '.join(sorted(twice))}.")


def _text(data: dict[str, Any], key: str, where: str, pattern: re.Pattern[str]) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise LabError(f"{where}: {key} must match {pattern.pattern}, not {value!r}.")
    return value


def _choice(data: dict[str, Any], key: str, where: str, choices: tuple[str, ...]) -> str:
    value = data.get(key)
    if value not in choices:
        raise LabError(f"{where}: {key} must be one of {', '.join(choices)}, not {value!r}.")
    return str(value)


def _yes_or_no(data: dict[str, Any], key: str, where: str, usual: bool) -> bool:
    value = data.get(key, usual)
    if not isinstance(value, bool):
        raise LabError(f"{where}: {key} must be true or false, not {value!r}.")
    return value


def _number(data: dict[str, Any], key: str, where: str, least: int) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise LabError(f"{where}: {key} must be a whole number from {least}, not {value!r}.")
    return value
