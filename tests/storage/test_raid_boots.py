# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC whose system lies on a mirror, with GRUB on both disks: saved, wiped, restored, on."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import MIB, attached, filled, sh
from .guest_pc import IMAGE, accelerated, overlay, run_pc
from .raid import Array, examined, mark, placed

START, SIZE = MIB, 224 * MIB
ARRAY = Array(size=SIZE - 2 * MIB)
MARKER = "this is the system of the mirror"
GRUB = Path("/usr/lib/grub/i386-pc")
# Starts the array as an installed system does: by the super blocks, of all disks that it finds.
START_ARRAY = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
modprobe -a virtio_pci virtio_blk md-mod raid1 ext4
mdadm --assemble --scan --config=partitions --homehost=any --auto=yes
mkdir -p /mnt
mount -o ro /dev/md/* /mnt || mount -o ro /dev/md127 /mnt
exec switch_root /mnt /sbin/init
"""
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox cat /marker /proc/mdstat >/dev/console
/bin/busybox poweroff -f
"""
MENU = """\
linux /boot/vmlinuz console=ttyS0 quiet panic=-1 rdinit=/start-array
initrd /boot/initrd
boot
"""


def root_of(room: Path) -> Path:
    """The files of the system: a kernel, what starts the array, and a program that says it runs."""
    built = subprocess.run([IMAGE / "build"], stdout=subprocess.PIPE, text=True, check=True)
    environment = Path(built.stdout.splitlines()[-1])
    root = room / "root"
    for folder in ("boot/grub", "bin", "sbin", "dev", "proc", "sys", "run", "lib64"):
        (root / folder).mkdir(parents=True)
    shutil.copy(environment / "vmlinuz", root / "boot/vmlinuz")
    start = overlay(room / "overlay", {"start-array": START_ARRAY.encode()})
    (root / "boot/initrd").write_bytes((environment / "initrd.img").read_bytes() + start)
    (root / "boot/grub/grub.cfg").write_text(MENU)
    (root / "marker").write_text(f"{MARKER}\n")
    (root / "sbin/init").write_text(INIT)
    (root / "sbin/init").chmod(0o755)
    for word in [shutil.which("busybox"), *sh("ldd", "/bin/busybox").split()]:
        if word and word.startswith("/"):
            place = root / "bin/busybox" if word.endswith("busybox") else root / word[1:]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, place)
    return root


def install_grub(disk: Path, room: Path) -> None:
    """Into the MBR and the gap behind it, where boot.img and core.img follow each other."""
    core = room / "core.img"
    place = f"(mduuid/{ARRAY.uuid.hex()})/boot/grub"
    modules = ("biosdisk", "part_msdos", "mdraid1x", "ext2", "normal", "linux")
    sh("grub-mkimage", "-O", "i386-pc", "-p", place, "-o", core, *modules)
    with disk.open("r+b") as file:
        file.write((GRUB / "boot.img").read_bytes()[:440])
        file.seek(512)
        file.write(core.read_bytes())
    assert core.stat().st_size < START - 512


def build(room: Path) -> list[Path]:
    """Two disks with a table each, whose only partition is a member of the mirror."""
    system = room / "system"
    with system.open("wb") as file:
        file.truncate(ARRAY.size)
    sh("mkfs.ext4", "-q", "-F", "-d", root_of(room), system)
    disks = [room / f"disk{role}" for role in (0, 1)]
    for role, disk in enumerate(disks):
        with disk.open("wb") as file:
            file.truncate(START + SIZE)
        with attached(disk) as device:
            table = "label: dos\nstart=1MiB, type=fd, bootable\n"
            sh("sfdisk", "-q", "--no-reread", "--no-tell-kernel", device, input=table)
        place = (f"of={disk}", "bs=1M", f"seek={(START + ARRAY.offset) // MIB}")
        sh("dd", f"if={system}", *place, "conv=notrunc,sparse", "status=none")
        mark(disk, ARRAY, role, START, SIZE)
        install_grub(disk, room)
    return disks


def said_by_pc(disks: list[Path]) -> str:
    """What a PC with these disks says on its serial line, until it is off."""
    drives = [f"file={disk},format=raw,if=virtio" for disk in disks]
    words = [word for drive in drives for word in ("-drive", drive)]
    return run_pc([*accelerated(), "-m", "1536", *words], disks[0].with_name("console"), 900)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_system_on_a_mirror(agent: Agent, room: Path) -> None:
    disks = build(room)
    parts = [
        part
        for disk in agent("backup", *disks, "--name", "pc").ok()["disks"]
        for part in disk["partitions"]
    ]
    assert [(part["content"], part["method"]) for part in parts] == [
        ("linux_raid_member", "used"),
        ("linux_raid_member", "used"),
    ]
    assert all(part["bytes_used"] < SIZE * 3 // 4 for part in parts)
    with attached(disks[0], 512, START, SIZE) as device:
        before = examined(device)
    for disk in disks:
        filled(disk, disk.stat().st_size)
    agent("restore", "pc", *placed(disks)).ok()
    assert agent("restore", "pc", *placed(disks)).ok()["changed"] is False
    with attached(disks[0], 512, START, SIZE) as device:
        assert examined(device) == before
    said = said_by_pc(disks)
    assert MARKER in said and "[UU]" in said, said[-2000:]
    assert "resync" not in said and "recovery" not in said
