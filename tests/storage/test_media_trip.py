# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC without a network, started from a medium that the builder made, with real firmware."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from slipway.format import Identity, parse, serialize

from ..fixtures.boot_sector import boot_sector
from .conftest import Agent
from .disk_builder import FILL, MIB, filled, sh, sha256
from .media_pc import MediaPc
from .media_sets import ROOT, a_chunk, build, files, flip, unpacked

RUNS = "THE-OWN-DISK-RUNS"
SIGNED = {
    "EFI/BOOT/BOOTX64.EFI": Path("/usr/lib/shim/shimx64.efi.signed"),
    "EFI/BOOT/grubx64.efi": Path("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"),
    "EFI/debian/shimx64.efi": Path("/usr/lib/shim/shimx64.efi.signed"),
    "EFI/debian/grubx64.efi": Path("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"),
}
DOWN, ENTER = "\x1b[B", "\r"
# A bound for a PC in software emulation beside other tests.
LONG = 900.0

pytestmark = pytest.mark.timeout(3600)


def system_disk(path: Path, megabytes: int) -> Path:
    """A disk that says that it runs, by BIOS and by UEFI with Secure Boot."""
    size = megabytes + 48
    with path.open("wb") as file:
        file.truncate((size + 2) * MIB)
    sh("sfdisk", "--quiet", path, input=f"label: gpt\nstart=2048,size={size * 2048},type=U\n")
    drive = f"{path}@@{MIB}"
    sh("mformat", "-i", drive, "-T", size * 2048, "-h", 64, "-s", 32, "-F", "::")
    for folder in ("EFI", "EFI/BOOT", "EFI/debian"):
        sh("mmd", "-i", drive, f"::/{folder}")
    for name, source in SIGNED.items():
        sh("mcopy", "-i", drive, source, f"::/{name}")
    says = path.with_name("says.cfg")
    says.write_text(f"serial --unit=0\nterminal_output serial\necho {RUNS}\nsleep 999\n")
    sh("mcopy", "-i", drive, says, "::/EFI/debian/grub.cfg")
    bulk = path.with_name("bulk")
    with bulk.open("wb") as file, Path("/dev/urandom").open("rb") as chance:
        file.write(chance.read(megabytes * MIB))
    sh("mcopy", "-i", drive, bulk, "::/bulk")
    bulk.unlink()
    with path.open("r+b") as file:
        file.write(boot_sector(RUNS.encode())[:440])
    return path


@dataclass
class Site:
    """An image server's store and environment, and the disk that was saved."""

    folder: Path
    source: Path
    store: Path
    env: Path

    def media(self, name: str, *words: object, medium: object = "usb") -> list[Path]:
        made = build(
            self.store,
            self.env,
            self.folder / "media",
            "--image",
            "pc",
            "--medium",
            medium,
            "--name",
            name,
            *words,
        )
        return files(made, self.folder / "media")

    def blank(self, folder: Path) -> Path:
        return filled(folder / "disk", self.source.stat().st_size)

    def restored(self, disk: Path) -> bool:
        return Agent(self.store)("compare", "pc", "--target", f"disk0={disk}").code == 0


def make_site(folder: Path, megabytes: int) -> Site:
    folder.mkdir()
    done = subprocess.run(
        [ROOT / "client_image/image/build"], stdout=subprocess.PIPE, text=True, check=True
    )
    source = system_disk(folder / "source", megabytes)
    store = folder / "store"
    Agent(store)("backup", source, "--name", "pc").ok()
    # A file has no serial number: the saved disk had one.
    [file] = (store / "images/pc").iterdir()
    manifest = parse(file.read_bytes())
    [disk] = manifest.disks
    own = replace(disk, identity=Identity("OWN-1", "", "QEMU HARDDISK"))
    file.write_bytes(serialize(replace(manifest, disks=(own,))))
    return Site(folder, source, store, Path(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def site(space: Path) -> Site:
    return make_site(space / "site", 8)


def choose_write(pc: MediaPc) -> None:
    pc.wait_for("Write pc@", LONG)
    pc.type(DOWN)
    pc.type(ENTER)


def finish(pc: MediaPc) -> None:
    """Answer what stands after a restore, until the PC is off."""
    pc.wait_for("Done. Take the medium out", LONG)
    pc.wait_until_off(LONG)


def test_a_wiped_pc_comes_back_from_a_disc_and_boots(site: Site, room: Path) -> None:
    """By BIOS from a CD; with the default entry its own disk starts untouched afterwards."""
    [iso] = site.media("short")
    disk = site.blank(room)
    with MediaPc(room, disk, iso) as pc:
        choose_write(pc)
        asked = pc.wait_for("Word:", LONG)
        assert "OWN-1" in pc.heard and "serial PC-1, BIOS" in pc.heard
        pc.type("anchor\r")
        pc.wait_for("none of the words", LONG, asked)
        # What is typed before it asks again is dropped.
        pc.wait_for("Word:", LONG, asked)
        pc.type("rudder\r")
        finish(pc)
    assert site.restored(disk)
    before = sha256(disk)
    with MediaPc(room, disk, iso, kernel=False) as pc:
        pc.wait_for(RUNS, LONG)
    assert sha256(disk) == before


# --- the slow tier -------------------------------------------------------------

slow = pytest.mark.slow
WAYS = [(False, False), (True, False), (False, True), (True, True)]
NAMES = ["bios-cd", "bios-stick", "uefi-cd", "uefi-stick"]


@slow
@pytest.mark.parametrize(("stick", "secure"), WAYS, ids=NAMES)
def test_one_medium_starts_in_four_ways(site: Site, room: Path, stick: bool, secure: bool) -> None:
    [iso] = site.media("one")
    disk = site.blank(room)
    with MediaPc(room, disk, iso, stick=stick, secure=secure) as pc:
        choose_write(pc)
        pc.wait_for("Word:", LONG)
        assert f"serial PC-1, {'UEFI with Secure Boot' if secure else 'BIOS'}" in pc.heard
        pc.type("rudder\r")
        pc.wait_for("Done. Take the medium out", LONG)
        stats = {each["device"]: each["stats"] for each in pc.monitor("query-blockstats")}
        # Boot loader and kernel read the environment, the restore each chunk: once.
        assert stats["medium"]["rd_bytes"] < 1.1 * iso.stat().st_size + 16 * MIB
        pc.wait_until_off(LONG)
    assert site.restored(disk)
    before = sha256(disk)
    with MediaPc(room, disk, iso, stick=stick, secure=secure) as pc:
        pc.wait_for(RUNS, LONG)
    assert sha256(disk) == before


@pytest.fixture(scope="module")
def large(space: Path) -> Site:
    """One whose image takes three discs."""
    return make_site(space / "large", 130)


def three_discs(site: Site) -> list[Path]:
    discs = site.media("three", medium=114_000_000)
    assert len(discs) == 3
    return discs


def no_discs(room: Path) -> list[tuple[Path, str]]:
    """Discs that are none of Slipway's, and what is said of each."""
    blank, foreign = room / "blank", room / "foreign.iso"
    blank.write_bytes(bytes(4 * MIB))
    (room / "tree").mkdir()
    (room / "tree/letter.txt").write_text("holiday pictures")
    sh("xorriso", "-as", "mkisofs", "-quiet", "-o", foreign, room / "tree")
    return [(blank, "it is blank, or it can't be read"), (foreign, "it is not one of Slipway's")]


@slow
@pytest.mark.parametrize("secure", [False, True], ids=["bios", "uefi"])
def test_three_discs_with_wrong_ones_between(large: Site, room: Path, secure: bool) -> None:
    site, discs = large, three_discs(large)
    other = site.media("other", "--countdown", 29, medium=114_000_000)[1]
    disk = site.blank(room)
    with MediaPc(room, disk, discs[0], secure=secure) as pc:
        choose_write(pc)
        pc.wait_for("Word:", LONG)
        pc.type("rudder\r")
        pc.wait_for("Insert disc 2 of 3", LONG)
        pc.insert(discs[2])
        heard = pc.wait_for("That was disc 3. Disc 2 is needed.", LONG)
        for disc, says in no_discs(room):
            pc.insert(disc)
            heard = pc.wait_for(f"That disc is of no use: {says}.", LONG, heard)
        pc.insert(other)
        heard = pc.wait_for("which is another set. Disc 2 is needed.", LONG, heard)
        pc.insert_slowly(discs[1], 5)
        heard = pc.wait_for("Insert disc 3 of 3", LONG, heard)
        pc.insert(discs[1])
        heard = pc.wait_for("That was disc 2. Disc 3 is needed.", LONG, heard)
        pc.insert(discs[2])
        finish(pc)
    assert site.restored(disk)


@slow
def test_a_disc_pulled_while_it_is_read_and_a_restore_that_goes_on(large: Site, room: Path) -> None:
    discs, disk = three_discs(large), large.blank(room)
    with MediaPc(room, disk, discs[0]) as pc:
        choose_write(pc)
        pc.wait_for("Word:", LONG)
        pc.type("rudder\r")
        pc.wait_for("Insert disc 2 of 3", LONG)
        pc.insert(discs[1])
        heard = pc.wait_for("Reading disc 2 of 3", LONG)
        pc.pull()
        pc.wait_for("can't be read from disc 2 of 3", LONG, heard)
        pc.type(ENTER)
        pc.wait_until_off(LONG)
    with disk.open("rb") as file:
        assert file.read(512)[510:] != b"\x55\xaa"
    with MediaPc(room, disk, discs[0]) as pc:
        choose_write(pc)
        pc.wait_for("Word:", LONG)
        pc.type("rudder\r")
        heard = pc.wait_for("Insert disc 2 of 3", LONG)
        pc.insert(discs[1])
        pc.wait_for("Insert disc 3 of 3", LONG, heard)
        pc.insert(discs[2])
        finish(pc)
    assert large.restored(disk)


@slow
def test_unattended_it_writes_the_pc_that_it_was_made_for_and_no_other(
    site: Site, room: Path
) -> None:
    [iso] = site.media("alone", "--unattended", "--countdown", 5)
    disk = site.blank(room)
    with MediaPc(room, disk, iso, stick=True) as pc:
        pc.wait_for("Any key stops it", LONG)
        finish(pc)
    assert site.restored(disk)
    before = sha256(disk)
    with MediaPc(room, disk, iso, stick=True) as pc:
        pc.wait_for("Nothing was written.", LONG)
        pc.wait_until_off(LONG)
    assert sha256(disk) == before
    (room / "other").mkdir()
    stranger = site.blank(room / "other")
    with MediaPc(room, stranger, iso, stick=True, serial="OTHER") as pc:
        pc.wait_for("No disk of this PC is the one that the image was saved from", LONG)
        pc.wait_for("Word:", LONG)
        pc.type(ENTER)
        pc.wait_for("Nothing was written.", LONG)
        pc.wait_until_off(LONG)
    assert stranger.read_bytes() == bytes([FILL]) * stranger.stat().st_size


@slow
def test_a_key_in_the_countdown_stops_it(site: Site, room: Path) -> None:
    [iso] = site.media("stopped", "--unattended", "--countdown", 60)
    disk = site.blank(room)
    with MediaPc(room, disk, iso) as pc:
        pc.wait_for("Any key stops it", LONG)
        pc.type("x")
        pc.wait_for("Word:", LONG)
        pc.type(ENTER)
        pc.wait_until_off(LONG)
    assert disk.read_bytes() == bytes([FILL]) * disk.stat().st_size


@slow
@pytest.mark.parametrize("fault", ["flipped", "short", "small", "other sectors", "none"])
def test_what_cannot_be_is_refused_at_the_pc(site: Site, room: Path, fault: str) -> None:
    [iso] = site.media("refused", "--unattended", "--countdown", 1)
    medium = room / "medium.iso"
    medium.write_bytes(iso.read_bytes())
    disk = site.blank(room)
    if fault == "flipped":
        chunk = a_chunk(unpacked(iso, room / "unpacked"), only=False).read_bytes()
        content = iso.read_bytes()
        flip(medium, content.index(chunk) + 1000)
    elif fault == "short":
        with medium.open("r+b") as file:
            file.truncate(medium.stat().st_size - MIB)
    elif fault == "small":
        with disk.open("r+b") as file:
            file.truncate(16 * MIB)
    before = sha256(disk)
    sector = fault == "other sectors"
    serial = "OWN-1" if fault != "none" else "OTHER"
    with MediaPc(
        room, disk, medium, stick=fault == "none", serial=serial, sector=4096 if sector else 512
    ) as pc:
        says = {
            "flipped": "chunk",
            "short": "was cut short",
            "small": "bytes",
            "other sectors": "sectors of 4096 bytes",
            "none": "No disk of this PC is the one",
        }[fault]
        pc.wait_for(says, LONG)
        if fault == "none":
            pc.wait_for("Word:", LONG)
            # The PC's own disk, and not the stick.
            offered = [line for line in pc.heard.splitlines() if "/dev/" in line]
            assert len(offered) == 1 and "serial OTHER" in offered[0], offered
    assert sha256(disk) == before
