# SPDX-License-Identifier: GPL-3.0-or-later
"""What QEMU is told, and whether a PC counts as on."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slipway_lab import hardware, qemu
from slipway_lab.config import Config

Settle = Callable[[subprocess.Popen[bytes]], object]


def words(lab: Config, name: str, accel: str = "tcg") -> list[str]:
    return qemu.command(lab, lab.machine(name), accel, [7])


def device(command: list[str], kind: str) -> str:
    return next(word for word in command if word.startswith(kind))


def test_bios_boots_network_first_then_disk(lab: Config) -> None:
    command = words(lab, "old")
    card, disk = device(command, "virtio-net-pci"), device(command, "scsi-hd")
    assert "bootindex=1" in card
    assert "bootindex=2" in disk
    assert "romfile=" not in card
    assert "mac=52:54:00:99:00:01" in card


def test_uefi_uses_its_own_pxe_stack_and_its_own_boot_order(lab: Config) -> None:
    command = words(lab, "new")
    card, disk = device(command, "virtio-net-pci"), device(command, "scsi-hd")
    assert "bootindex" not in card + disk
    assert card.endswith("romfile=")
    assert "addr=0x2" in card
    assert "addr=0x3" in device(command, "virtio-scsi-pci")


def test_secure_boot_has_microsofts_keys_and_guards_its_variables(
    make_lab: Callable[[], Config], description: dict[str, Any]
) -> None:
    description["machines"][1]["firmware"] = "uefi_secure"
    lab = make_lab()
    command = words(lab, "new")
    assert "q35,smm=on" in command
    assert "cfi.pflash01.secure=on" in command
    assert any(word.endswith("OVMF_CODE_4M.ms.fd") for word in command)
    assert qemu._ovmf(lab.machine("new"), "VARS").name == "OVMF_VARS_4M.ms.fd"
    assert device(command, "virtio-net-pci").endswith("romfile=")


def test_a_medium_is_booted_first_while_it_is_there(
    make_lab: Callable[[], Config], description: dict[str, Any], tmp_path: Path
) -> None:
    floppy, cd = tmp_path / "floppy.img", tmp_path / "cd.iso"
    description["machines"][0] |= {"floppy": str(floppy), "cdrom": str(cd), "nic_rom": False}
    lab = make_lab()
    assert not [word for word in words(lab, "old") if word.startswith(("floppy", "ide-cd"))]
    floppy.touch()
    cd.touch()
    command = words(lab, "old")
    assert "isa-fdc.bootindexA=1" in command
    assert device(command, "floppy") == "floppy,unit=0,drive=floppy0"
    assert device(command, "ide-cd").endswith("bootindex=2")
    assert device(command, "scsi-hd").endswith("bootindex=3")
    # A card without a ROM is no boot device.
    assert device(command, "virtio-net-pci").endswith("romfile=")
    assert f"driver=file,node-name=floppy0-file,read-only=on,filename={floppy}" in command


def test_a_usb_stick_comes_before_the_boot_order_of_a_uefi_pc(
    make_lab: Callable[[], Config], description: dict[str, Any], tmp_path: Path
) -> None:
    stick = tmp_path / "usb.img"
    description["machines"][1] |= {"usb": str(stick)}
    lab = make_lab()
    assert not any("bootindex" in word for word in words(lab, "new"))
    stick.touch()
    command = words(lab, "new")
    assert command.index("qemu-xhci,id=xhci") < command.index(device(command, "usb-storage"))
    assert device(command, "usb-storage").endswith("bootindex=1")
    assert device(command, "scsi-hd").endswith("bootindex=3")


def test_the_disk_has_an_identity(lab: Config) -> None:
    disk = device(words(lab, "old"), "scsi-hd")
    assert "serial=OLD-1" in disk
    assert qemu.wwn(lab.machine("old")) in disk
    assert qemu.wwn(lab.machine("old")) != qemu.wwn(lab.machine("new"))


def with_hardware(lab: Config, name: str, **changed: str) -> list[str]:
    machine = replace(lab.machine(name), **changed)
    return qemu.command(lab, machine, "tcg", [7])


@pytest.mark.parametrize("bus", hardware.BUSES)
def test_the_disk_hangs_on_the_bus_that_is_named(lab: Config, bus: str) -> None:
    command = with_hardware(lab, "old", bus=bus)
    kind = hardware.BUSES[bus]
    disk = device(command, f"{kind.disk},drive=disk0")
    assert "serial=OLD-1" in disk and disk.endswith("bootindex=2")
    assert ("wwn=" in disk) == kind.has_wwn
    if kind.controller:
        controller = device(command, f"{kind.controller},id=disks")
        assert "bus=disks.0" in disk
        assert command.index(controller) < command.index(disk)
    assert not any(word.startswith("virtio-scsi") for word in command) or bus == "virtio-scsi"


@pytest.mark.parametrize("card", hardware.CARDS)
def test_the_card_is_the_one_that_is_named(lab: Config, card: str) -> None:
    assert "mac=52:54:00:99:00:01" in device(with_hardware(lab, "old", card=card), f"{card},")


def test_uefi_drives_other_cards_with_their_rom(lab: Config) -> None:
    assert "romfile=" not in device(with_hardware(lab, "new", card="e1000e"), "e1000e,")


def test_a_pc_survives_its_own_reboot(lab: Config) -> None:
    assert "-no-reboot" not in words(lab, "old")


def test_kvm_brings_the_real_processor(lab: Config) -> None:
    assert "host" in words(lab, "old", "kvm")
    assert qemu.TCG_CPU in words(lab, "old", "tcg")


def test_tap_names_fit_into_the_kernel(lab: Config) -> None:
    names = {qemu.tap_name(lab, machine, 0) for machine in lab.machines}
    assert len(names) == 2
    assert all(len(name) <= 15 for name in names)


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EPERM])
def test_a_tap_is_waited_for_while_a_killed_pc_still_holds_it(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    answers = iter([OSError(code, "no"), OSError(code, "no"), None])

    def ioctl(*_words: object) -> None:
        if problem := next(answers):
            raise problem

    monkeypatch.setattr(qemu.fcntl, "ioctl", ioctl)
    if code == errno.EBUSY:
        qemu._claim(0, b"")
    else:
        with pytest.raises(PermissionError):
            qemu._claim(0, b"")


def test_a_pc_is_on_when_its_own_qemu_lives(lab: Config, settled: Settle) -> None:
    pidfile = lab.paths.pidfile("old")
    assert qemu.pid(lab, "old") is None
    pidfile.write_text(f"{os.getpid()}\n")
    assert qemu.pid(lab, "old") is None, "somebody else's process"
    sleep = [sys.executable, "-c", "import time; time.sleep(60)", "-pidfile", str(pidfile)]
    with subprocess.Popen(sleep) as process:
        pidfile.write_text(f"{process.pid}\n")
        settled(process)
        found = qemu.pid(lab, "old")
        process.kill()
        assert found == process.pid
    assert qemu.pid(lab, "old") is None


def test_kvm_that_opens_but_runs_nothing_is_not_taken(mock_command: Callable[..., Any]) -> None:
    mock_command(qemu.QEMU, "", 134, "failed to set MSR 0x10a\n")
    assert not qemu._kvm_runs()


def test_firmware_that_speaks_proves_kvm(mock_command: Callable[..., Any]) -> None:
    said = 'for word; do case $word in file:*) echo SeaBIOS > "${word#file:}";; esac; done'
    mock_command(qemu.QEMU, body=f"{said}\nexec sleep 30")
    assert qemu._kvm_runs()
