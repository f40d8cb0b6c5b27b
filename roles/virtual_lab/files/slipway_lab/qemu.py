# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual PCs: the command line of QEMU, whether KVM really works, and QMP."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slipway_lab import hardware, nvram
from slipway_lab.config import Config, Machine, Medium
from slipway_lab.errors import LabError
from slipway_lab.tools import alive, environment, give, run

QEMU = "qemu-system-x86_64"
OVMF = Path("/usr/share/OVMF")
# Emulated, AVX takes longer than what programs do where there is none.
TCG_CPU = "max,avx=off,avx2=off"
PROBE_SECONDS = 3.0
KEY_SECONDS = 0.3
TAP_SECONDS = 5.0

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


def wwn(machine: Machine) -> str:
    """Return the disk's world wide name: the given one, else one derived from its serial."""
    if machine.disk.wwn:
        return machine.disk.wwn
    return "0x5" + hashlib.sha256(machine.disk.serial.encode()).hexdigest()[:15]


def firmware_variables(config: Config, machine: Machine) -> Path:
    """Return this PC's own copy of the UEFI variables."""
    return config.paths.state / "pcs" / f"{machine.name}.vars.fd"


def _ovmf(machine: Machine, part: str) -> Path:
    """Return CODE or VARS of the PC's firmware; the .ms ones hold Microsoft's keys."""
    return OVMF / f"OVMF_{part}_4M{'.ms' if machine.is_secure else ''}.fd"


def tap_name(config: Config, machine: Machine, card: int) -> str:
    """Name a tap: at most 15 characters, whatever the PC is called."""
    digest = hashlib.sha256(machine.name.encode()).hexdigest()[:6]
    return f"slw{digest}.{card}"


def command(config: Config, machine: Machine, accel: str, taps: list[int]) -> list[str]:
    """Render the whole command line of a PC.

    There is no -no-reboot: a PC that reboots stays the same QEMU. Writes go to
    the host's page cache and a guest's flush is honoured, so killing QEMU is a
    power loss that keeps what was flushed.
    """
    paths = config.paths
    words = [QEMU, "-name", f"{machine.name},process=lab-{machine.name}"[:60]]
    words += ["-pidfile", str(paths.pidfile(machine.name)), "-daemonize"]
    words += ["-nodefaults", "-display", "none", "-device", "VGA,addr=0x4"]
    # graphics=off makes SeaBIOS repeat on the serial port what it, iPXE and GRUB show on the
    # screen, which stays; OVMF does so anyway.
    if machine.is_secure:
        # Only firmware, in system management mode, may write its variables: no system can turn
        # Secure Boot off behind its back.
        words += ["-machine", "q35,smm=on", "-global", "cfi.pflash01.secure=on"]
        words += ["-global", "ICH9-LPC.disable_s3=1"]
    else:
        words += ["-machine", "q35" if machine.is_uefi else "pc,graphics=off"]
    if accel == "kvm":
        words += ["-accel", "kvm", "-cpu", "host"]
    else:
        words += ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", TCG_CPU]
    words += ["-m", str(machine.ram_mib), "-smp", str(machine.cpus)]
    words += ["-smbios", f"type=1,manufacturer=Slipway,product=Lab PC,serial={machine.disk.serial}"]
    if machine.is_uefi:
        code = _ovmf(machine, "CODE")
        words += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"]
        variables = firmware_variables(config, machine)
        words += ["-drive", f"if=pflash,unit=1,format=raw,file={variables}"]
        # PXE over IPv6 would wait a minute for a router that the lab does not have.
        words += ["-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no"]
    media = [medium for medium in machine.media if medium.file.exists()]
    order = _boot_order(machine, media)
    words += _cards(machine, taps, order)
    words += ["-blockdev", f"driver=file,node-name=file0,filename={paths.disk(machine.name)}"]
    words += ["-blockdev", "driver=raw,node-name=disk0,file=file0"]
    *controller, disk = hardware.disk_devices(
        machine.bus, nvram.DISK_SLOT, "disk0", machine.disk.serial, wwn(machine)
    )
    for device in (*controller, disk + _boot_index(order, "disk")):
        words += ["-device", device]
    for medium in media:
        words += _drive(medium, _boot_index(order, medium.kind))
    words += ["-device", "virtio-rng-pci"]
    console = paths.console(machine.name)
    words += ["-chardev", f"file,id=serial0,path={console},append=on"]
    words += ["-serial", "chardev:serial0"]
    words += ["-qmp", f"unix:{_qmp_socket(config, machine.name)},server=on,wait=off"]
    return words


def _cards(machine: Machine, taps: list[int], order: list[str]) -> list[str]:
    # OVMF brings a PXE stack of its own and shall use it; SeaBIOS needs QEMU's iPXE ROM.
    own = machine.is_uefi and machine.card == hardware.OVMF_CARD
    rom = ",romfile=" if own or not machine.nic_rom else ""
    words = []
    for card, (mac, tap) in enumerate(zip(machine.macs, taps, strict=True)):
        # The first card has the slot that the UEFI boot order knows, others come far behind.
        slot = nvram.NETWORK_SLOT if card == 0 else 0x0F + card
        words += ["-netdev", f"tap,id=net{card},fd={tap}"]
        words += [
            "-device",
            f"{machine.card},netdev=net{card},mac={mac},addr={slot:#x}{rom}"
            + _boot_index(order, f"net{card}"),
        ]
    return words


def _drive(medium: Medium, boot_index: str) -> list[str]:
    """Put a medium into a drive. It is read only, as it is after the write-protect tab is shut."""
    node = f"{medium.kind}0"
    device = {
        "floppy": f"floppy,unit=0,drive={node}",
        "cdrom": f"ide-cd,drive={node}",
        "usb": f"usb-storage,bus=xhci.0,drive={node}",
    }[medium.kind]
    file = f"driver=file,node-name={node}-file,read-only=on,filename={medium.file}"
    words = ["-blockdev", file]
    words += ["-blockdev", f"driver=raw,node-name={node},read-only=on,file={node}-file"]
    if medium.kind == "usb":
        words += ["-device", "qemu-xhci,id=xhci"]
    if medium.kind == "floppy" and boot_index:
        # The place in the boot order belongs to the controller, which every BIOS PC has.
        words += ["-global", boot_index.replace(",bootindex", "isa-fdc.bootindexA")]
        boot_index = ""
    return [*words, "-device", device + boot_index]


def _boot_order(machine: Machine, media: list[Medium]) -> list[str]:
    """Media first, then network, then disk; a card without a ROM is no boot device.

    UEFI PCs have the last two in their variables instead (see nvram), and hear of an order from
    outside only when there is a medium that must come before.
    """
    if machine.is_uefi and not media:
        return []
    cards = [f"net{card}" for card in range(len(machine.macs)) if machine.nic_rom]
    return [*(medium.kind for medium in media), *cards, "disk"]


def _boot_index(order: list[str], device: str) -> str:
    return f",bootindex={order.index(device) + 1}" if device in order else ""


def start(config: Config, machine: Machine, accel: str) -> None:
    """Turn a PC on. The caller must be inside the lab's network namespace."""
    disk = config.paths.disk(machine.name)
    if not disk.exists():
        raise LabError(f"{machine.name} has no disk at {disk}.", "Make it: `make lab`.")
    if machine.is_uefi and not firmware_variables(config, machine).exists():
        nvram.write(_ovmf(machine, "VARS"), firmware_variables(config, machine), machine.macs[0])
    console = config.paths.console(machine.name)
    console.parent.mkdir(parents=True, exist_ok=True)
    console.touch()
    give(console, config)
    taps = [_open_tap(config, tap_name(config, machine, c)) for c in range(len(machine.macs))]
    try:
        done = subprocess.run(
            command(config, machine, accel, taps),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(config),
            pass_fds=taps,
            text=True,
            check=False,
        )
    finally:
        for tap in taps:
            os.close(tap)
    if done.returncode:
        raise LabError(f"QEMU did not start {machine.name}: {done.stderr.strip()}")


def pid(config: Config, name: str) -> int | None:
    """Return the PID of a PC's QEMU, or None when the PC is off."""
    pidfile = config.paths.pidfile(name)
    return alive(pidfile, str(pidfile), "-pidfile")


@contextmanager
def monitor(config: Config, name: str, timeout: float = 10) -> Iterator[Monitor]:
    """Open the QMP connection of a PC that is on."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(_qmp_socket(config, name)))
        except OSError as error:
            raise LabError(f"{name} is off, or its QEMU does not answer: {error}.") from None
        yield Monitor(connection)


class Monitor:
    """The few words of QMP that the lab needs."""

    def __init__(self, connection: socket.socket) -> None:
        """Greet."""
        self._stream = connection.makefile("rw")
        self._stream.readline()
        self.execute("qmp_capabilities")

    def execute(self, verb: str, **arguments: Any) -> Any:
        """Run one command and return its answer; events in between are skipped."""
        self._stream.write(json.dumps({"execute": verb, "arguments": arguments}) + "\n")
        self._stream.flush()
        for line in self._stream:
            answer = json.loads(line)
            if "error" in answer:
                raise LabError(f"QEMU refused {verb}: {answer['error']['desc']}.")
            if "return" in answer:
                return answer["return"]
        raise LabError(f"QEMU went away during {verb}.")


def press(config: Config, name: str, keys: list[str]) -> None:
    """Press keys one after the other, by QEMU's names: `down`, `ret`, `a`."""
    with monitor(config, name) as connection:
        for key in keys:
            pressed = [{"type": "qcode", "data": key}]
            connection.execute("send-key", keys=pressed, **{"hold-time": 50})
            # A guest in software emulation must see the key go up again.
            time.sleep(KEY_SECONDS)


def choose_accelerator(config: Config) -> str:
    """Return kvm or tcg as wanted; `auto` asks a real guest.

    /dev/kvm may open and still not run anything (nested hosts, filtered MSRs),
    so the only honest probe is firmware that prints its first words.
    """
    if config.accel != "auto":
        return config.accel
    return "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) and _kvm_runs() else "tcg"


def _kvm_runs() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "seabios.log"
        guest = subprocess.Popen(
            [
                *(QEMU, "-accel", "kvm", "-cpu", "host", "-m", "64", "-machine", "pc"),
                *("-nodefaults", "-display", "none", "-debugcon", f"file:{words}"),
                *("-global", "isa-debugcon.iobase=0x402"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + PROBE_SECONDS
            while guest.poll() is None and time.monotonic() < deadline:
                if words.exists() and b"SeaBIOS" in words.read_bytes():
                    return True
                time.sleep(0.05)
            return False
        finally:
            guest.kill()
            guest.wait()


def _qmp_socket(config: Config, name: str) -> Path:
    return config.paths.run / f"{name}.qmp"


def _open_tap(config: Config, name: str) -> int:
    """Make a tap that lives exactly as long as the QEMU that holds it."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        _claim(tap, struct.pack("16sH22x", name.encode(), flags))
        run(config, "ip", "link", "set", name, "master", config.bridge, "up")
    except (OSError, LabError):
        os.close(tap)
        raise
    return tap


def _claim(tap: int, request: bytes) -> None:
    """Name a tap. A PC whose plug was just pulled may hold its name for a moment longer."""
    deadline = time.monotonic() + TAP_SECONDS
    while True:
        try:
            fcntl.ioctl(tap, TUNSETIFF, request)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.05)
