# SPDX-License-Identifier: GPL-3.0-or-later
"""Menus on the screen of a PC with real firmware and Debian's own iPXE."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_screen
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu import Menu, parse
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_ipxe import Server, render

from ..fixtures.boot_sector import boot_sector
from ..fixtures.environment_script import environment_script
from .firmware_pc import SERVER, FirmwarePc

ROLE = Path(__file__).resolve().parents[2] / "roles/boot_menu"
HOSTILE = [
    "${net0/mac}",
    "$${}{net0/mac} $",
    "|| reboot",
    "x && reboot ; reboot",
    "# gone",
    "--gap x",
    "back\\",
    "\\\nreboot",
    "'single' \"double\" %s %n",
    "Größe … Ελλ Жук",
    "还原",
    "\x1b[31mred",
    "a" * 200,
]
LOCAL = {"id": "local", "action": "local_disk"}


def menu(*items: dict[str, Any], **changes: Any) -> Menu:
    data = {"title": "T", "timeout": 0, "default": "local", "items": [LOCAL, *items]}
    return parse(data | changes, "pc1")


def pc(tmp_path: Path, shown: Menu, *arguments: str, uefi: bool = False) -> FirmwarePc:
    return FirmwarePc(
        tmp_path, render(shown, Server(SERVER, "console=tty0")), *arguments, uefi=uefi
    )


def boot_disc() -> bytes:
    """A disc with an El Torito boot image without emulation, and nothing else."""
    disc = bytearray(2048 * 32)

    def put(sector: int, content: bytes) -> None:
        disc[sector * 2048 : sector * 2048 + len(content)] = content

    put(16, b"\1CD001\1" + bytes(73) + struct.pack("<I", 32) + struct.pack(">I", 32))
    record = b"\0CD001\1EL TORITO SPECIFICATION".ljust(0x47, b"\0")
    put(17, record + struct.pack("<I", 20))
    put(18, b"\xffCD001\1")
    validation = bytearray(32)
    validation[0], validation[30:32] = 1, b"\x55\xaa"
    total = sum(struct.unpack("<16H", validation))
    validation[28:30] = struct.pack("<H", -total & 0xFFFF)
    put(20, bytes(validation) + struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 22))
    put(22, boot_sector(b"THE-CD-RUNS"))
    return bytes(disc)


def disk(tmp_path: Path, name: str, text: bytes, size: int) -> Path:
    path = tmp_path / name
    path.write_bytes(boot_sector(text).ljust(size, b"\0"))
    return path


def test_hostile_text_is_shown_and_nothing_else_happens(tmp_path: Path) -> None:
    items = [
        {"id": f"x{place}", "action": "memtest", "title": title, "hidden": place == 3}
        for place, title in enumerate(HOSTILE)
    ]
    shown = menu(*items, title="${net0/mac} || reboot # x", banner="${net0/mac}\n|| reboot\\\n#")
    with pc(tmp_path, shown) as machine:
        screen = machine.wait_for("Boot the local disk")
        assert screen[1].strip() == "$(net0/mac) || reboot # x - pc1"
        rows = [row.strip() for row in screen[3:]]
        visible = [_menu_screen.item_text(item) for item in shown.visible]
        assert rows[:4] == ["$(net0/mac)", "|| reboot\\", "#", ""]
        assert rows[4 : 4 + len(visible)] == visible
        assert not any(rows[4 + len(visible) :])
        machine.press("h")
        machine.wait_for("x && reboot ; reboot")
        every = [_menu_screen.item_text(item) for item in shown.items]
        assert [row.strip() for row in machine.screen()[7 : 7 + len(every)]] == every
        assert machine.asked == []


def test_floppies_and_cds_boot_and_without_one_the_menu_comes_back(tmp_path: Path) -> None:
    (tmp_path / "cdrom.0").write_bytes((ROLE / "files/cdrom.0").read_bytes())
    items = [{"id": "fd", "action": "floppy"}, {"id": "cd", "action": "cdrom"}]
    with pc(tmp_path, menu(*items)) as machine:
        machine.wait_for("Boot from the CD or DVD")
        machine.press("down", "down", "ret")
        machine.wait_for("There is no CD or DVD")
        machine.press("spc")
        machine.wait_for("Boot from the CD or DVD")
        machine.press("down", "ret")
        machine.wait_for("There is no floppy disk")
    floppy = disk(tmp_path, "floppy", b"THE-FLOPPY-RUNS", 1474560)
    disc = tmp_path / "disc"
    disc.write_bytes(boot_disc())
    drives = [
        "-drive",
        f"file={floppy},format=raw,if=floppy",
        "-drive",
        f"file={disc},format=raw,media=cdrom",
    ]
    for keys, says in ((["down"], "THE-FLOPPY-RUNS"), (["down", "down"], "THE-CD-RUNS")):
        with pc(tmp_path, menu(*items), *drives) as machine:
            machine.wait_for("Boot from the CD or DVD")
            machine.press(*keys, "ret")
            machine.wait_for_serial(says)


@pytest.mark.parametrize("method", ["auto", "exit", "chain"])
def test_the_local_disk_boots_when_the_time_is_up(tmp_path: Path, method: str) -> None:
    local = disk(tmp_path, "local", b"THE-DISK-RUNS", 1 << 20)
    drive = [
        "-drive",
        f"file={local},format=raw,if=none,id=disk",
        "-device",
        "ide-hd,drive=disk,bootindex=2",
    ]
    with pc(tmp_path, menu(timeout=2, method=method), *drive) as machine:
        machine.wait_for_serial("THE-DISK-RUNS")


def test_a_choice_asks_for_the_environment(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"no kernel")
    (tmp_path / "environment.ipxe").write_text(environment_script(SERVER, "console=tty0"))
    with pc(tmp_path, menu({"id": "save", "action": "backup"})) as machine:
        machine.wait_for("Back up this PC")
        machine.press("down", "ret")
        machine.wait_for("This choice could not be started. Nothing was changed.")
        assert machine.asked[:2] == ["/environment.ipxe", "/env/vmlinuz"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The role's boot programs for UEFI, built as it builds them, and one that says it runs."""
    folder = tmp_path_factory.mktemp("programs")
    modules = yaml.safe_load((ROLE / "vars/main.yml").read_text())["_boot_menu_grub_modules"]
    for name in ("disk", "cdrom"):
        build_grub(folder / f"{name}.efi", ROLE / f"files/{name}.cfg", modules)
    said = folder / "says.cfg"
    said.write_text("serial --unit=0\nterminal_output serial\necho RUNS-FROM $cmdpath\nsleep 999\n")
    build_grub(folder / "says.efi", said, "echo normal serial sleep terminal")
    return folder


def build_grub(program: Path, config: Path, modules: str) -> None:
    command = [
        "grub-mkstandalone",
        "--format=x86_64-efi",
        f"--output={program}",
        f"--modules={modules}",
        f"--install-modules={modules} configfile memdisk tar",
        "--fonts=",
        "--themes=",
        "--locales=",
        f"boot/grub/grub.cfg={config}",
    ]
    subprocess.run(command, check=True, capture_output=True)


def efi_volume(path: Path, program: Path, place: str, disc: bool) -> Path:
    """A FAT file system with one EFI program: a whole disc, or the first partition of a disk."""
    size, start, sector = 32 << 20, 0 if disc else 1 << 20, 2048 if disc else 512
    path.write_bytes(bytes(start + size + (1 << 20)))
    if not disc:
        table = f"label: gpt\nstart={start // 512},size={size // 512},type=U\n"
        subprocess.run(["sfdisk", "--quiet", path], input=table, text=True, check=True)
    options = ["-i", f"{path}@@{start}"]
    shape = ["-M", str(sector), "-h", "2", "-s", "32", "-t", str(size // sector // 64)]
    subprocess.run(["mformat", *options, *shape, "::"], check=True)
    folders = place.split("/")[:-1]
    for depth in range(len(folders)):
        subprocess.run(["mmd", *options, "::" + "/".join(folders[: depth + 1])], check=True)
    subprocess.run(["mcopy", *options, str(program), "::" + place], check=True)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "place", "device"),
    [
        ({"method": "chain"}, "EFI/debian/grubx64.efi", "hd0"),
        ({"method": "auto"}, "EFI/BOOT/BOOTX64.EFI", "hd0"),
        ({"default": "cd"}, "EFI/BOOT/BOOTX64.EFI", "cd0"),
    ],
    ids=["chain", "auto", "cdrom"],
)
def test_uefi_boots_disks_and_cds(
    tmp_path: Path, programs: Path, changes: dict[str, Any], place: str, device: str
) -> None:
    for name in ("disk.efi", "cdrom.efi"):
        (tmp_path / name).write_bytes((programs / name).read_bytes())
    disc = device == "cd0"
    volume = efi_volume(tmp_path / "volume", programs / "says.efi", place, disc)
    kind, model = ("cdrom", "ide-cd") if disc else ("disk", "ide-hd")
    drives = [
        "-drive",
        f"file={volume},format=raw,if=none,id=disk,media={kind}",
        "-device",
        f"{model},drive=disk,bus=ide.0,bootindex=2",
    ]
    shown = menu({"id": "cd", "action": "cdrom"}, timeout=2, **changes)
    with pc(tmp_path, shown, *drives, uefi=True) as machine:
        machine.wait_for_serial(f"RUNS-FROM ({device})/{place.rpartition('/')[0]}", 300)
    wanted = {"auto": [], "chain": ["/items/disk.efi"]}.get(changes.get("method", ""))
    assert machine.asked == (["/items/cdrom.efi"] if wanted is None else wanted)
