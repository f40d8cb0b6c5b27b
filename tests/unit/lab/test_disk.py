# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks are made for real, small ones, and looked at with other tools than those that made them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway_lab import disk, grub
from slipway_lab.config import Config
from slipway_lab.errors import LabError
from slipway_lab.layout import place


@pytest.fixture
def master(tmp_path: Path) -> Path:
    """A root file system like the cached one, only without a Debian in it."""
    root = tmp_path / "root"
    for folder in ("etc/slipway-lab", "boot/grub"):
        (root / folder).mkdir(parents=True)
    (root / "etc/machine-id").touch()
    image = tmp_path / "master.ext4"
    features = ["-O", "metadata_csum_seed", "-E", "nodiscard"]
    subprocess.run(["mke2fs", "-q", "-t", "ext4", *features, "-d", root, image, "8M"], check=True)
    return image


def output(*argv: object) -> str:
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=True)
    return done.stdout


def cut(image: Path, offset: int, size: int, target: Path) -> Path:
    with image.open("rb") as source:
        source.seek(offset)
        target.write_bytes(source.read(size))
    return target


def test_a_bios_disk(lab: Config, master: Path, tmp_path: Path) -> None:
    machine = lab.machine("old")
    assert not disk.is_made(lab, machine)
    disk.make(lab, machine, master)
    assert disk.is_made(lab, machine)
    image = lab.paths.disk("old")
    record = json.loads(lab.paths.record("old").read_text())
    root, home, swap = place(machine.disk)
    marker = output("debugfs", "-R", "cat /etc/slipway-lab/marker", f"{image}?offset={root.offset}")
    assert marker.strip() == record["marker"]
    fstab = output("debugfs", "-R", "cat /etc/fstab", f"{image}?offset={root.offset}")
    assert all(f"UUID={uuid}" in fstab for uuid in record["uuids"].values())
    output("e2fsck", "-fn", f"{image}?offset={home.offset}")
    listing = output("debugfs", "-R", "ls -l /ada", f"{image}?offset={home.offset}")
    assert "papers" in listing
    area = cut(image, swap.offset, swap.kib * 1024, tmp_path / "swap")
    assert record["uuids"]["6"] in output("blkid", "-p", area)
    start = image.read_bytes()[: 512 * 3]
    assert start[510:512] == b"\x55\xaa"
    assert b"GRUB" in start[:440]
    assert any(start[512:1024])


def test_a_uefi_disk(lab: Config, master: Path, tmp_path: Path) -> None:
    machine = lab.machine("new")
    disk.make(lab, machine, master)
    image = lab.paths.disk("new")
    esp = place(machine.disk)[0]
    fat = cut(image, esp.offset, esp.kib * 1024, tmp_path / "esp")
    output("fsck.vfat", "-n", fat)
    assert 'VERSION="FAT32"' in output("blkid", "-p", fat)
    loader = subprocess.run(
        ["mtype", "-i", fat, "::/EFI/BOOT/BOOTX64.EFI"], capture_output=True, check=True
    ).stdout
    assert loader[:2] == b"MZ"
    assert json.loads(lab.paths.record("new").read_text())["root_uuid"].encode() in loader


def test_a_disk_for_secure_boot(
    make_lab: Callable[[], Config],
    description: dict[str, Any],
    master: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signed = {name: tmp_path / name for name in grub.SIGNED}
    for name, path in signed.items():
        path.write_text(f"signed {name}")
    monkeypatch.setattr(grub, "SIGNED", signed)
    description["machines"][1]["firmware"] = "uefi_secure"
    lab = make_lab()
    machine = lab.machine("new")
    disk.make(lab, machine, master)
    esp = place(machine.disk)[0]
    fat = cut(lab.paths.disk("new"), esp.offset, esp.kib * 1024, tmp_path / "esp")
    for name in signed:
        assert output("mtype", "-i", fat, f"::/EFI/BOOT/{name}") == f"signed {name}"
    start = output("mtype", "-i", fat, "::/EFI/debian/grub.cfg")
    assert json.loads(lab.paths.record("new").read_text())["root_uuid"] in start


def test_a_disk_of_data_alone_needs_no_debian(
    make_lab: Callable[[], Config], description: dict[str, Any]
) -> None:
    description["machines"][0]["disk"]["partitions"].pop(0)
    lab = make_lab()
    machine = lab.machine("old")
    disk.make(lab, machine, None)
    assert disk.is_made(lab, machine)
    image = lab.paths.disk("old")
    home, swap = place(machine.disk)
    output("e2fsck", "-fn", f"{image}?offset={home.offset}")
    assert swap.wanted.fs == "swap"
    assert not any(image.read_bytes()[:440]), "a boot loader"
    assert json.loads(lab.paths.record("old").read_text())["root_uuid"] == ""


def test_no_two_disks_share_an_identity(lab: Config, master: Path) -> None:
    machine = lab.machine("old")
    records = []
    for _ in range(2):
        disk.make(lab, machine, master)
        records.append(json.loads(lab.paths.record("old").read_text()))
    first, second = records
    for key in ("marker", "machine_id", "disk_id", "root_uuid"):
        assert first[key] != second[key]


def test_a_disk_made_from_other_variables_is_not_silently_replaced(
    lab: Config,
    master: Path,
    make_lab: Callable[[], Config],
    description: dict[str, Any],
) -> None:
    disk.make(lab, lab.machine("old"), master)
    description["machines"][0]["disk"]["size_mib"] = 41
    changed = make_lab()
    with pytest.raises(LabError, match=r"made from other variables.*make lab-down"):
        disk.is_made(changed, changed.machine("old"))


def test_overwriting_leaves_nothing(lab: Config, master: Path) -> None:
    disk.make(lab, lab.machine("old"), master)
    image = lab.paths.disk("old")
    before = image.read_bytes()
    assert disk.overwrite(image) == len(before)
    after = image.read_bytes()
    assert len(after) == len(before)
    step = 4096
    same = sum(before[i : i + step] == after[i : i + step] for i in range(0, len(before), step))
    assert same == 0
